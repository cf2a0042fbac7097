"""Where bytes come from: files below a web address or a folder, read whole or in ranges.

What is missing is told apart from what failed. A missing file is an answer (zarr's rule: its voxels have the fill
value); a refusal, a broken server or a broken disk is a `StreamError`, and never becomes zeros. Every piece says which
version of its file it comes from, so that parts of two versions are never put together.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import url2pathname

from napari_cryoet.exceptions import (
    CHANGED_HINT,
    ChangedError,
    FormatError,
    NetworkError,
    StreamError,
    WithheldError,
)
from napari_cryoet.forks import FreshLock
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.addresses import path_of, scheme_of
from napari_cryoet.streaming.s3 import https_address

if TYPE_CHECKING:
    from napari_cryoet.http import Http
    from napari_cryoet.streaming.disk_cache import DiskCache
    from napari_cryoet.streaming.watch import Watch

_MISSING_STATUSES = {404, 410}
_BEYOND_END_STATUS, _CHANGED_STATUS = 416, 412
_GONE_HINT = "Check the disk or the network drive that it is on."


@dataclass(frozen=True, slots=True)
class Piece:
    """A file or a part of it.

    Attributes
    ----------
    content
        The bytes.
    version
        What tells this version of the file from others, to compare and nothing else: the ETag, or when the file was
        changed and its size, and for local files also the inode; None where the server says nothing of the kind.
    total_bytes
        Size of the whole file, where it is known.
    changed_at
        When it was changed last, in seconds since 1970, where its server says so; on this computer also when it was put
        where it is, though not with the folder that it is in.
    is_cut
        Whether it was cut out of the whole file, since the server sends no parts.
    """

    content: bytes
    version: str | None
    total_bytes: int | None
    changed_at: float | None = None
    is_cut: bool = field(default=False, compare=False)


class ByteSource(Protocol):
    """A tree of files that can be read in ranges, from any thread."""

    @property
    def url(self) -> str:
        """Where this is, for messages and for people."""

    @property
    def bytes_read(self) -> int:
        """How many bytes have come from here so far."""

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it.

        Parameters
        ----------
        key
            The file, relative, with ``/`` between the names; empty for the file that the source itself is.
        start
            The first byte; negative counts from the end.
        length
            How many bytes at most; fewer come only where the file ends.
        version
            The version that other parts of the file came from; no other is read.
        stop
            Set by whoever no longer wants the bytes.

        Returns
        -------
        Piece or None
            None where there is no such file.

        Raises
        ------
        ChangedError
            Where the file isn't ``version`` any more, or changes while it is read.
        StreamError
            Where the file may exist but could not be read.
        StoppedError
            When ``stop`` is set.
        """

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file any more: what came from it was damaged."""

    def forget_all(self) -> None:
        """Use nothing that is kept of any file any more: one of them changed."""


class SourceAround:
    """A source that comes between another one and who reads it; on its own it changes nothing.

    Parameters
    ----------
    source
        The other one.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    @property
    def url(self) -> str:
        """The address of the other one."""
        return self._source.url

    @property
    def bytes_read(self) -> int:
        """How many bytes have come from the other one so far."""
        return self._source.bytes_read

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        return self._source.read(key, start=start, length=length, version=version, stop=stop)

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file any more; see `ByteSource`."""
        self._source.forget(key)

    def forget_all(self) -> None:
        """Use nothing that is kept of any file any more; see `ByteSource`."""
        self._source.forget_all()


class _KeepsNothing:
    """What reads anew each time, and counts the bytes that come to many threads."""

    def __init__(self) -> None:
        self._lock, self._bytes_read = FreshLock(), 0

    @property
    def bytes_read(self) -> int:
        """How many bytes of content have come so far, also of what is on its way."""
        return self._bytes_read

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self._bytes_read += size_bytes

    def forget(self, key: str) -> None:
        """Nothing: nothing is kept; see `ByteSource`."""

    def forget_all(self) -> None:
        """Nothing: nothing is kept; see `ByteSource`."""


class HttpSource(_KeepsNothing):
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

        super().__init__()
        self._http = http or shared_http()
        self._parts = urlsplit(url)

    @property
    def url(self) -> str:
        """The address."""
        return urlunsplit(self._parts)

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        is_whole = start == 0 and length is None
        try:
            piece = self._http.get_piece(
                self._url_of(key),
                start=None if is_whole else start,
                length=length,
                version=version,
                stop=stop,
                came=self._count,
            )
        except WithheldError:
            raise
        except NetworkError as error:
            return _answer_of(error, version)
        return Piece(piece.content, piece.version, piece.total_bytes, piece.changed_at, piece.is_cut)

    def _url_of(self, key: str) -> str:
        path = f"{self._parts.path.rstrip('/')}/{quote(key)}" if key else self._parts.path
        return urlunsplit(self._parts._replace(path=path))


class FileSource(_KeepsNothing):
    """Files below a folder, or a single file.

    Parameters
    ----------
    path
        The folder or file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._was_there = False  # when something of it was read: a drive may be gone since, and nothing is missing then

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        raise_if_stopped(stop)
        path = self._path / key if key else self._path
        try:
            with open(path, "rb", opener=_open_without_waiting) as file:  # Path.open has no opener
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise StreamError(f"{path} is no file.")
                piece = _read_piece(file, start, length)
        except (FileNotFoundError, NotADirectoryError) as error:
            if key and self._was_there and not os.path.exists(self._path):
                raise StreamError(f"{self._path} isn't there any more.", hint=_GONE_HINT) from error
            return None
        except IsADirectoryError as error:
            raise StreamError(f"{path} is a folder, not a file.") from error
        except OSError as error:
            raise StreamError(f"{path} could not be read ({error.strerror}).") from error
        if piece is None or version not in {None, piece.version}:
            raise ChangedError(f"{path} changed while it was read.", hint=CHANGED_HINT)
        self._was_there = True
        self._count(len(piece.content))
        return piece


def _answer_of(error: NetworkError, version: str | None) -> Piece | None:
    """What a status means here that isn't success: an answer, or a StreamError."""
    if error.status in _MISSING_STATUSES:
        return None
    if error.status == _BEYOND_END_STATUS and version is None:
        return Piece(b"", None, None)
    if error.status in {_BEYOND_END_STATUS, _CHANGED_STATUS} and version is not None:
        raise ChangedError(error.message, hint=CHANGED_HINT) from error
    raise StreamError(error.message, hint=error.hint) from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe, too: else that waits for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_piece(file: BinaryIO, start: int, length: int | None) -> Piece | None:
    """A part of a local file; None where the file changed meanwhile."""
    before = os.fstat(file.fileno())
    file.seek(max(0, before.st_size + start) if start < 0 else start)
    content = file.read(-1 if length is None else length)
    version = version_of(before)
    if version != version_of(os.fstat(file.fileno())):
        return None
    return Piece(content, version, before.st_size, max(before.st_mtime, before.st_ctime))


def version_of(about: os.stat_result) -> str:
    """By which a file on disk is known to be the one that was read before."""
    return f"{about.st_mtime_ns} {about.st_size} {about.st_ino}"


def open_source(
    url_or_path: str | Path,
    *,
    http: Http | None = None,
    cache: DiskCache | Literal["shared"] | None = "shared",
    watch: Watch | None = None,
) -> ByteSource:
    """A source for an http(s), ``s3://`` (public) or ``file://`` address or a path; nothing is read yet.

    Parameters
    ----------
    url_or_path
        The address or path.
    http
        The client; by default the one that the whole program shares.
    cache
        Where what comes over the wire is kept; by default in the cache that the whole computer shares, None keeps
        nothing. Local files are never kept.
    watch
        What notices that its files can't be of one image.

    Raises
    ------
    FormatError
        For any other kind of address.

    See Also
    --------
    napari_cryoet.streaming.s3 : Where ``s3://`` addresses lead.
    """
    text = str(url_or_path)
    scheme = ""
    if "://" in text:
        text = text.strip()  # what was pasted may have a blank or line end too many
        scheme = scheme_of(text)
    match scheme:
        case "http" | "https":
            return _kept(_watched(HttpSource(text, http=http), watch), cache, watch)
        case "s3":
            return open_source(https_address(text), http=http, cache=cache, watch=watch)
        case "file":
            return _watched(FileSource(Path(url2pathname(urlsplit(text).path))), watch)
        case "":
            return _watched(FileSource(path_of(text)), watch)
        case _:
            raise FormatError(
                f"Addresses that start with {scheme}:// can't be streamed.",
                hint="Use the https address, or a path on this computer.",
            )


def _watched(source: ByteSource, watch: Watch | None) -> ByteSource:
    from napari_cryoet.streaming.watch import WatchedSource

    return source if watch is None else WatchedSource(source, watch)


def _kept(source: ByteSource, cache: DiskCache | Literal["shared"] | None, watch: Watch | None) -> ByteSource:
    from napari_cryoet.streaming.cached_source import CachedSource
    from napari_cryoet.streaming.disk_settings import shared_disk_cache

    disk = shared_disk_cache() if cache == "shared" else cache
    return source if disk is None else CachedSource(source, disk, watch=watch)
