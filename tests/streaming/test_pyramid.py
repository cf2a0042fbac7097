"""Whatever the layout, a pyramid's values are the ones that were written."""

import itertools
import json
import threading
import time

import dask
import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Zstd

from command_line import wait_until
from napari_cryoet.exceptions import FormatError, OtherKindError, StoppedError, StreamError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid, pyramid_of
from napari_cryoet.streaming.cache import MemoryCache, shared_cache
from napari_cryoet.streaming.fetcher import Fetcher, shared_fetcher
from quiet import is_quiet
from stream_server import StreamServer

LZ4 = Blosc("lz4", 5, Blosc.SHUFFLE)


def volume(shape, dtype="<f4", seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, 100, shape).astype(dtype)


def write_array(path, values, **options):
    array = zarr.create_array(str(path), shape=values.shape, dtype=values.dtype, **options)
    array[...] = values


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path) as server:
        yield server


V2_LAYOUTS = {
    "blosc of two planes a block": {"chunks": (64, 160, 160), "compressors": LZ4},
    "small chunks": {"chunks": (16, 32, 32), "compressors": LZ4},
    "blocks that are no whole planes": {
        "chunks": (64, 150, 170),
        "compressors": Blosc("lz4", 5, Blosc.SHUFFLE, 100_000),
    },
    "zstd with bit shuffle": {"chunks": (64, 160, 160), "compressors": Blosc("zstd", 3, Blosc.BITSHUFFLE)},
    "uncompressed": {"chunks": (64, 160, 160), "compressors": None},
    "Fortran order": {"chunks": (64, 60, 70), "compressors": LZ4, "order": "F"},
    "not blosc": {"chunks": (40, 60, 70), "compressors": Zstd(1)},
    "chunks of one plane": {"chunks": (1, 180, 190), "compressors": LZ4},
    "first axis in chunks of one": {"chunks": (1, 160, 8000), "compressors": LZ4},
}


@pytest.mark.parametrize("dtype", ["<f4", "<i2", "|u1", ">f4"])
@pytest.mark.parametrize("layout", V2_LAYOUTS)
def test_zarr_v2_layouts_are_read_exactly(layout, dtype, tmp_path):
    values = volume((70, 180, 190), dtype)
    write_array(tmp_path / "a.zarr", values, zarr_format=2, **V2_LAYOUTS[layout])
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert pyramid.dtype == values.dtype.newbyteorder("=")
    assert np.array_equal(pyramid.read(0), values)
    assert np.array_equal(pyramid.levels[0][33, 5:170:3, -7].compute(), values[33, 5:170:3, -7])
    box = ((31, 34), (150, 180), (7, 9))
    assert np.array_equal(pyramid.read(0, box), values[31:34, 150:180, 7:9])


V3_LAYOUTS = {
    "blosc": {"chunks": (64, 160, 160), "compressors": zarr.codecs.BloscCodec(cname="lz4", shuffle="shuffle")},
    "zstd": {"chunks": (40, 60, 70), "compressors": zarr.codecs.ZstdCodec()},
    "uncompressed": {"chunks": (64, 160, 160), "compressors": None},
    "sharded": {"chunks": (32, 32, 32), "shards": (64, 64, 64), "compressors": zarr.codecs.BloscCodec(cname="zstd")},
    "transposed": {"chunks": (64, 60, 70), "filters": [zarr.codecs.TransposeCodec(order=(2, 1, 0))]},
    "v2 keys": {"chunks": (64, 60, 70), "chunk_key_encoding": {"name": "v2", "separator": "."}},
}


@pytest.mark.parametrize("dtype", ["<f4", "<u2"])
@pytest.mark.parametrize("layout", V3_LAYOUTS)
def test_zarr_v3_layouts_are_read_exactly_over_http(layout, dtype, tmp_path, served):
    values = volume((70, 180, 190), dtype)
    write_array(tmp_path / "a.zarr", values, zarr_format=3, **V3_LAYOUTS[layout])
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    assert np.array_equal(pyramid.read(0), values)
    assert np.array_equal(pyramid.levels[0][:, 40].compute(), values[:, 40])


@pytest.mark.parametrize("shape", [(37, 50, 41), (300, 33, 270), (1, 64, 64), (512, 8, 8)])
@pytest.mark.parametrize("kind", ["tomogram", "mask", "instances"])
def test_portal_volumes_of_odd_sizes_are_read_exactly_at_every_level(shape, kind, tmp_path, served):
    dtype = {"tomogram": "f4", "mask": "i1", "instances": "u2"}[kind]
    values = volume(shape, dtype) if kind != "mask" else (volume(shape, dtype) > 90).astype(dtype)
    write_pyramid(tmp_path / "a.zarr", values, 13.48, kind)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    assert pyramid.shapes[0] == shape
    assert pyramid.axes == ("z", "y", "x")
    assert pyramid.scales[0] == (13.48, 13.48, 13.48)
    assert pyramid.coarse_offset == ("strided" if kind == "instances" else "mean")
    for level, lazy in enumerate(pyramid.levels):
        stored = zarr.open_array(str(tmp_path / "a.zarr" / str(level)), mode="r")[:]
        padded = lazy.compute()
        inside = tuple(slice(size) for size in stored.shape)
        assert np.array_equal(padded[inside], stored)
        padded[inside] = 0
        assert not padded.any()
        assert np.array_equal(pyramid.read(level), stored)


@pytest.mark.parametrize("shape", [(301, 262, 290), (100, 192, 184), (37, 50, 41), (1, 2, 3)])
def test_ratios_of_the_levels_are_exactly_two(shape, tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.broadcast_to(np.float32(0), shape), 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    shapes = [level.shape for level in pyramid.levels]
    for finer, coarser in itertools.pairwise(shapes):
        assert tuple(2 * size for size in coarser) == finer
    assert all(0 <= padded - size < 4 for padded, size in zip(shapes[0], shape, strict=True))


def test_a_missing_chunk_has_the_fill_value(tmp_path, served):
    values = volume((70, 180, 190))
    write_array(tmp_path / "a.zarr", values, zarr_format=2, chunks=(64, 160, 160), compressors=LZ4, fill_value=7.5)
    (tmp_path / "a.zarr" / "0.1.0").unlink()
    values[:64, 160:, :160] = 7.5
    assert np.array_equal(open_pyramid(f"{served.url}/a.zarr").read(0), values)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_refused_chunk_is_an_error_and_never_zeros(status, tmp_path, served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    values = volume((70, 180, 190))
    write_array(tmp_path / "a.zarr", values, zarr_format=2, chunks=(64, 160, 160), compressors=LZ4)
    served.statuses[r"0\.1\.0"] = status
    fetcher = Fetcher(MemoryCache(2**26))
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=fetcher)
    with pytest.raises(StreamError):
        pyramid.read(0)
    with pytest.raises(StreamError):
        pyramid.levels[0][0].compute()
    assert np.array_equal(pyramid.read(0, ((0, 70), (0, 150), (0, 150))), values[:, :150, :150])
    wait_until(lambda: is_quiet(fetcher))  # who reads on joins what is under way, and its status
    served.statuses.clear()
    assert np.array_equal(pyramid.read(0), values)


def test_a_damaged_chunk_is_an_error(tmp_path):
    write_array(tmp_path / "a.zarr", volume((64, 160, 160)), zarr_format=2, chunks=(64, 160, 160), compressors=LZ4)
    file = tmp_path / "a.zarr" / "0.0.0"
    content = bytearray(file.read_bytes())
    content[4:8] = (1000).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(StreamError, match="damaged"):
        open_pyramid(tmp_path / "a.zarr").read(0)


def test_a_truncated_chunk_is_an_error(tmp_path):
    write_array(tmp_path / "a.zarr", volume((64, 160, 160)), zarr_format=2, chunks=(64, 160, 160), compressors=LZ4)
    file = tmp_path / "a.zarr" / "0.0.0"
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(StreamError, match="damaged"):
        open_pyramid(tmp_path / "a.zarr").read(0)


def test_where_memory_runs_out_that_is_said_and_it_can_be_tried_again(tmp_path, monkeypatch):
    values = volume((16, 64, 64))
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(2**26)))

    def decode(_encoded):
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr("napari_cryoet.streaming.blosc.decode_frame", decode)
        with pytest.raises(StreamError, match=r"enough memory for what is read of .*a\.zarr\. Close other programs"):
            pyramid.read(0)
    assert np.array_equal(pyramid.read(0), values)


def test_opening_takes_one_round_and_a_plane_only_its_blocks(tmp_path, served):
    values = volume((300, 300, 300))
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    whole = sum(file.stat().st_size for file in (tmp_path / "a.zarr" / "0").rglob("*/*/*"))
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    assert len(served.requests) == 9
    opened = served.bytes_sent
    plane = pyramid.read(0, ((100, 101), (0, 300), (0, 300)))
    assert np.array_equal(plane[0], values[100])
    assert len(served.requests) == 9 + 4 * 2 - 1  # four chunks: a table and a block each, but one table is known
    assert served.bytes_sent - opened < whole / 100
    seen = len(served.requests)
    pyramid.read(0, ((101, 102), (0, 300), (0, 300)))
    assert len(served.requests) == seen  # the same blocks hold this plane


def test_requests_go_out_side_by_side_but_not_too_many(tmp_path, served):
    write_array(tmp_path / "a.zarr", volume((8, 320, 320)), zarr_format=2, chunks=(8, 32, 32), compressors=LZ4)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.most_at_once = 0
    served.gate.clear()
    reader = threading.Thread(target=pyramid.read, args=(0,))
    reader.start()
    deadline = time.monotonic() + 30
    while served.most_at_once < 16:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)  # one more would come now
    assert served.most_at_once == 16
    served.gate.set()
    reader.join(60)


def test_many_readers_of_one_block_send_one_request(tmp_path, served):
    from concurrent.futures import ThreadPoolExecutor

    values = volume((16, 32, 32))
    write_array(tmp_path / "a.zarr", values, zarr_format=2, chunks=(16, 32, 32), compressors=LZ4)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    seen = len(served.requests)
    served.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(pyramid.read, 0) for _ in range(8)]
        served.gate.set()
        assert all(np.array_equal(read.result(), values) for read in reads)
    assert len(served.requests) == seen + 1


def test_whatever_is_opened_shares_requests_and_memory_unless_that_is_said(tmp_path):
    for name, kind in (("a.zarr", "tomogram"), ("b.zarr", "tomogram"), ("mask.zarr", "mask")):
        write_pyramid(tmp_path / name, np.zeros((8, 9, 10), "f4" if kind == "tomogram" else "i1"), 10.0, kind)
    opened = [open_pyramid(tmp_path / name) for name in ("a.zarr", "b.zarr", "mask.zarr")]
    assert {id(pyramid._fetcher) for pyramid in opened} == {id(shared_fetcher())}
    assert shared_fetcher().memory is shared_cache()
    own = open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(2**20)))
    assert own._fetcher is not shared_fetcher()


@pytest.mark.parametrize("box", [((-1, 4), (0, 5)), ((0, 4), (0, 6)), ((5, 6), (0, 5)), ((3, 2), (0, 5)), ((0, 4),)])
def test_a_box_beyond_the_array_is_refused_and_never_what_is_in_memory_by_chance(box, tmp_path):
    write_array(tmp_path / "a.zarr", np.ones((4, 5), "i4"), chunks=(2, 2))
    with pytest.raises(ValueError, match=r"no box within \(4, 5\)"):
        open_pyramid(tmp_path / "a.zarr").read(0, box)


def test_a_large_read_does_not_drive_out_what_is_in_memory(tmp_path, served):
    values = volume((128, 160, 160))
    write_array(tmp_path / "a.zarr", values, zarr_format=2, chunks=(64, 160, 160), compressors=LZ4)
    memory = MemoryCache(8 * 2**20)  # the volume has 13 MB
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(memory))
    plane = ((70, 71), (0, 160), (0, 160))
    pyramid.read(0, plane)
    kept = memory.size_bytes
    assert np.array_equal(pyramid.read(0), values)
    seen = len(served.requests)
    assert np.array_equal(pyramid.read(0, plane), values[70:71])
    assert len(served.requests) == seen
    tables = 2 * 2**14
    assert kept <= memory.size_bytes < kept + tables


def test_values_are_put_where_a_reader_wants_them(tmp_path):
    values = volume((70, 180, 190))
    write_array(tmp_path / "a.zarr", values, zarr_format=2, chunks=(64, 160, 160), compressors=LZ4)
    room = np.zeros((30, 40, 70), "f4")
    box = ((50, 70), (150, 180), (130, 190))
    out = room[4:24, 5:35, 6:66]
    assert open_pyramid(tmp_path / "a.zarr").read(0, box, out=out) is out
    assert np.array_equal(out, values[50:70, 150:180, 130:190])
    out[:] = 0
    assert not room.any()


@pytest.mark.parametrize(
    "out", [np.zeros((2, 4, 4), "i2"), np.zeros((2, 4, 4), "f2"), np.zeros((2, 4, 5), "f4"), np.zeros((4, 4), "f4")]
)
def test_values_that_would_not_fit_are_not_put_anywhere(out, tmp_path):
    write_array(tmp_path / "a.zarr", volume((8, 16, 16)), zarr_format=2, chunks=(4, 16, 16), compressors=LZ4)
    pyramid, before = open_pyramid(tmp_path / "a.zarr"), out.copy()
    with pytest.raises(ValueError, match="doesn't fit"):
        pyramid.read(0, ((0, 2), (0, 4), (0, 4)), out=out)
    assert np.array_equal(out, before)
    wider = np.zeros((2, 4, 4), "f8")
    assert np.array_equal(pyramid.read(0, ((0, 2), (0, 4), (0, 4)), out=wider), volume((8, 16, 16))[:2, :4, :4])


def test_nothing_is_put_into_an_array_once_reading_into_it_has_failed(tmp_path, monkeypatch):
    import threading

    write_array(tmp_path / "a.zarr", volume((8, 16, 16)), zarr_format=2, chunks=(4, 16, 16), compressors=LZ4)
    pyramid = open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(2**22), threads=4))
    reader, is_second_read, may_go_on = pyramid._readers[0], threading.Event(), threading.Event()
    load = reader.load

    def fails_or_is_late(blocks, stop):
        if blocks[0][0] == 0:
            assert is_second_read.wait(30)
            raise StreamError("The disk is broken.")
        is_second_read.set()
        assert may_go_on.wait(30)
        return load(blocks, stop)

    monkeypatch.setattr(reader, "load", fails_or_is_late)
    out = np.zeros((8, 16, 16), "f4")
    with pytest.raises(StreamError, match="broken"):
        pyramid.read(0, out=out)
    out[...] = -1  # it is used for something else by now
    may_go_on.set()
    pyramid._fetcher.fetch(pyramid.runs(0, [(1, 0, 0)]))
    assert np.all(out == -1)


def test_dask_computes_exact_values_in_any_scheduler(tmp_path):
    values = volume((37, 50, 41))
    write_pyramid(tmp_path / "a.zarr", values, 13.48)
    levels = open_pyramid(tmp_path / "a.zarr").levels
    for scheduler in ("threads", "synchronous"):
        with dask.config.set(scheduler=scheduler):
            assert levels[0][:37, :50, :41].mean().compute() == pytest.approx(values.mean(), abs=1e-6)


def test_the_pyramid_behind_its_levels_is_found_again(tmp_path):
    write_pyramid(tmp_path / "a.zarr", volume((8, 8, 8)), 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert pyramid_of(pyramid.levels) is pyramid
    assert pyramid_of(pyramid.levels[0]) is pyramid
    assert pyramid_of(pyramid.levels[:1]) is pyramid
    assert pyramid_of(pyramid.levels[1]) is None
    assert pyramid_of([pyramid.levels[0], pyramid.levels[0][::2, ::2, ::2]]) is None
    assert pyramid_of(pyramid.levels[0] + 1) is None
    assert pyramid_of(np.zeros((2, 2))) is None
    assert pyramid_of([]) is None


def test_no_array_in_a_file_is_read_to_find_out_that_it_is_no_level(tmp_path, monkeypatch):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(4, 5, 6), dtype="u1")
    monkeypatch.setattr(type(array), "__getitem__", lambda *_: pytest.fail("it was read"))
    assert pyramid_of(array) is None
    assert pyramid_of([array]) is None
    assert pyramid_of([]) is None


def test_stop_ends_a_read_that_waits(tmp_path, served):
    write_array(tmp_path / "a.zarr", volume((16, 32, 32)), zarr_format=2, chunks=(16, 32, 32), compressors=LZ4)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.gate.clear()
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        pyramid.read(0, stop=stop)
    timer.join()


def test_a_closed_pyramid_ends_its_requests_and_reads_nothing(tmp_path, served):
    write_array(tmp_path / "a.zarr", volume((16, 32, 32)), zarr_format=2, chunks=(16, 32, 32), compressors=LZ4)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.gate.clear()
    timer = threading.Timer(0.1, pyramid.close)
    timer.start()
    with pytest.raises(StoppedError):
        pyramid.read(0)
    with pytest.raises(StoppedError):
        pyramid.read(0)
    timer.join()


ZATTRS = {"multiscales": [{"version": "0.4", "datasets": [{"path": "0"}]}]}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no OME-Zarr image"),
        ({".zattrs": "{"}, "not valid JSON"),
        ({".zattrs": "[]"}, "does not hold a JSON object"),
        ({".zattrs": "{}"}, "no multiscales"),
        ({".zattrs": json.dumps(ZATTRS)}, "0/.zarray is missing"),
        ({".zattrs": json.dumps({"multiscales": [{"datasets": [{"path": "../x"}]}]})}, "'../x'"),
        ({"zarr.json": '{"node_type": "group", "zarr_format": 3}'}, "not an OME-Zarr image"),
        ({".zarray": '{"shape": [2, 2], "chunks": [2, 2], "dtype": "|O"}'}, "not a number"),
        ({".zarray": '{"shape": [2, -2], "chunks": [2, 2], "dtype": "<f4"}'}, "shape is"),
        ({".zarray": '{"shape": [2, 2], "chunks": [2], "dtype": "<f4"}'}, "different numbers of dimensions"),
        ({".zarray": '{"shape": [2, 2], "chunks": [2, 2], "dtype": "<f4", "compressor": {"id": "pickle"}}'}, "pickle"),
        ({".zarray": '{"shape": [0, 2], "chunks": [2, 2], "dtype": "<f4"}'}, "empty"),
    ],
)
def test_what_is_no_image_is_refused_and_says_why(files, words, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=words):
        open_pyramid(tmp_path)


def test_a_server_that_refuses_is_no_format_error(tmp_path, served):
    served.statuses["."] = 403
    with pytest.raises(StreamError):
        open_pyramid(f"{served.url}/a.zarr")


def test_a_refused_guess_does_not_matter(tmp_path, served):
    write_pyramid(tmp_path / "a.zarr", volume((8, 8, 8)), 10.0)
    served.statuses["zarr.json$|a.zarr/.zarray$"] = 403
    assert open_pyramid(f"{served.url}/a.zarr").shapes[0] == (8, 8, 8)


def test_an_array_whose_metadata_are_refused_is_not_taken_for_a_group(tmp_path):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(3, 4, 5), dtype="u1", zarr_format=2)
    array.attrs["made by"] = "somebody"
    with StreamServer(tmp_path) as served:
        served.statuses["a.zarr/.zarray$"] = 403
        with pytest.raises(StreamError, match="403"):
            open_pyramid(f"{served.url}/a.zarr")


def test_levels_of_other_names_and_number_open(tmp_path):
    values = volume((64, 64, 64))
    scales = [
        {"path": f"s{k}", "coordinateTransformations": [{"type": "scale", "scale": [2**k] * 3}]} for k in range(5)
    ]
    for k in range(5):
        write_array(tmp_path / f"s{k}", values[:: 2**k, :: 2**k, :: 2**k], zarr_format=3, chunks=(32, 32, 32))
    ome = {"version": "0.5", "multiscales": [{"axes": [{"name": name} for name in "zyx"], "datasets": scales}]}
    (tmp_path / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})
    )
    pyramid = open_pyramid(tmp_path.as_uri())
    assert [level.shape[0] for level in pyramid.levels] == [64, 32, 16, 8, 4]
    assert np.array_equal(pyramid.read(4), values[::16, ::16, ::16])
    assert pyramid.factors[4] == (16, 16, 16)


def test_closing_ends_what_zarr_itself_is_reading(tmp_path, served):
    options = {"zarr_format": 2, "order": "F", "compressors": Zstd(1)}
    write_array(tmp_path / "a.zarr", volume((16, 32, 32)), chunks=(16, 32, 32), **options)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.gate.clear()
    timer = threading.Timer(0.1, pyramid.close)
    timer.start()
    with pytest.raises(StoppedError):
        pyramid.read(0)
    timer.join()


WITHIN = {
    "a collection of images": ({"bioformats2raw.layout": 3}, "0"),
    "a plate": ({"plate": {"wells": [{"path": "B/03", "rowIndex": 1}]}}, "B/03"),
    "a well": ({"well": {"images": [{"path": "2"}, {"path": "0"}]}}, "2"),
    "a plate of nothing": ({"plate": {"wells": []}}, ""),
    "a plate that says nothing": ({"plate": 1}, ""),
    "a plate that leads elsewhere": ({"plate": {"wells": [{"path": "../../secret"}]}}, ""),
    "a well that leads elsewhere": ({"well": {"images": [{"path": ["2"]}, 3]}}, ""),
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", WITHIN)
def test_what_holds_many_images_says_where_the_first_of_them_is(name, zarr_format, tmp_path):
    attributes, first = WITHIN[name]
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    group.attrs.update(attributes if zarr_format == 2 else {"ome": attributes})
    with pytest.raises(OtherKindError, match=r"is a (collection|plate|well)") as caught:
        open_pyramid(tmp_path / "a.zarr")
    assert caught.value.first_image == first
    assert bool(caught.value.hint) == bool(first)
    assert caught.value.hint.endswith(f"a.zarr/{first}.") or not first
