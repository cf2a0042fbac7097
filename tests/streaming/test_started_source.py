"""What opening has read of a file is used once, and only where it answers what is asked."""

import pytest

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.sources import Piece
from napari_cryoet.streaming.started_source import StartedSource
from stream_server import StreamServer

KEPT = Piece(b"0123456789", "1", 1000)


class Server:
    url = "https://example.org/a.zarr"
    bytes_read = 0

    def __init__(self):
        self.asked = []

    def read(self, key, *, start=0, length=None, version=None, stop=None):
        self.asked.append(key)
        return Piece(b"newer", "2", 1000)

    def forget(self, key):
        pass


def test_the_start_of_a_file_is_used_once():
    server = Server()
    source = StartedSource(server, "0/0", KEPT)
    assert source.read("0/0", length=4) == Piece(b"0123", "1", 1000)
    assert not server.asked
    assert source.read("0/0", length=4).version == "2"


@pytest.mark.parametrize(
    "wanted",
    [
        {"length": 11},
        {"length": None},
        {"start": 2, "length": 2},
        {"length": 4, "version": "2"},
    ],
)
def test_the_server_is_asked_for_anything_else(wanted):
    server = Server()
    assert StartedSource(server, "0/0", KEPT).read("0/0", **wanted).version == "2"
    assert StartedSource(server, "0/0", KEPT).read("0/1", length=4).version == "2"


def test_what_was_damaged_is_not_used():
    source = StartedSource(Server(), "0/0", KEPT)
    source.forget("0/0")
    assert source.read("0/0", length=4).version == "2"


def test_the_table_of_the_first_chunk_is_not_asked_for_again(tmp_path):
    import numpy as np

    values = np.random.default_rng(0).normal(size=(16, 300, 300)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0, "tomogram")
    with StreamServer(tmp_path) as served:
        pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(2**28)), cache=None)
        served.requests.clear()
        box = ((3, 4), (0, 200), (0, 200))
        assert np.array_equal(pyramid.read(0, box), values[3:4, :200, :200])
        assert len(served.requests) == 1
