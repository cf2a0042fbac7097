"""The parts of a pyramid hold what the whole holds there, exactly, and read it block by block as ever."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

import fault_server as faults
from command_line import wait_until
from fault_server import FaultServer
from napari_cryoet.streaming import open_pyramid, split_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.splitting import without_axes
from napari_cryoet.streaming.thin import plane_of, thin_key
from ome_images import noise, write_image
from stream_server import StreamServer


def open_alone(path):
    return open_pyramid(path, fetcher=Fetcher(MemoryCache(2**26)), cache=None)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 1, 4, 16, 16), (2, 2, 3, 16, 9), None])
def test_each_channel_is_what_the_whole_has_there(chunks, zarr_format, tmp_path):
    whole = write_image(tmp_path / "a.zarr", noise((2, 3, 7, 20, 18)), "tczyx", chunks=chunks, zarr_format=zarr_format)
    parts = split_pyramid(open_alone(tmp_path / "a.zarr"), 1)
    assert len(parts) == 3
    for channel, part in enumerate(parts):
        assert part.axes == ("t", "z", "y", "x")
        assert part.scales[1] == (1.0, 2.0, 1.0, 1.0)
        for level, values in enumerate(whole):
            assert np.array_equal(part.read(level), values[:, channel])
            assert np.array_equal(part.levels[level][1, 2:5, 3].compute(), values[1, channel, 2:5, 3])


@pytest.mark.parametrize("part_of", [lambda whole: split_pyramid(whole, 1)[0], lambda whole: without_axes(whole, [0])])
def test_what_is_met_of_a_server_that_sends_whole_files_only_holds_for_each_part(part_of, tmp_path):
    write_image(tmp_path / "a.zarr", noise((1, 3, 64, 256, 256)), "tczyx", levels=1, chunks=(1, 1, 64, 256, 256))
    with FaultServer() as server:
        server.behave(faults.whole(faults.files(tmp_path)))
        whole = open_alone(server.url.replace("/file", "/a.zarr"))
        part = part_of(whole)
        part.read(0, tuple((0, 1) for _ in part.shapes[0]))
    assert not part.sends_parts


def test_a_part_can_be_split_again(tmp_path):
    whole = write_image(tmp_path / "a.zarr", noise((2, 3, 7, 20, 18)), "tczyx")
    for moment, part in enumerate(split_pyramid(open_alone(tmp_path / "a.zarr"), 0)):
        for channel, volume in enumerate(split_pyramid(part, 0)):
            assert volume.axes == ("z", "y", "x")
            assert volume.scales == tuple(scale[1:] for scale in part.scales)
            assert np.array_equal(volume.read(1), whole[1][moment, channel])


def test_blosc_blocks_stay_blocks(tmp_path):
    values = noise((2, 64, 256, 256))
    write_image(tmp_path / "a.zarr", values, "czyx", levels=1, chunks=(1, 64, 256, 256))
    with StreamServer(tmp_path) as served:
        part = split_pyramid(open_alone(f"{served.url}/a.zarr"), 0)[1]
        before = served.bytes_sent
        assert np.array_equal(part.read(0, ((40, 41), (0, 256), (0, 256)))[0], values[1, 40])
        assert served.bytes_sent - before < values[1].nbytes / 4
        assert {path for path, _ in served.requests[-1:]} == {"/a.zarr/0/1.0.0.0"}


def test_a_plane_of_chunks_that_hold_several_channels_and_moments_takes_its_blocks_and_no_more(tmp_path):
    values = noise((2, 3, 32, 256, 256))
    write_image(tmp_path / "a.zarr", values, "tczyx", levels=1, chunks=(2, 3, 32, 256, 256))
    with StreamServer(tmp_path) as served:
        part = split_pyramid(open_alone(f"{served.url}/a.zarr"), 1)[1]
        before = served.bytes_sent
        assert np.array_equal(part.read(0, ((1, 2), (20, 21), (0, 256), (0, 256)))[0, 0], values[1, 1, 20])
        assert served.bytes_sent - before < values.nbytes / 40
        for moment in range(2):
            assert np.array_equal(
                part.read(0, ((moment, moment + 1), (0, 32), (0, 256), (0, 256)))[0], values[moment, 1]
            )


def test_a_part_does_not_keep_the_whole_chunk_in_memory(tmp_path):
    write_image(tmp_path / "a.zarr", noise((8, 4, 32, 32)), "czyx", levels=1)
    pyramid = open_alone(tmp_path / "a.zarr")
    part = split_pyramid(pyramid, 0)[3]
    block = part.read(0)
    kept = [part._fetcher.memory.get(part.key(0, (0, 0, 0)))]
    assert np.array_equal(kept[0], block)
    assert kept[0].base is None


def test_a_part_costs_what_is_read_for_it(tmp_path):
    values = noise((6, 4, 32, 32))
    write_image(tmp_path / "a.zarr", values, "czyx", levels=1, chunks=(3, 4, 32, 32))
    part = split_pyramid(open_alone(tmp_path / "a.zarr"), 0)[1]
    before = part.bytes_read
    part.read(0)
    assert part.wire_bytes(0, part.size_bytes(0)) == part.bytes_read - before


def test_a_picture_of_a_part_ends_exact(tmp_path):
    values = noise((2, 5, 40, 40))
    write_image(tmp_path / "a.zarr", values, "czyx")
    part = split_pyramid(open_alone(tmp_path / "a.zarr"), 0)[1]
    part.read(0)
    display = part.display()
    assert np.array_equal(np.asarray(display.levels[0][3]), values[1, 3])
    display.close()


@pytest.fixture(params=["whole", "thin"])
def two_shown(request, tmp_path):
    """Both channels of an image are looked at before its server answers, whose chunks hold a channel's plane each.

    There is memory for whole blocks, or for the plane only.
    """
    values = noise((2, 400, 40, 40))
    write_image(tmp_path / "a.zarr", values, "czyx", levels=1, chunks=(2, 400, 20, 20))
    memory = MemoryCache(2**26 if request.param == "whole" else 2**20)
    with StreamServer(tmp_path) as served:
        whole = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(memory), cache=None)
        parts = split_pyramid(whole, 0)
        displays = [part.display() for part in parts]
        served.requests.clear()
        served.gate.clear()
        for part, display in zip(parts, displays, strict=True):
            assert not display.picture(0, PLANE).is_whole
            keys = [part.key(0, block) for block in part.grid(0).covering(PLANE)]
            keys += [thin_key(key, plane_of(PLANE)) for key in keys]
            wait_until(lambda keys=keys, part=part: part._fetcher._traffic.wishes.any_wants(keys))
        wait_until(lambda: len(served.requests) >= 4)
        yield values, served, parts, displays
        for display in displays:
            display.close()


PLANE = ((1, 2), (0, 40), (0, 40))


def test_channels_that_are_looked_at_fetch_a_chunk_that_holds_both_once(two_shown):
    values, served, parts, displays = two_shown
    served.gate.set()
    for part, display in zip(parts, displays, strict=True):
        wait_until(lambda display=display: display.picture(0, PLANE).is_whole)
        assert np.array_equal(display.picture(0, PLANE).values, values[parts.index(part), 1:2])
    assert len(served.requests) == len(set(served.requests)) == 4


def test_a_channel_that_is_closed_takes_nothing_along_that_others_wait_for(two_shown):
    values, served, parts, displays = two_shown
    displays[0].close()
    parts[0].close()
    served.gate.set()
    wait_until(lambda: displays[1].picture(0, PLANE).is_whole)
    assert np.array_equal(displays[1].picture(0, PLANE).values, values[1, 1:2])
    assert len(served.requests) == 4


@pytest.mark.parametrize("two_shown", ["whole"], indirect=True)
def test_who_waits_for_a_channel_takes_what_comes_along_with_another(two_shown):
    values, served, parts, _ = two_shown
    with ThreadPoolExecutor(1) as threads:
        read = threads.submit(parts[1].read, 0, PLANE)
        wait_until(lambda: any(flight.waiters for flight in parts[0]._fetcher._traffic.under_way))
        served.gate.set()
        assert np.array_equal(read.result(60), values[1, 1:2])
    assert np.array_equal(parts[0].read(0), values[0])
    assert len(served.requests) == 4


def test_a_channel_that_nobody_looks_at_takes_no_memory(tmp_path):
    write_image(tmp_path / "a.zarr", noise((2, 4, 40, 40)), "czyx", levels=1)
    first, second = split_pyramid(open_alone(tmp_path / "a.zarr"), 0)
    first.read(0)
    assert first.has(0, PLANE)
    assert not second.has(0, PLANE)


def test_a_file_that_changed_is_read_anew_through_a_part(tmp_path):
    values = noise((2, 5, 40, 40))
    for name, content in (("a.zarr", values), ("new.zarr", values + 1)):
        write_image(tmp_path / name, content, "czyx", levels=1)
    first, second = split_pyramid(open_alone(tmp_path / "a.zarr"), 0)
    assert np.array_equal(first.read(0), values[0])
    (tmp_path / "new.zarr/0").rename(tmp_path / "newer")
    (tmp_path / "a.zarr/0").rename(tmp_path / "old")
    (tmp_path / "newer").rename(tmp_path / "a.zarr/0")
    assert np.array_equal(second.read(0), values[1] + 1)  # of the same files, if their chunks hold both
    assert np.array_equal(second.read(0), values[1] + 1)
    first._fetcher.memory.forget_where(first.owner)
    assert np.array_equal(first.read(0), values[0] + 1)


def test_an_axis_may_be_counted_from_the_last_one(tmp_path):
    whole = write_image(tmp_path / "a.zarr", noise((3, 2, 20, 18)), "zcyx")
    pyramid = open_alone(tmp_path / "a.zarr")
    for channel, part in enumerate(split_pyramid(pyramid, -3)):
        assert part.axes == ("z", "y", "x")
        assert np.array_equal(part.read(1), whole[1][:, channel])
    with pytest.raises(IndexError):
        split_pyramid(pyramid, 4)


def test_levels_that_differ_along_the_axis_are_not_split(tmp_path):
    write_image(tmp_path / "a.zarr", noise((4, 6, 8, 8)), "czyx")
    with pytest.raises(ValueError, match="differ along axis 3"):
        split_pyramid(open_alone(tmp_path / "a.zarr"), 3)


def test_an_array_without_axes_can_be_split_too(tmp_path):
    write_image(tmp_path / "a.zarr", noise((2, 3, 8, 8)), "czyx", levels=1)
    parts = split_pyramid(open_alone(tmp_path / "a.zarr" / "0"), 0)
    assert parts[0].axes == ()
    assert np.array_equal(parts[1].read(0), noise((2, 3, 8, 8))[1])


def test_what_one_part_learns_of_a_changed_file_holds_for_all_of_them(tmp_path):
    old, new = (np.full((2, 64, 96, 96), value, "f4") for value in (1, 2))
    for name, values in (("a.zarr", old), ("new.zarr", new)):
        array = zarr.create_array(
            str(tmp_path / name), shape=old.shape, dtype="f4", zarr_format=2, chunks=old.shape, compressors=None
        )
        array[...] = values
    whole = open_alone(tmp_path / "a.zarr")
    first, second = split_pyramid(whole, 0)
    whole.read(0, ((0, 1), (0, 1), (0, 96), (0, 96)))
    second.read(0, ((3, 4), (0, 96), (0, 96)))
    (tmp_path / "new.zarr" / "0.0.0.0").replace(tmp_path / "a.zarr" / "0.0.0.0")
    assert np.all(first.read(0, ((40, 41), (0, 96), (0, 96))) == 2)
    for each in (first, second, whole):
        assert np.all(each.read(0) == 2), "what was in memory is of the file before"
