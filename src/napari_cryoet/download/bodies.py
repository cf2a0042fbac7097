"""The bytes behind a URL, from the web or from a pack's folder, beginning where an earlier transfer ended."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from napari_cryoet.exceptions import NetworkError
from napari_cryoet.files import file_at
from napari_cryoet.network import client
from napari_cryoet.stopping import raise_if_stopped

READ_BYTES = 1 << 20
ABSENT = frozenset({404, 410})  # what a server answers that has no such file


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An answer that is being read.

    Attributes
    ----------
    start
        Where in the file its first byte lies; 0 although more was asked for, if the file changed or the server can't
        begin in the middle.
    total_bytes
        Size of the whole file, or None if the server doesn't say.
    etag
        What identifies this version of the file, or None.
    chunks
        The bytes from ``start`` to the end; to be read once.
    """

    start: int
    total_bytes: int | None
    etag: str | None
    chunks: Iterator[bytes]


class Bodies:
    """Opens http(s) URLs, and ``file://`` URIs from disk."""

    def open(
        self,
        url: str,
        *,
        start: int = 0,
        etag: str | None = None,
        stop: threading.Event | None = None,
    ) -> AbstractContextManager[Body]:
        """Open a file for reading from ``start``, if it is still the version of ``etag``, else from 0.

        Raises
        ------
        NetworkError
            With the HTTP status where there was an answer; a file that isn't there has 404.
        """
        if _is_local(url):
            return _open_local(url, start, etag, stop)
        return _open_remote(url, start, etag, stop)

    def read(self, url: str, *, max_bytes: int, stop: threading.Event | None = None) -> bytes:
        """Return all of a small file; NetworkError if it is larger than ``max_bytes``."""
        if not _is_local(url):
            answer = client.fetch(url, limit_bytes=max_bytes, stop=stop)
            if answer is None:
                raise NetworkError(f"There is no file {file_at(url)}.", url=url, status=404)
            return answer.body
        with _open_local(url, 0, None, stop) as body:
            if (body.total_bytes or 0) > max_bytes:
                raise NetworkError(f"The pack's file {_local_path(url).name} is unusually large.", url=url)
            return b"".join(body.chunks)

    def size_bytes(self, url: str, *, stop: threading.Event | None = None) -> int | None:
        """Return the size of a file without reading it, or None if the server doesn't say."""
        if not _is_local(url):
            answer = client.run(client.head(url), stop)
            return None if answer is None else answer.total_bytes
        with _open_local(url, 0, None, stop) as body:
            return body.total_bytes


@contextmanager
def _open_remote(url: str, start: int, etag: str | None, stop: threading.Event | None) -> Iterator[Body]:
    answer = client.stream(url, start=start, etag=etag)
    body = client.run(_entered(answer), stop)
    try:
        yield Body(start=body.start, total_bytes=body.total_bytes, etag=body.etag, chunks=_awaited(aiter(body), stop))
    finally:
        client.run(_left(answer))


async def _entered(answer: AbstractAsyncContextManager[client.Body]) -> client.Body:
    return await answer.__aenter__()


async def _left(answer: AbstractAsyncContextManager[client.Body]) -> None:
    await answer.__aexit__(None, None, None)


def _awaited(chunks: AsyncIterator[bytes], stop: threading.Event | None) -> Iterator[bytes]:
    async def awaited() -> bytes:
        return await anext(chunks, b"")

    while chunk := client.run(awaited(), stop):
        yield chunk


def _is_local(url: str) -> bool:
    return urlsplit(url).scheme == "file"


def _local_path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


@contextmanager
def _open_local(url: str, start: int, etag: str | None, stop: threading.Event | None) -> Iterator[Body]:
    """Open a file of a pack; its size and time of change stand for an ETag."""
    path = _local_path(url)
    if not path.is_file():
        raise NetworkError(f"The pack has no file {path.name}.", url=url, status=404)
    try:
        file = path.open("rb")
    except OSError as error:
        raise NetworkError(f"The pack's file {path.name} can't be read: {error.strerror}.", url=url) from error
    with file:
        state = path.stat()
        own_etag = f'"{state.st_size:x}-{state.st_mtime_ns:x}"'
        position = start if etag in (None, own_etag) and start <= state.st_size else 0
        file.seek(position)
        yield Body(start=position, total_bytes=state.st_size, etag=own_etag, chunks=_chunks(file, stop))


def _chunks(file: BinaryIO, stop: threading.Event | None) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        raise_if_stopped(stop)
        yield chunk
