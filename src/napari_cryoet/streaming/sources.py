"""Where bytes come from: files below a web address or a folder, read whole or in ranges.

What is missing is told apart from what failed. A missing file is an answer (zarr's rule: its voxels have the fill
value); a refusal, a broken server or a broken disk is a `StreamError`, and never becomes zeros.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import url2pathname

from napari_cryoet.exceptions import FormatError, NetworkError, StoppedError, StreamError

if TYPE_CHECKING:
    from napari_cryoet.http import Http

_MISSING_STATUSES = {404, 410}
_BEYOND_END_STATUS = 416


class ByteSource(Protocol):
    """A tree of files that can be read in ranges, from any thread."""

    @property
    def url(self) -> str:
        """Where this is, for messages and for people."""

    @property
    def bytes_read(self) -> int:
        """How many bytes have come from here so far."""

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, stop: threading.Event | None = None
    ) -> bytes | None:
        """Read a file, or a part of it.

        Parameters
        ----------
        key
            The file, relative, with ``/`` between the names; empty for the file that the source itself is.
        start
            The first byte; negative counts from the end.
        length
            How many bytes at most; fewer come only where the file ends.
        stop
            Set by whoever no longer wants the bytes.

        Returns
        -------
        bytes or None
            None where there is no such file.

        Raises
        ------
        StreamError
            Where the file may exist but could not be read.
        StoppedError
            When ``stop`` is set.
        """


class _Counter:
    """A number that many threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self, amount: int) -> None:
        with self._lock:
            self.value += amount


class HttpSource:
    """Files below an http(s) address.

    Parameters
    ----------
    url
        The address; a query (as signed addresses have it) is kept for every file below.
    http
        The client; by default the one that the whole program shares.
    """

    def __init__(self, url: str, *, http: Http | None = None) -> None:
        from napari_cryoet.http import shared_http

        self._http = http or shared_http()
        self._parts = urlsplit(url)
        self._bytes_read = _Counter()

    @property
    def url(self) -> str:
        """The address."""
        return urlunsplit(self._parts)

    @property
    def bytes_read(self) -> int:
        """How many bytes of content the server has sent."""
        return self._bytes_read.value

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, stop: threading.Event | None = None
    ) -> bytes | None:
        """Read a file, or a part of it; see `ByteSource`."""
        url = self._url_of(key)
        try:
            if start == 0 and length is None:
                content = self._http.get(url, stop=stop)
            else:
                content = self._http.get(url, start=start, length=length, stop=stop)
        except NetworkError as error:
            if error.status in _MISSING_STATUSES:
                return None
            if error.status == _BEYOND_END_STATUS:
                return b""
            raise StreamError(error.message, hint=error.hint) from error
        self._bytes_read.add(len(content))
        return content

    def _url_of(self, key: str) -> str:
        path = f"{self._parts.path.rstrip('/')}/{quote(key)}" if key else self._parts.path
        return urlunsplit(self._parts._replace(path=path))


class FileSource:
    """Files below a folder, or a single file.

    Parameters
    ----------
    path
        The folder or file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes_read = _Counter()

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    @property
    def bytes_read(self) -> int:
        """How many bytes have been read."""
        return self._bytes_read.value

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, stop: threading.Event | None = None
    ) -> bytes | None:
        """Read a file, or a part of it; see `ByteSource`."""
        if stop is not None and stop.is_set():
            raise StoppedError
        path = self._path / key if key else self._path
        try:
            with path.open("rb") as file:
                file.seek(start, os.SEEK_END if start < 0 else os.SEEK_SET)
                content = file.read(-1 if length is None else length)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError as error:
            raise StreamError(f"{path} is a folder, not a file.") from error
        except OSError as error:
            raise StreamError(f"{path} could not be read ({error.strerror}).") from error
        self._bytes_read.add(len(content))
        return content


def open_source(url_or_path: str | Path, *, http: Http | None = None) -> ByteSource:
    """A source for an http(s) address, a ``file://`` address or a path; nothing is read yet.

    Raises
    ------
    FormatError
        For any other kind of address.
    """
    text = str(url_or_path)
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    match scheme:
        case "http" | "https":
            return HttpSource(text, http=http)
        case "file":
            return FileSource(Path(url2pathname(urlsplit(text).path)))
        case "":
            return FileSource(Path(text).expanduser())
        case _:
            raise FormatError(
                f"Addresses that start with {scheme}:// can't be streamed.",
                hint="Use the https address, or a path on this computer.",
            )
