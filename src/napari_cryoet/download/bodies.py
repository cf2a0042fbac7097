"""The bytes behind a URL, from the web or from a pack's folder, beginning where an earlier transfer ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from napari_cryoet.exceptions import NetworkError
from napari_cryoet.http import Http
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
    """Opens http(s) URLs through one client, and ``file://`` URIs from disk."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def open(
        self,
        url: str,
        *,
        start: int = 0,
        etag: str | None = None,
        size_bytes: int | None = None,
        stop: threading.Event | None = None,
    ) -> AbstractContextManager[Body]:
        """Open a file for reading from ``start``, if it is still the version of ``etag``, else from 0.

        ``size_bytes`` is what others say of it, where its server may not.

        Raises
        ------
        NetworkError
            With the HTTP status where there was an answer; a file that isn't there has 404.
        """
        if _is_local(url):
            return _open_local(url, start, etag, stop)
        return self._open_remote(url, start, etag, size_bytes or 0, stop)

    def read(self, url: str, *, max_bytes: int, stop: threading.Event | None = None) -> bytes:
        """Return all of a small file; NetworkError if it is larger than ``max_bytes``."""
        if not _is_local(url):
            return self._http.get(url, max_bytes=max_bytes, stop=stop)
        with _open_local(url, 0, None, stop) as body:
            if (body.total_bytes or 0) > max_bytes:
                raise NetworkError(f"The pack's file {_local_path(url).name} is unusually large.", url=url)
            return b"".join(body.chunks)

    def size_bytes(self, url: str, *, stop: threading.Event | None = None) -> int | None:
        """Return the size of a file without reading it, or None if the server doesn't say."""
        if not _is_local(url):
            return self._http.head(url, stop=stop).size_bytes
        with _open_local(url, 0, None, stop) as body:
            return body.total_bytes

    @contextmanager
    def _open_remote(
        self, url: str, start: int, etag: str | None, size_bytes: int, stop: threading.Event | None
    ) -> Iterator[Body]:
        with self._http.open(url, start=start, etag=etag, size_bytes=size_bytes, stop=stop) as answer:
            yield Body(start=answer.start, total_bytes=answer.total_bytes, etag=answer.etag, chunks=answer.chunks())


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
