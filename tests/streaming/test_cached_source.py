"""Cached data is shown again after a single check, and never mixed with newer data from the server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from napari_cryoet.exceptions import ChangedError, StreamError
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.sources import CachedSource, HttpSource
from server import Server, garbled, status

MB = 2**20
CHUNK = os.urandom(200_000)

Open = Callable[..., CachedSource]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = tmp_path / "files" / "a.zarr"
    (image / "0").mkdir(parents=True)
    (image / ".zattrs").write_bytes(b'{"multiscales": []}')
    (image / "0" / "0").write_bytes(CHUNK)
    return image


@pytest.fixture
def server(image: Path) -> Iterator[Server]:
    with Server(image.parent, last_modified=True) as server:
        yield server


@pytest.fixture
def open_image(server: Server, tmp_path: Path) -> Open:
    """A function that reopens the image, as another process would."""
    cache = DiskCache(tmp_path / "pixels", 100 * MB, keep_free_bytes=0)

    def open_image(ask_again_after_s: float = 3600) -> CachedSource:
        cache.close()
        server.requests.clear()
        return CachedSource(
            HttpSource(f"{server.url}/a.zarr"), cache, ask_again_after_s=ask_again_after_s
        )

    return open_image


def read(
    source: CachedSource, key: str, start: int = 0, length: int | None = None, **options: object
) -> bytes | None:
    piece = client.run(source.read(key, start, length, limit_bytes=MB, **options))
    return None if piece is None else piece.content


def read_all(source: CachedSource) -> None:
    assert read(source, ".zattrs") == b'{"multiscales": []}'
    assert read(source, "zarr.json") is None
    assert read(source, "0/0", 1000, 100_000) == CHUNK[1000:101_000]


def replace(image: Path, *, since: float = 1e9) -> None:
    """Rewrite the image with the same metadata and other voxels."""
    (image / "0" / "0").write_bytes(CHUNK[::-1])
    os.utime(image / ".zattrs", (since, since))


def test_cached_data_is_not_revalidated_within_an_hour(open_image: Open, server: Server) -> None:
    read_all(open_image())
    source = open_image()
    read_all(source)
    assert (server.requests, source.bytes_read) == ([], 0)
    assert read(source, "0/0", 0, 2000) == CHUNK[:2000]
    assert {request.path for request in server.requests} == {"/a.zarr/.zattrs", "/a.zarr/0/0"}


def test_revalidation_takes_one_request(open_image: Open, server: Server) -> None:
    read_all(open_image())
    read_all(open_image(0))
    assert [request.path for request in server.requests] == ["/a.zarr/.zattrs"]


def test_a_replaced_image_is_fetched_again(open_image: Open, image: Path) -> None:
    read_all(open_image())
    replace(image)
    source = open_image(0)
    assert read(source, "0/0", 1000, 100_000) == CHUNK[::-1][1000:101_000]
    assert source.as_of is None
    assert read(open_image(), "0/0", 1000, 100_000) == CHUNK[::-1][1000:101_000]


def test_old_and_new_data_are_never_mixed(open_image: Open, image: Path) -> None:
    read_all(open_image())
    replace(image)
    source = open_image()
    assert read(source, "0/0", 1000, 100_000) == CHUNK[1000:101_000]
    with pytest.raises(ChangedError):
        read(source, "0/1")
    assert read(open_image(), "0/0", 1000, 100_000) == CHUNK[::-1][1000:101_000]


def test_cached_data_of_another_version_is_not_used(open_image: Open, image: Path) -> None:
    read_all(open_image())
    with pytest.raises(ChangedError):
        read(open_image(), "0/0", 1000, 100, etag='"another"')


@pytest.mark.parametrize("is_offline", [True, False])
def test_data_shown_without_a_server_has_a_date(
    open_image: Open, server: Server, is_offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all(open_image())
    source = open_image(0)
    if is_offline:
        monkeypatch.setattr(policy(), "offline", True)
    else:
        server.script("", status(503, Retry_After="100"))
    read_all(source)
    assert source.as_of is not None
    assert abs((datetime.now(UTC) - source.as_of).total_seconds()) < 60
    with pytest.raises(StreamError):
        read(source, "0/0", 150_000, 10)
    monkeypatch.undo()
    server.end()
    assert read(source, "0/0", 150_000, 10) == CHUNK[150_000:150_010]
    assert source.as_of is None


def test_cached_data_is_not_used_after_a_refusal(open_image: Open, server: Server) -> None:
    read_all(open_image())
    server.script("", status(403))
    with pytest.raises(StreamError):
        read(open_image(0), "0/0", 1000, 100)


def test_missing_chunks_are_checked_again_after_a_while(open_image: Open, image: Path) -> None:
    read_all(open_image())
    assert read(open_image(), "0/5") is None
    (image / "0" / "5").write_bytes(b"uploaded since")
    assert read(open_image(), "0/5") is None
    assert read(open_image(0), "0/5") == b"uploaded since"


def test_forgotten_data_is_fetched_again(open_image: Open, server: Server) -> None:
    server.script("0/0", garbled, times=1)
    source = open_image()
    assert read(source, "0/0") != CHUNK
    source.forget("0/0")
    assert read(source, "0/0") == CHUNK
    assert read(open_image(), "0/0") == CHUNK
    source = open_image()
    assert read(source, "0/0") == CHUNK
    source.forget_all()
    assert read(open_image(), "0/0") == CHUNK
    assert server.requests
