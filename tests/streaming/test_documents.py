"""A document that was damaged on its way is read anew, and is never kept as it came."""

from __future__ import annotations

import json
import re
import socket

import mrcfile
import numpy as np
import pytest

import fault_server as faults
from fault_server import Behaviour, FaultServer, Faulty, Request
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.loading import load_annotation
from napari_cryoet.streaming import find_labels, open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.disk_settings import shared_disk_cache
from napari_cryoet.streaming.documents import read_parsed
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.sources import FileSource


def cut_short(good: Behaviour) -> Behaviour:
    """Send half of a file without saying how long it is, as a server that was interrupted did in the old days."""

    def behave(connection: socket.socket, request: Request) -> None:
        faults.altered(_half)(faults.whole(good))(connection, request)
        raise ConnectionAbortedError

    return behave


def _half(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    return re.sub(rb"Content-Length: \d+", b"Connection: close", head), body[: len(body) // 2]


DAMAGES = {"other bytes": faults.inverted, "half of them": cut_short}
POINTS = b'{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n' * 3


def volume():
    return np.random.default_rng(0).normal(size=(12, 40, 30)).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_pyramid(folder / "image.zarr", volume(), 10.0)
    (folder / "image.zarr" / "labels").mkdir()
    (folder / "image.zarr" / "labels" / ".zattrs").write_text(json.dumps({"labels": ["cells"]}))
    (folder / "picks.ndjson").write_bytes(POINTS)
    with mrcfile.new(folder / "volume.mrc") as file:
        file.set_data(volume())
    return folder


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def files(server, folder, far_away):
    """Serves the folder from the other side of an ocean: it isn't asked again before an hour is over."""
    behaviour = Faulty(faults.files(folder))
    server.behave(behaviour)
    return behaviour


def read_image(address):
    """As another process reads it, which has nothing in memory."""
    shared_disk_cache().flush()
    return open_pyramid(f"{address}/image.zarr", fetcher=Fetcher(MemoryCache(2**28))).read(0)


READERS = {
    "an image's attributes": (r"/\.zattrs$", read_image, volume),
    "an array's metadata": (r"/0/\.zarray$", read_image, volume),
    "a list of labels": (r"labels/\.zattrs$", lambda address: len(find_labels(f"{address}/image.zarr")), lambda: 1),
    "picks": (r"ndjson$", lambda address: len(load_annotation(f"{address}/picks.ndjson")[0].data), lambda: 3),
    "an MRC header": (r"mrc$", lambda address: np.asarray(open_mrc(f"{address}/volume.mrc").levels[0]), volume),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_document_that_came_damaged_once_is_read_once_more(name, damage, server, files):
    files.pattern, read, truth = READERS[name]
    files.fault, files.left = DAMAGES[damage], 1
    address = server.url.removesuffix("/file")
    assert np.array_equal(read(address), truth())
    assert files.hits == 1
    assert shared_disk_cache().flush()
    assert np.array_equal(read(address), truth())


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_document_that_comes_damaged_for_a_while_is_read_anew_after_it(name, damage, server, files):
    files.pattern, read, truth = READERS[name]
    files.fault = DAMAGES[damage]
    address = server.url.removesuffix("/file")
    with pytest.raises((FormatError, StreamError)):
        read(address)
    assert shared_disk_cache().flush()
    files.fault = None
    assert np.array_equal(read(address), truth())


def parse(content: bytes) -> int:
    if not content.isdigit():
        raise FormatError("no number")
    return int(content)


def test_what_is_the_same_again_is_what_it_is(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"twelve")
    source = FileSource(tmp_path)
    assert read_parsed(source, "a", parse) == 12
    assert read_parsed(source, "c", parse) is None
    with pytest.raises(FormatError, match="no number"):
        read_parsed(source, "b", parse)
    assert source.bytes_read == 2 + 6 + 6
