"""Sources of bytes: common behaviour, then that of each kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_cryoet.exceptions import ChangedError, FormatError, StreamError, WithheldError
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.piece import Piece
from napari_cryoet.streaming.sources import ByteSource, https_address, open_source
from server import Server, status, without_ranges

MB = 2**20
CONTENT = bytes(range(256)) * 40_000  # more than may be discarded where ranges are ignored

Open = Callable[[], ByteSource]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a b.zarr"
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "1.2").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    (folder / ".zattrs").write_bytes(b"{}")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(folder.parent) as server:
        yield server


@pytest.fixture(params=["folder", "http", "no ranges", "cached"])
def open_folder(
    request: pytest.FixtureRequest, folder: Path, server: Server, tmp_path: Path
) -> Open:
    """A function that opens the folder through each kind of source."""
    url = f"{server.url}/a%20b.zarr"
    match request.param:
        case "folder":
            return lambda: open_source(folder)
        case "http":
            return lambda: open_source(url, cache=None)
        case "no ranges":
            server.script("zarr", without_ranges)
            return lambda: open_source(url, cache=None)
    cache = DiskCache(tmp_path / "pixels", 100 * MB, keep_free_bytes=0)

    def open_cached() -> ByteSource:
        assert cache.flush()
        return open_source(url, cache=cache)

    return open_cached


def read(
    source: ByteSource, key: str, start: int = 0, length: int | None = None, **options: object
) -> Piece | None:
    return client.run(source.read(key, start, length, **{"limit_bytes": 20 * MB, **options}))


# Every source


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, None), (0, 10), (5_000_000, 300), (-20, None), (-20, 20), (9, None), (10_239_000, 5000)],
)
def test_a_range_returns_the_requested_bytes(
    open_folder: Open, start: int, length: int | None
) -> None:
    for _ in range(2):
        piece = read(open_folder(), "0/1.2", start, length)
        assert piece is not None
        assert piece.content == CONTENT[start:][:length]
        assert piece.total_bytes == len(CONTENT)
        assert piece.etag


def test_missing_and_empty_files_differ(open_folder: Open) -> None:
    for _ in range(2):
        source = open_folder()
        assert read(source, "0/9.9") is None
        assert read(source, "0/9.9", 10, 10) is None
        empty = read(source, "empty")
        assert empty is not None
        assert (empty.content, empty.total_bytes) == (b"", 0)


def test_a_changed_file_is_refused(open_folder: Open, folder: Path) -> None:
    source = open_folder()
    first = read(source, "0/1.2", 0, 10)
    assert first is not None
    (folder / "0" / "1.2").write_bytes(b"other" + CONTENT)
    for start in (0, 5_000_000):
        with pytest.raises(ChangedError):
            read(source, "0/1.2", start, 20, etag=first.etag)
    (folder / "0" / "1.2").unlink()
    with pytest.raises(ChangedError):
        read(source, "0/1.2", 20, 20, etag=first.etag)


def test_files_over_the_byte_limit_are_refused(open_folder: Open) -> None:
    with pytest.raises(StreamError):
        read(open_folder(), "0/1.2", limit_bytes=1000)


def test_a_source_counts_bytes_and_names_its_place(open_folder: Open) -> None:
    source = open_folder()
    assert source.bytes_read == 0
    read(source, "0/1.2", 0, 1000)
    assert source.bytes_read >= 1000
    assert "a b.zarr" in source.place
    assert source.as_of is None


# Each kind


def test_a_refused_file_is_not_missing(server: Server, folder: Path) -> None:
    source = open_source(f"{server.url}/a%20b.zarr", cache=None)
    for code in (401, 403, 500 + 5):
        server.script("1.2", status(code))
        with pytest.raises(StreamError):
            read(source, "0/1.2")
    with pytest.raises(StreamError):
        read(open_source(folder), "0")


def test_reading_offline_raises_withheld_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy(), "offline", True)
    with pytest.raises(WithheldError):
        read(open_source(f"{server.url}/a%20b.zarr", cache=None), "0/1.2")


def test_a_file_is_fetched_once_without_range_support(server: Server) -> None:
    server.script("zarr", without_ranges)
    source = open_source(f"{server.url}/a%20b.zarr", cache=None)

    async def read_all() -> None:
        for start in range(0, len(CONTENT), MB):
            await source.read("0/1.2", start, MB, limit_bytes=MB)

    client.run(read_all())
    # a server may have sent all of it when the first part is cut off
    assert server.sent_bytes("1.2") <= 2 * len(CONTENT)


def test_the_query_is_sent_for_every_file(server: Server) -> None:
    read(open_source(f"{server.url}/a%20b.zarr?signature=x%2Fy", cache=None), "0/1.2", 0, 1)
    assert server.requests[-1].path == "/a%20b.zarr/0/1.2?signature=x%2Fy"


def test_a_removed_folder_is_an_error(folder: Path) -> None:
    source = open_source(folder)
    read(source, "0/1.2", 0, 1)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StreamError):
        read(source, "0/1.2", 0, 1)


def test_a_local_etag_depends_on_size_and_time(folder: Path) -> None:
    first = read(open_source(folder), "0/1.2", 0, 1)
    assert first is not None
    about = (folder / "0" / "1.2").stat()
    (folder / "copy").write_bytes(CONTENT)
    (folder / "copy").replace(folder / "0" / "1.2")  # another inode
    os.utime(folder / "0" / "1.2", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert read(open_source(folder), "0/1.2", 0, 1, etag=first.etag)


def test_addresses_are_normalized_or_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(open_source(folder.as_uri()), "0/1.2", 0, 4) == read(
        open_source(str(folder)), "0/1.2", 0, 4
    )
    assert read(open_source(folder / "0" / "1.2"), "", 0, 4) == read(
        open_source(folder), "0/1.2", 0, 4
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.org/")
    assert https_address("s3://bucket/a b.zarr") == "https://store.org/bucket/a%20b.zarr"
    for wrong in ("gs://bucket/a.zarr", "s3://", "http://[", "\0"):
        with pytest.raises(FormatError):
            open_source(wrong)
