"""Reading block after block is noticed, and costs fewer requests than blocks; anything else fetches nothing extra."""

import threading
import time

import dask
import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.read_ahead import ReadAhead
from stream_server import StreamServer

SHAPE = (256, 200, 190)


def noise():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "a.zarr", noise(), 10.0)
    return folder


@pytest.fixture
def served(folder):
    with StreamServer(folder) as server:
        yield server


@pytest.fixture
def fetcher():
    return Fetcher(MemoryCache(256 * 2**20))


@pytest.fixture
def level(served, fetcher):
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=fetcher)
    served.requests.clear()
    return pyramid.levels[0]


def blocks_asked(served):
    """How many blocks of two planes all requests together asked for, about."""
    sizes = [int(last) - int(first) + 1 for first, last in spans(served)]
    return sum(sizes) / min(sizes)


def spans(served):
    ranges = [wanted.removeprefix("bytes=").split("-") for _, wanted in served.requests]
    return [span for span in ranges if span[0] != "0"]


def settle(fetcher):
    """Wait until everything that is wanted has come."""
    deadline = time.monotonic() + 30
    while fetcher._traffic.flights or fetcher._traffic.wishes.count():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.mark.parametrize("order", [1, -1])
def test_a_sequence_is_read_ahead_in_either_direction(order, level, served):
    served.latency_s = 0.005
    for z in list(range(0, 256, 2))[::order]:
        level[z].compute(scheduler="synchronous")
    assert len(spans(served)) < 128 / 2
    assert len(set(map(tuple, spans(served)))) == len(spans(served))


def test_at_most_as_much_is_read_ahead_as_was_read(level, served, fetcher):
    for z in range(100, 112, 2):
        level[z].compute(scheduler="synchronous")
    settle(fetcher)
    assert blocks_asked(served) < 6 * 2 + 1


def test_volumes_of_a_chunk_that_holds_several_are_each_read_ahead(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 64, 256, 256)).astype("f4")
    path = tmp_path / "a.zarr"
    options = {"shape": values.shape, "chunks": values.shape, "dtype": "f4", "compressors": Blosc("lz4")}
    zarr.create_array(str(path), zarr_format=2, **options)[...] = values
    with StreamServer(tmp_path) as served:
        level = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(2**28))).levels[0]
        served.requests.clear()
        served.latency_s = 0.005
        for moment in range(2):
            for z in range(0, 64, 2):
                assert np.array_equal(level[moment, z].compute(scheduler="synchronous"), values[moment, z])
        assert len(spans(served)) < 64 / 2


@pytest.mark.parametrize("planes", [[10], [10, 11], [10, 12], [200, 4, 90, 150, 30, 120, 60]])
def test_few_or_scattered_reads_fetch_nothing_extra(planes, level, served, fetcher):
    for z in planes:
        level[z].compute(scheduler="synchronous")
    settle(fetcher)
    assert len(spans(served)) == len({z // 2 for z in planes})
    assert blocks_asked(served) < len(planes) + 0.5


class Hearing:
    """In place of a fetcher; notes whether another thread could say something newer or older meanwhile."""

    memory = frozenset()

    def __init__(self):
        self.heard, self.reads = [], None

    def want(self, _wanter, runs):
        self.note([key[2][0] for _, run in runs for key in run.keys])

    def forget(self, _wanter):
        self.note("nothing")

    def note(self, what):
        is_alone = not self.reads._lock.acquire(0)
        if not is_alone:
            self.reads._lock.release()
        self.heard.append((what, is_alone))


def test_wishes_of_several_threads_reach_the_fetcher_in_their_order(folder, fetcher):
    """Else an older one could replace the newer, and be waited for in vain."""
    pyramid, hearing = open_pyramid(folder / "a.zarr", fetcher=fetcher), Hearing()
    hearing.reads = reads = ReadAhead(pyramid, 0, hearing)
    for block in range(3):
        reads.note((block, 0, 0))
    reads.blocks_arrived([pyramid.key(0, (block, 0, 0)) for block in range(3, 6)])
    assert hearing.heard == [([3, 4, 5], True), ("nothing", True)]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_what_was_read_ahead_is_exact(workers, level, served):
    with dask.config.set(num_workers=workers):
        values = level.compute(scheduler="threads")
    assert np.array_equal(values[:256, :200, :190], noise())
