"""A file that changes while it is read gives the old values or the new ones, and never some of both."""

import contextlib
import itertools
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from numcodecs import Blosc
from zarr.codecs import TransposeCodec

from command_line import wait_until
from napari_cryoet.exceptions import ChangedError, StreamError
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.streaming import changes, open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.sources import Piece
from napari_cryoet.streaming.versions import Versions, mark_of, named
from quiet import is_quiet
from stream_server import StreamServer

SHAPE = (64, 160, 160)
LAYOUTS = {
    "blosc": {"zarr_format": 2, "chunks": SHAPE, "compressors": Blosc("lz4", 5, Blosc.SHUFFLE)},
    "plain": {"zarr_format": 2, "chunks": SHAPE, "compressors": None},
    "sharded": {"zarr_format": 3, "chunks": (16, 80, 80), "shards": SHAPE, "compressors": zarr.codecs.ZstdCodec()},
    "turned": {"zarr_format": 3, "chunks": (16, 80, 80), "shards": SHAPE, "filters": TransposeCodec(order=(2, 1, 0))},
}
KEYS = {"blosc": "0.0.0", "plain": "0.0.0", "sharded": "c/0/0/0", "turned": "c/0/0/0"}


def noise(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype("<f4")


OLD, NEW = noise(1), noise(2)


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path / "served") as server:
        yield server


@pytest.fixture(params=LAYOUTS)
def replace(request, tmp_path, served):
    """Puts the new version of the only chunk in place of the old one that is served as ``a.zarr``."""
    layout, key = LAYOUTS[request.param], KEYS[request.param]
    for name, values in (("served/a.zarr", OLD), ("new.zarr", NEW)):
        zarr.create_array(str(tmp_path / name), shape=SHAPE, dtype="<f4", **layout)[...] = values
    copies = itertools.count()

    def put():
        copy = Path(shutil.copy(tmp_path / "new.zarr" / key, tmp_path / f"copy{next(copies)}"))
        copy.replace(served.folder / "a.zarr" / key)

    return put


def is_either(values, box=np.s_[:]):
    return np.array_equal(values, OLD[box]) or np.array_equal(values, NEW[box])


def test_a_chunk_that_is_replaced_between_two_of_its_planes_is_read_anew(replace, served):
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    first = pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    assert np.array_equal(first, OLD[:2])
    replace()
    assert np.array_equal(pyramid.read(0, ((40, 42), (0, 160), (0, 160))), NEW[40:42])
    assert np.array_equal(pyramid.read(0, ((0, 2), (0, 160), (0, 160))), NEW[:2])
    assert np.array_equal(pyramid.read(0), NEW)


def test_a_chunk_of_another_size_is_another_one_where_the_server_names_no_version(replace, served):
    served.tells_versions = False
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    assert np.array_equal(pyramid.read(0, ((0, 2), (0, 160), (0, 160))), OLD[:2])
    size = sum(file.stat().st_size for file in (served.folder / "a.zarr").rglob("*"))
    replace()
    if size == sum(file.stat().st_size for file in (served.folder / "a.zarr").rglob("*")):
        return  # what isn't compressed is as large as before, and nothing tells
    assert np.array_equal(pyramid.read(0, ((40, 42), (0, 160), (0, 160))), NEW[40:42])
    assert np.array_equal(pyramid.read(0), NEW)


def test_whenever_it_is_replaced_a_read_is_all_old_or_all_new(replace, served):
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    reads = itertools.count()

    def replace_at_third(path, wanted):
        if path.endswith("0") and next(reads) == 2:
            replace()

    served.before_answer = replace_at_third
    box = ((3, 5), (0, 160), (0, 160))
    assert is_either(pyramid.read(0, box), np.s_[3:5])
    box = ((50, 53), (0, 160), (0, 160))
    assert is_either(pyramid.read(0, box), np.s_[50:53])
    assert np.array_equal(pyramid.read(0), NEW)


def test_a_file_that_never_rests_is_an_error_and_no_mixture(replace, served):
    one_at_a_time = Fetcher(MemoryCache(2**27), threads=1)  # so that nothing is under way any more after the error
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=one_at_a_time)
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    served.before_answer = lambda path, wanted: replace() if wanted and not wanted.startswith("bytes=0-") else None
    with contextlib.suppress(ChangedError):  # a layout that is read in one request never meets two versions
        assert is_either(pyramid.read(0, ((40, 42), (0, 160), (0, 160))), np.s_[40:42])
    served.before_answer = lambda path, wanted: None
    assert np.array_equal(pyramid.read(0), NEW)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_what_dask_computes_in_tasks_is_all_old_or_all_new_or_an_error(scheduler, replace, served):
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    for ends in ((0, 2), (62, 64)):  # of which one is computed first
        pyramid.read(0, (ends, (0, 160), (0, 160)))
    negative = -pyramid.levels[0]
    replace()
    with contextlib.suppress(ChangedError):
        assert is_either(-negative.compute(scheduler=scheduler))
    assert np.array_equal(-negative.compute(scheduler=scheduler), NEW)


def test_a_change_that_others_meet_between_two_tasks_of_dask_is_told_once(replace, served):
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    first, last = -pyramid.levels[0][:2], -pyramid.levels[0][-2:]
    assert np.array_equal(-first.compute(), OLD[:2])
    replace()
    pyramid.read(0, ((30, 32), (0, 160), (0, 160)))
    with pytest.raises(ChangedError, match="changed while it was read"):
        last.compute()  # with the other one this could be half of a result
    for _ in range(2):
        assert np.array_equal(-last.compute(), NEW[-2:])
        assert np.array_equal(-first.compute(), NEW[:2])


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_chunk_that_vanishes_between_two_of_its_planes_is_an_error_first_and_missing_after(name, tmp_path, served):
    layout = LAYOUTS[name]
    zarr.create_array(str(tmp_path / "served/a.zarr"), shape=SHAPE, dtype="<f4", fill_value=7, **layout)[...] = OLD
    one_at_a_time = Fetcher(MemoryCache(2**27), threads=1)  # so that nothing is under way any more after the error
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=one_at_a_time)
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    (served.folder / "a.zarr" / KEYS[name]).unlink()
    with pytest.raises(StreamError, match="vanished"):
        pyramid.read(0, ((40, 42), (0, 160), (0, 160)))
    assert np.all(pyramid.read(0, ((40, 42), (0, 160), (0, 160))) == 7)
    assert np.all(pyramid.read(0) == 7)  # and not what was in memory of it


@pytest.mark.parametrize("place", ["file", "http"])
def test_an_image_whose_chunks_were_all_replaced_is_read_anew_at_once(place, tmp_path, served):
    """Each chunk is met changed while others are, and none of them has to wait for its turn."""
    layout = {"zarr_format": 2, "chunks": (16, 40, 20)}
    for name, values in (("served/a.zarr", OLD), ("new.zarr", NEW)):
        zarr.create_array(str(tmp_path / name), shape=SHAPE, dtype="<f4", **layout)[...] = values
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=None, fetcher=Fetcher(MemoryCache(2**12)))
    assert np.array_equal(pyramid.read(0), OLD)
    shutil.rmtree(served.folder / "a.zarr")
    (tmp_path / "new.zarr").rename(served.folder / "a.zarr")
    assert np.array_equal(pyramid.read(0), NEW)


def test_an_image_that_vanishes_is_missing_after_each_of_its_chunks_was_told(tmp_path, served):
    chunks = (64, 40, 160)
    array = zarr.create_array(str(tmp_path / "served/a.zarr"), shape=SHAPE, dtype="<f4", zarr_format=2, chunks=chunks)
    array[...] = OLD
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=Fetcher(MemoryCache(2**10)))
    pyramid.read(0)
    for chunk in (served.folder / "a.zarr").glob("0.*"):
        chunk.unlink()
    for _ in range(5):
        with contextlib.suppress(ChangedError):
            assert not pyramid.read(0).any()
            return
    pytest.fail("it goes on vanishing")


def test_an_mrc_file_that_changed_after_its_header_was_read_is_an_error(tmp_path):
    import mrcfile

    for name, values in (("a.mrc", OLD), ("b.mrc", NEW)):
        with mrcfile.new(tmp_path / name) as file:
            file.set_data(values)
    levels = open_mrc(tmp_path / "a.mrc").levels
    assert np.array_equal(levels[0][0].compute(), OLD[0])
    (tmp_path / "b.mrc").replace(tmp_path / "a.mrc")
    with pytest.raises(ChangedError, match="changed while it was read"):
        levels[0][40].compute()


def test_an_mrc_file_that_vanished_is_an_error_and_never_zeros(tmp_path):
    import mrcfile

    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(OLD)
    levels = open_mrc(tmp_path / "a.mrc").levels
    (tmp_path / "a.mrc").unlink()
    for _ in range(2):
        with pytest.raises(StreamError, match="vanished"):
            levels[0][40].compute()


def test_what_was_under_way_while_a_version_was_forgotten_does_not_count():
    versions = Versions("a.zarr")
    _, before = versions.of("0")
    versions.settle("0", "old", before)
    versions.forget()
    with pytest.raises(ChangedError):
        versions.settle("0", "old", before)
    assert versions.of("0")[0] is None

    _, after = versions.of("0")
    versions.settle("0", "new", after)
    versions.settle("0", "new", before)  # late, but right
    versions.confirm("0", "new")
    with pytest.raises(ChangedError, match="changed while it was read"):
        versions.confirm("0", "old")


def test_a_file_without_a_version_is_confirmed_until_it_is_forgotten():
    versions = Versions("a.zarr")
    versions.settle("0", None, 0)
    versions.confirm("0", None)
    versions.forget()
    with pytest.raises(ChangedError):
        versions.confirm("0", None)


def test_a_file_without_a_version_is_known_by_its_size_as_far_as_that_is_said():
    pieces = [Piece(b"", None, size) for size in (None, 5, 6)]
    unknown, five, six = map(mark_of, pieces)
    versions = Versions("a.zarr")
    for each in (unknown, five, unknown, five):
        versions.settle("0", each, 0)
        versions.confirm("0", each)
    assert named(versions.of("0")[0]) is None
    for each in (six, "5", '"etag"'):
        with pytest.raises(ChangedError):
            versions.settle("0", each, 0)
        with pytest.raises(ChangedError):
            versions.confirm("0", each)
    versions.settle("1", unknown, 0)
    with pytest.raises(ChangedError):
        versions.settle("1", '"etag"', 0)


@pytest.mark.parametrize("place", ["file", "http"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_chunk_that_comes_while_it_counts_as_missing_is_never_read_in_part(name, place, tmp_path, served):
    layout = LAYOUTS[name]
    zarr.create_array(str(tmp_path / "served/a.zarr"), shape=SHAPE, dtype="<f4", fill_value=7, **layout)[...] = OLD
    chunk = served.folder / "a.zarr" / KEYS[name]
    chunk.rename(tmp_path / "chunk")
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=None, fetcher=Fetcher(MemoryCache(2**27)))
    assert np.all(pyramid.read(0, ((0, 2), (0, 160), (0, 160))) == 7)
    (tmp_path / "chunk").rename(chunk)
    pyramid._fetcher.memory.forget_if(lambda key: "frame" in key or "index" in key)  # as when memory is short
    assert np.array_equal(pyramid.read(0, ((40, 42), (0, 160), (0, 160))), OLD[40:42])
    assert np.array_equal(pyramid.read(0), OLD)


@pytest.mark.parametrize("place", ["file", "http"])
@pytest.mark.parametrize(
    "other", [{"chunks": (32, 160, 160)}, {"dtype": "<i4"}, {"chunks": (80, 64, 160), "shape": (160, 64, 160)}]
)
def test_an_image_that_is_cut_otherwise_when_it_is_written_anew_has_to_be_opened_again(other, place, tmp_path, served):
    """Its new chunks have as many bytes as the old ones, or could be taken for such."""
    layout = {"zarr_format": 2, "shape": SHAPE, "chunks": SHAPE, "dtype": "<f4", "compressors": Blosc("lz4", 5, 1)}
    written = str(tmp_path / "served/a.zarr")
    zarr.create_array(written, **layout)[...] = OLD
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=DiskCache(tmp_path / "pixels", 2**26))
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    zarr.create_array(written, overwrite=True, **layout | other)[...] = 5
    for plane in ((40, 42), (50, 52)):
        with pytest.raises(StreamError, match="written anew since it was opened"):
            pyramid.read(0, (plane, (0, 160), (0, 160)))
    assert np.all(open_pyramid(address, cache=None).read(0) == 5)


def test_a_level_whose_metadata_only_look_otherwise_is_read_on(tmp_path, served):
    layout = {"zarr_format": 3, "shape": SHAPE, "chunks": SHAPE, "dtype": "<f4", "compressors": None}
    for name, values in (("served/a.zarr", OLD), ("new.zarr", NEW)):
        array = zarr.create_array(str(tmp_path / name), fill_value=float("nan"), attributes={"from": name}, **layout)
        array[...] = values
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    shutil.rmtree(served.folder / "a.zarr")
    (tmp_path / "new.zarr").rename(served.folder / "a.zarr")
    assert np.array_equal(pyramid.read(0, ((40, 42), (0, 160), (0, 160))), NEW[40:42])


def test_whether_files_mean_what_they_did_is_asked_until_it_is_known(replace, served):
    fetcher = Fetcher(MemoryCache(2**27))
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=fetcher)
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    replace()
    served.statuses["zarray|zarr.json"] = 403
    for _ in range(2):
        with pytest.raises(StreamError, match="403"):
            pyramid.read(0, ((40, 42), (0, 160), (0, 160)))
    wait_until(lambda: is_quiet(fetcher))  # who reads on joins what is under way, and its 403
    served.statuses.clear()
    assert np.array_equal(pyramid.read(0), NEW)


@pytest.fixture
def halves(tmp_path, served):
    """An image of two chunks that is served as ``a.zarr``; replaces files of it by those of its new version."""
    for name, values in (("served/a.zarr", OLD), ("new.zarr", NEW)):
        array = zarr.create_array(str(tmp_path / name), shape=(128, 160, 160), dtype="<f4", **LAYOUTS["blosc"])
        array[:64] = array[64:] = values

    def put(*keys):
        for key in keys:
            (tmp_path / "new.zarr" / key).replace(served.folder / "a.zarr" / key)

    return put


@pytest.mark.parametrize("place", ["file", "http"])
def test_what_was_read_of_other_files_does_not_stand_beside_one_that_is_met_changed(place, halves, served):
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=None)
    pyramid.read(0, ((0, 2), (0, 160), (0, 160)))
    pyramid.read(0, ((64, 66), (0, 160), (0, 160)))
    halves("0.0.0", "1.0.0")
    assert np.array_equal(pyramid.read(0, ((104, 106), (0, 160), (0, 160))), NEW[40:42])
    assert np.array_equal(pyramid.read(0, ((0, 2), (0, 160), (0, 160))), NEW[:2])  # which was in memory


def test_a_picture_of_an_image_that_changed_is_asked_for_anew(halves, served):
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None)
    plane, shown = ((0, 1), (0, 160), (0, 160)), threading.Event()
    display = pyramid.display(on_change=shown.set, is_held=True)
    display.release(ahead=False)  # else all of the image may be in memory before it changes
    while not (picture := display.picture(0, plane)).is_whole:
        assert shown.wait(60)
        shown.clear()
    assert np.array_equal(picture.values, OLD[:1])
    pyramid.read(0, ((64, 66), (0, 160), (0, 160)))
    halves("0.0.0", "1.0.0")
    shown.clear()
    pyramid.read(0, ((104, 106), (0, 160), (0, 160)))  # as another view or a script may
    while not (picture := display.picture(0, plane)).is_whole or not np.array_equal(picture.values, NEW[:1]):
        assert shown.wait(60)
        shown.clear()
    display.close()


@pytest.mark.usefixtures("halves")
def test_a_picture_of_an_image_that_never_rests_pauses_ever_longer(served, monkeypatch):
    passed_s, shown = [0.0], threading.Event()
    monkeypatch.setattr(changes, "time", SimpleNamespace(monotonic=lambda: passed_s[0]))
    fetcher = Fetcher(MemoryCache(2**27), clock=lambda: time.monotonic() + passed_s[0])
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=fetcher)
    display, plane = pyramid.display(on_change=shown.set), ((0, 1), (0, 160), (0, 160))
    pauses_s = []
    for _ in range(9):
        pyramid._changes.note(None)
        pauses_s.append(pyramid.pause_s())
        passed_s[0] += pyramid.pause_s()
    pyramid._changes.note(None)
    assert pauses_s == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30]
    served.requests.clear()
    assert display.picture(0, plane).is_blank
    pyramid.read(0, ((64, 65), (0, 160), (0, 160)))  # whoever waits needn't
    assert not [path for path, _ in served.requests if path.endswith("/0.0.0")]
    passed_s[0] += 30.0
    while not (picture := display.picture(0, plane)).is_whole:
        assert shown.wait(60)
        shown.clear()
    assert np.array_equal(picture.values, OLD[:1])
    passed_s[0] += 100.0
    pyramid._changes.note(None)
    assert pyramid.pause_s() == 0
    display.close()


def test_a_shard_that_changes_leaves_no_other_one_mixed(tmp_path, served):
    """zarr reads these, and had forgotten the versions of all shards when one of them changed."""
    layout = {"zarr_format": 3, "chunks": (16, 80, 160), "shards": (32, 160, 160)}
    for name, values in (("served/a.zarr", OLD), ("new.zarr", NEW)):
        array = zarr.create_array(
            str(tmp_path / name), shape=SHAPE, dtype="<f4", filters=TransposeCodec(order=(2, 1, 0)), **layout
        )
        array[...] = values
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None)
    planes = [((z, z + 1), (0, 80), (0, 160)) for z in (0, 32)]
    for plane in planes:
        pyramid.read(0, plane)
    for key in ("c/0/0/0", "c/1/0/0"):
        (tmp_path / "new.zarr" / key).replace(served.folder / "a.zarr" / key)
    for plane in planes:
        below = (plane[0], (80, 160), (0, 160))
        assert np.array_equal(pyramid.read(0, below), NEW[plane[0][0] : plane[0][1], 80:])
        assert np.array_equal(pyramid.read(0, plane), NEW[plane[0][0] : plane[0][1], :80])


def test_that_a_file_is_missing_counts_until_it_is_forgotten():
    versions = Versions("a.zarr")
    assert versions.miss("0", 0)
    with pytest.raises(ChangedError):
        versions.settle("0", "new", 0)
    versions.forget()
    with pytest.raises(ChangedError):  # it was asked for before
        versions.miss("0", 0)
    versions.settle("0", "new", 1)
    assert not versions.miss("0", 1)
    with pytest.raises(ChangedError):
        versions.miss("0", 0)


def test_a_file_that_changed_is_called_by_a_short_name_without_secrets():
    versions = Versions(f"https://me:secret@files.org/{'folder/' * 50}a.zarr?signature=secret")
    with pytest.raises(
        ChangedError, match=r"^…/folder/.*a\.zarr/0/1\.2\.3 on files\.org changed while it was read\."
    ) as met:
        versions.confirm("0/1.2.3", "1")
    assert "secret" not in str(met.value)
    assert len(met.value.message) < 120
