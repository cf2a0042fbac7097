"""What needs more memory than there is for pixels ends exact all the same, or says so; nothing is fetched for ever."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import zarr
from numcodecs import Zstd

from napari_cryoet.exceptions import StreamError
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.fitting import Fit
from ome_images import noise, write_image
from quiet import is_quiet
from stream_server import StreamServer

MIB = 2**20
SHAPE = (32, 384, 384)
CHUNKS = (32, 64, 64)  # half a MiB each, of which a plane needs all 36


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture
def served(tmp_path, values):
    def write(name, values, chunks):
        options = {"zarr_format": 2, "compressors": Zstd(1), "chunk_key_encoding": {"name": "v2", "separator": "/"}}
        array = zarr.create_array(
            str(tmp_path / name), shape=values.shape, dtype=values.dtype, chunks=chunks, **options
        )
        array[...] = values

    write("volume.zarr", values, CHUNKS)
    write("film.zarr", values[np.newaxis], (1, *CHUNKS))
    write("block.zarr", values, SHAPE)
    with StreamServer(tmp_path) as server:
        yield server


def open_with_little_memory(served, name, limit_bytes=8 * MIB):
    pyramid = open_pyramid(f"{served.url}/{name}", fetcher=Fetcher(MemoryCache(limit_bytes)), cache=None)
    served.requests.clear()  # among them may be one for the first chunk, just in case
    return pyramid


def watch(pyramid, *key, until, timeout_s=60.0):
    """Show again whenever something arrives, as a viewer does."""
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)
    end = time.monotonic() + timeout_s
    try:
        while True:
            picture, state = np.asarray(display.levels[0][key]), display.state
            if until(state):
                return picture, state
            assert changed.wait(end - time.monotonic()), state
            changed.clear()
            assert time.monotonic() < end, state
    finally:
        display.close()


def chunks_asked_for(served):
    return [path for path, _ in served.requests if path[-1].isdigit()]


@pytest.mark.parametrize(("axis", "at"), [(0, 17), (1, 100)])
def test_a_plane_whose_chunks_take_more_than_all_memory_ends_exact(axis, at, served, values):
    pyramid = open_with_little_memory(served, "volume.zarr", 4 * MIB if axis == 0 else MIB)
    picture, _ = watch(pyramid, *(slice(None),) * axis, at, until=lambda state: state.is_exact)
    assert np.array_equal(picture, values.take(at, axis))
    asked = chunks_asked_for(served)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(("axis", "at", "chunks"), [(0, 17, 36), (1, 100, 6)])
def test_nothing_beside_a_plane_drives_it_out_of_memory_that_holds_no_more(axis, at, chunks, served, values):
    pyramid = open_with_little_memory(served, "volume.zarr", 4 * MIB if axis == 0 else MIB)
    changed, key = threading.Event(), (*(slice(None),) * axis, at)
    display = pyramid.display(on_change=changed.set)
    while np.asarray(display.levels[0][key]).size and not display.state.is_exact:
        assert changed.wait(60), display.state
        changed.clear()
    while not is_quiet(pyramid._fetcher, served):
        changed.wait(0.05)
    assert np.array_equal(np.asarray(display.levels[0][key]), values.take(at, axis))
    assert display.state.is_exact
    assert len(chunks_asked_for(served)) == chunks
    display.close()


def test_so_does_a_plane_of_an_array_with_more_axes(served, values):
    pyramid = open_with_little_memory(served, "film.zarr")
    picture, _ = watch(pyramid, 0, 17, until=lambda state: state.is_exact)
    assert np.array_equal(picture, values[17])
    assert len(chunks_asked_for(served)) == len(set(chunks_asked_for(served)))


def test_so_does_a_plane_of_one_block_that_is_larger_than_all_memory(served, values):
    picture, _ = watch(open_with_little_memory(served, "block.zarr"), 17, until=lambda state: state.is_exact)
    assert np.array_equal(picture, values[17])


@pytest.mark.parametrize("name", ["volume.zarr", "block.zarr"])
def test_a_volume_that_does_not_fit_is_an_error_and_is_not_fetched_for_ever(name, served):
    pyramid = open_with_little_memory(served, name)
    _, state = watch(pyramid, until=lambda state: state.error is not None)
    assert isinstance(state.error, StreamError)
    assert "8 MB of memory" in state.error.message
    assert len(chunks_asked_for(served)) <= 12 * 36  # a slow machine tries some more often; for ever were thousands


def test_a_volume_is_given_up_once_what_came_of_it_is_more_than_memory_holds(served):
    pyramid = open_with_little_memory(served, "volume.zarr", 4 * MIB)  # of 18
    before = served.bytes_sent
    _, state = watch(pyramid, until=lambda state: state.error is not None)
    assert "of memory" in state.error.message
    while not is_quiet(pyramid._fetcher, served):
        threading.Event().wait(0.05)
    assert served.bytes_sent - before <= 18 * MIB


def test_a_volume_that_takes_less_memory_than_it_has_voxels_is_shown(tmp_path):
    values = np.zeros((96, 256, 256), "f4")  # 24 MiB, of which one chunk is more than a single value
    values[:32, :64, :64] = noise((32, 64, 64))
    write_image(tmp_path / "sparse.zarr", values, "zyx", levels=1, chunks=(32, 64, 64))
    with StreamServer(tmp_path) as server:
        pyramid = open_with_little_memory(server, "sparse.zarr", 4 * MIB)
        picture, _ = watch(pyramid, until=lambda state: state.is_exact)
    assert np.array_equal(picture, values)


@pytest.fixture
def crumbs(tmp_path):
    """A mask in blocks of a single voxel: remembering one takes far more than the voxel."""
    write_image(tmp_path / "crumbs.zarr", noise((40, 80), "u1") * 0 + 1, "yx", levels=2, chunks=(1, 1))
    return tmp_path / "crumbs.zarr"


def test_a_view_of_more_blocks_than_can_be_remembered_is_shown_coarser(crumbs):
    pyramid = open_pyramid(crumbs, fetcher=Fetcher(MemoryCache(MIB)))
    display = pyramid.display()
    np.asarray(display.levels[0][...])
    assert display.state.is_limited
    display.close()


def test_where_there_is_nothing_coarser_that_is_an_error_at_once(crumbs):
    memory = MemoryCache(MIB // 2)
    pyramid = open_pyramid(crumbs / "0", fetcher=Fetcher(memory))
    _, state = watch(pyramid, ..., until=lambda state: state.error is not None)
    assert "of memory" in state.error.message
    assert memory.size_bytes == 0


def test_a_volume_that_does_not_fit_is_tried_again_when_asked_or_looked_at_in_part(served, values):
    pyramid = open_with_little_memory(served, "volume.zarr")
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)

    def look(*key, until):
        while not until(np.asarray(display.levels[0][key]), display.state):
            assert changed.wait(60), display.state
            changed.clear()

    look(until=lambda _, state: state.error is not None)
    display.retry()
    assert display.state.error is None
    look(until=lambda _, state: state.error is not None)
    look(17, until=lambda picture, state: state.is_exact and np.array_equal(picture, values[17]))
    assert display.state.error is None
    display.close()


BOX = ((0, 32), (0, 384), (0, 384))


def test_a_view_that_was_whole_fits_whatever_others_drive_out_later(served):
    pyramid, fit = open_with_little_memory(served, "volume.zarr", 64 * MIB), Fit()
    blocks = {pyramid.key(0, block) for block in pyramid.grid(0).covering(BOX)}
    fit.begin(pyramid, 0, BOX, memory_bytes=MIB, is_thin=False)
    for _ in range(5):
        fit.came(blocks)
        fit.lacks(set())
        fit.lacks(blocks)
        assert not fit.is_hopeless
    for _ in range(2):  # never whole again
        fit.came(blocks)
        fit.lacks(blocks)
    assert fit.is_hopeless


def test_a_volume_that_did_not_fit_is_tried_again_under_another_limit(served):
    pyramid = open_with_little_memory(served, "volume.zarr")
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)

    def look(until):
        while not until(np.asarray(display.levels[0]), display.state):
            assert changed.wait(60), display.state
            changed.clear()

    look(lambda _, state: state.error is not None)
    while not is_quiet(pyramid._fetcher):
        changed.wait(0.05)
    assert display.state.error is not None
    changed.clear()
    display.largest_view_bytes = display.usual_view_bytes + 1
    assert changed.is_set()  # or no viewer would look again
    assert display.state.error is None
    look(lambda _, state: state.error is not None)
    display.close()


def test_many_planes_that_do_not_fit_together_all_end_exact_and_are_not_fetched_for_ever(served, values):
    fetcher, count = Fetcher(MemoryCache(6 * MIB)), 16
    pyramids = [open_pyramid(f"{served.url}/volume.zarr", fetcher=fetcher, cache=None) for _ in range(count)]
    served.requests.clear()
    changed, news = threading.Event(), [threading.Event() for _ in range(count)]

    def tell(at):
        news[at].set()
        changed.set()

    displays = [pyramid.display(on_change=partial(tell, at)) for at, pyramid in enumerate(pyramids)]  # each needs 3 MiB
    for at in range(count):
        tell(at)
    exact, end = set(), time.monotonic() + 60
    while len(exact) < count or any(each.is_set() for each in news) or not is_quiet(fetcher, served):
        for at, display in enumerate(displays):
            if not news[at].is_set():
                continue  # a viewer shows again what there is news of
            news[at].clear()
            picture, state = np.asarray(display.levels[0][:, at]), display.state
            assert state.error is None
            if state.is_exact:
                assert np.array_equal(picture, values[:, at])
                exact.add(at)
        changed.wait(0.05)
        changed.clear()
        assert time.monotonic() < end, exact
    for display in displays:
        display.close()


def test_a_volume_at_a_time_of_which_nothing_is_known_takes_no_memory(served):
    display = open_with_little_memory(served, "film.zarr").display(is_held=True)
    volume = np.asarray(display.levels[0][0])
    assert volume.shape == SHAPE
    assert not any(volume.strides)
    assert np.asarray(display.levels[0][0, 5]).flags.writeable
