"""Sources of bytes: files below a web address, a public S3 bucket or a folder, read whole or in ranges.

A missing file is an answer (in zarr, its voxels have the fill value). A refusal, a broken server or
a broken disk is a `StreamError` and never becomes zeros.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit
from weakref import WeakValueDictionary

from napari_cryoet.exceptions import (
    ChangedError,
    FormatError,
    NetworkError,
    StreamError,
    WithheldError,
)
from napari_cryoet.locations import Location, PathOrUrl, without_login, without_password
from napari_cryoet.network import client
from napari_cryoet.network.hosts import is_this_computer
from napari_cryoet.streaming.piece import Piece
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from napari_cryoet.streaming.disk_cache import CachedImage, DiskCache

DOCUMENTS: Final = frozenset({"zarr.json", ".zattrs", ".zarray", ".zgroup"})

_LARGEST_WHOLE_BYTES = (
    256 * 2**20
)  # of one file, or of all files held, from a server without ranges
_CHECK_TIMEOUT_S = 5.0  # to check whether the cached image is current
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


class ByteSource(Protocol):
    """A tree of files that can be read in ranges, by coroutines on the loop of `network.client`.

    ``place`` is the address or path for messages, without secrets; ``server`` names the server
    whose bandwidth is shared, and is empty for this computer's disks.
    """

    url: str
    place: str
    server: str

    @property
    def bytes_read(self) -> int:
        """How many bytes have been read."""

    @property
    def as_of(self) -> datetime | None:
        """If the server is unreachable: when it last confirmed the cached files."""

    async def read(
        self,
        key: str,
        start: int = 0,
        length: int | None = None,
        *,
        etag: str | None = None,
        limit_bytes: int,
    ) -> Piece | None:
        """Read a file or a part of it; None if it doesn't exist.

        ``key`` is relative to the source, empty for the source itself. A negative ``start`` counts
        from the end. The result has fewer than ``length`` bytes only at the end of the file, and
        never more than ``limit_bytes``. A version other than ``etag`` raises ChangedError.
        """

    def forget(self, key: str) -> None:
        """Drop everything cached from a file, because it was damaged."""

    def forget_all(self) -> None:
        """Drop everything cached, because a file changed."""


class HttpSource:
    """Files below an http(s) address.

    Its query, as in signed addresses, is sent with every request.
    """

    as_of = None

    def __init__(self, url: str) -> None:
        self.url = url
        self.place = Location.of(url).shown()
        self._parts = urlsplit(url)
        self.server = client.server_of(url)
        self.bytes_read = 0
        self._sends_ranges = True
        self._wholes = _WholeFiles()

    async def read(
        self,
        key: str,
        start: int = 0,
        length: int | None = None,
        *,
        etag: str | None = None,
        limit_bytes: int,
    ) -> Piece | None:
        """See `ByteSource`."""
        path = f"{self._parts.path.rstrip('/')}/{quote(key)}" if key else self._parts.path
        url, is_part = urlunsplit(self._parts._replace(path=path)), start != 0 or length is not None
        if not is_part or self._sends_ranges:
            try:
                return await self._get(url, start, length, etag, limit_bytes)
            except _NoRangesError:
                self._sends_ranges = False
        whole = await self._wholes.read(url, etag, self._get_whole)
        if etag is not None and (whole is None or whole.etag != etag):
            raise _changed(Location.of(self.url).shown(key))
        if whole is None:
            return None
        first = max(0, len(whole.content) + start) if start < 0 else start
        content = whole.content[first:] if length is None else whole.content[first : first + length]
        return Piece(content, whole.etag, whole.total_bytes, whole.modified)

    async def _get_whole(self, url: str) -> Piece | None:
        return await self._get(url, 0, None, None, _LARGEST_WHOLE_BYTES)

    async def _get(
        self, url: str, start: int, length: int | None, etag: str | None, limit_bytes: int
    ) -> Piece | None:
        is_part = start != 0 or length is not None
        try:
            answer = await client.get(
                url, start=start, length=length, etag=etag, limit_bytes=limit_bytes
            )
        except WithheldError:
            raise
        except NetworkError as error:
            if error.status == 200 and is_part:
                raise _NoRangesError from error
            raise StreamError(error.message, hint=error.hint) from error
        if answer is None:
            return None
        self.bytes_read += len(answer.body)
        if answer.status == 200 and is_part and answer.total_bytes != len(answer.body):
            self._sends_ranges = False
        return Piece(
            answer.body, answer.etag, answer.total_bytes, answer.headers.get("Last-Modified")
        )

    def forget(self, key: str) -> None:  # noqa: ARG002 - few are held; drop them all
        """See `ByteSource`."""
        self._wholes.held.clear()

    def forget_all(self) -> None:
        """See `ByteSource`."""
        self._wholes.held.clear()


class _NoRangesError(Exception):
    """The server sent a whole file although a range was requested."""


class _WholeFiles:
    """The last whole files of a server without ranges, so that each is fetched once for all its parts."""

    def __init__(self) -> None:
        self.held: OrderedDict[str, Piece] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read(
        self, url: str, etag: str | None, get: Callable[[str], Awaitable[Piece | None]]
    ) -> Piece | None:
        """A file, held or freshly fetched; concurrent readers share one request."""
        async with self._locks.setdefault(url, asyncio.Lock()):
            piece = self.held.pop(url, None)
            if piece is None or etag not in {None, piece.etag}:
                piece = await get(url)
            if piece is not None:
                self.held[url] = piece
                while sum(len(each.content) for each in self.held.values()) > _LARGEST_WHOLE_BYTES:
                    self.held.popitem(last=False)
            return piece


class FolderSource:
    """Files below a folder, or a single file; the version is size and modification time."""

    server, as_of = "", None

    def __init__(self, path: Path) -> None:
        self.url = self.place = str(path)
        self._path = path
        self.bytes_read = 0

    async def read(
        self,
        key: str,
        start: int = 0,
        length: int | None = None,
        *,
        etag: str | None = None,
        limit_bytes: int,
    ) -> Piece | None:
        """See `ByteSource`."""
        piece = await asyncio.to_thread(
            self._read, self._path / key if key else self._path, start, length, limit_bytes
        )
        if etag is not None and (piece is None or piece.etag != etag):
            raise _changed(Location.of(self.url).shown(key))
        self.bytes_read += len(piece.content) if piece is not None else 0
        return piece

    def _read(self, path: Path, start: int, length: int | None, limit_bytes: int) -> Piece | None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise StreamError(f"{path} is not a file.")
            with path.open("rb") as file:
                return _read_piece(file, path, start, length, limit_bytes)
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.bytes_read and not os.path.exists(self._path):
                hint = "Check the disk or the network drive that it is on."
                raise StreamError(f"{self._path} isn't there any more.", hint=hint) from error
            return None
        except OSError as error:
            raise StreamError(f"{path} could not be read ({error.strerror}).") from error

    def forget(self, key: str) -> None:
        """See `ByteSource`."""

    def forget_all(self) -> None:
        """See `ByteSource`."""


def _read_piece(
    file: BinaryIO, path: Path, start: int, length: int | None, limit_bytes: int
) -> Piece:
    before = os.fstat(file.fileno())
    first = max(0, before.st_size + start) if start < 0 else start
    rest = max(0, before.st_size - first)
    size = rest if length is None else min(rest, length)
    if size > limit_bytes:
        raise StreamError(f"{path} has {size:,} bytes, more than the {limit_bytes:,} expected.")
    file.seek(first)
    content, after = file.read(size), os.fstat(file.fileno())
    if len(content) != size or version_of(before) != version_of(after):
        raise _changed(str(path))
    return Piece(content, version_of(before), before.st_size)


def version_of(stat_result: os.stat_result) -> str:
    """The version of a local file. Inodes don't count: network drives renumber them."""
    return f"{stat_result.st_mtime_ns} {stat_result.st_size}"


def _changed(place: str) -> ChangedError:
    return ChangedError(f"{place} changed since it was opened.", hint="Reopen it.")


class CachedSource:
    """A network source with a disk cache.

    Before cached parts are used, one request checks whether the image's first document is
    unchanged. Within ``ask_again_after_s`` of the last check, this is put off until something is
    fetched: old and new parts must not mix. If the server is unreachable, cached parts stay
    readable, and `as_of` gives their date.
    """

    def __init__(self, source: ByteSource, cache: DiskCache, *, ask_again_after_s: float) -> None:
        self.url, self.place, self.server = source.url, source.place, source.server
        self.as_of: datetime | None = None
        self._source, self._cache, self._ask_again_after_s = source, cache, ask_again_after_s
        self._image: CachedImage | None = None
        self._lock = asyncio.Lock()
        self._unconfirmed: tuple[str, Piece] | None = (
            None  # a cached document that the server hasn't confirmed yet
        )
        self._damaged: set[str] = set()
        self._spans: dict[str, list[tuple[int, int]]] = {}  # cached, by file

    @property
    def bytes_read(self) -> int:
        """How many bytes have come over the network."""
        return self._source.bytes_read

    async def read(
        self,
        key: str,
        start: int = 0,
        length: int | None = None,
        *,
        etag: str | None = None,
        limit_bytes: int,
    ) -> Piece | None:
        """See `ByteSource`."""
        image = self._image or await self._checked_image()
        if key not in self._damaged and self._may_be_cached(key, start):
            part = await asyncio.to_thread(self._cache.find, image, key, start, length)
            if (
                part is not None
                and part.piece is None
                and self._may_be_missing(key, part.stored_at)
                and etag is None
            ):
                return None
            if part is not None and part.piece is not None and etag in {None, part.piece.etag}:
                return part.piece
        piece, _ = await asyncio.gather(
            self._source.read(key, start, length, etag=etag, limit_bytes=limit_bytes),
            self._confirm(image),
        )
        if start < 0 and piece is not None:
            if piece.total_bytes is None:
                return piece
            start = max(0, piece.total_bytes + start)
        self._cache.put(image, key, start, piece)
        stop = start + len(piece.content) if piece is not None else sys.maxsize
        self._spans.setdefault(key, []).append((start, stop))
        return piece

    def forget(self, key: str) -> None:
        """See `ByteSource`."""
        self._damaged.add(key)
        if self._image is not None:
            self._cache.forget(self._image, key)
        self._source.forget(key)

    def forget_all(self) -> None:
        """See `ByteSource`."""
        if self._image is not None:
            self._cache.drop(self._image)
        self._source.forget_all()

    def _may_be_cached(self, key: str, start: int) -> bool:
        """Whether to ask the cache: that takes a thread, and most blocks are new."""
        spans = self._spans.get(key, ())
        return start < 0 < len(spans) or any(first <= start < stop for first, stop in spans)

    def _may_be_missing(self, key: str, stored_at: float) -> bool:
        """Whether a cached absence is still valid: a chunk may have been uploaded since."""
        return (
            key.rpartition("/")[2] in DOCUMENTS
            or self.as_of is not None
            or self._is_recent(stored_at)
        )

    def _is_recent(self, moment_s: float) -> bool:
        return 0 <= time.time() - moment_s < self._ask_again_after_s

    async def _checked_image(self) -> CachedImage:
        """The cached image, checked with the server if needed.

        Concurrent readers share the check.
        """
        async with self._lock:
            if self._image is not None:
                return self._image
            image = await asyncio.to_thread(self._cache.image, without_password(self.url))
            first = await asyncio.to_thread(self._cache.first_document, image)
            checked_at = image.checked_at or 0.0
            if first is None or self._is_recent(checked_at):
                self._unconfirmed = first
            else:
                try:
                    is_unchanged = await self._is_unchanged(*first)
                except StreamError as error:
                    if not _is_unavailable(error):
                        raise
                    self.as_of, self._unconfirmed = datetime.fromtimestamp(checked_at, UTC), first
                else:
                    image = self._cache.confirm(image) if is_unchanged else self._cache.drop(image)
            if image.number is not None:
                self._spans = await asyncio.to_thread(self._cache.spans, image)
            self._image = image
            return image

    async def _confirm(self, image: CachedImage) -> None:
        """Check the cached document before something fetched is used.

        ChangedError if it changed.
        """
        if self._unconfirmed is None:
            return
        async with self._lock:
            if self._unconfirmed is None:
                return
            if not await self._is_unchanged(*self._unconfirmed):
                self._cache.drop(image)
                raise _changed(self.place)
            self._cache.confirm(image)
            self._unconfirmed = self.as_of = None

    async def _is_unchanged(self, key: str, kept: Piece) -> bool:
        """Whether the server still has the cached version of a file."""
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                piece = await self._source.read(key, 0, 1, limit_bytes=1)
        except TimeoutError as error:
            raise StreamError(
                f"The server of {self.place} doesn't answer.", hint="Try again later."
            ) from error
        return piece is not None and (piece.etag, piece.modified) == (kept.etag, kept.modified)


def _is_unavailable(error: StreamError) -> bool:
    """Whether the server is unreachable, busy or broken."""
    cause = error.__cause__
    if isinstance(error, WithheldError) or isinstance(cause, TimeoutError):
        return True
    return isinstance(cause, NetworkError) and (
        cause.status is None or cause.status == 429 or cause.status >= 500
    )


def open_source(
    location: PathOrUrl, *, cache: DiskCache | Literal["shared"] | None = "shared"
) -> ByteSource:
    """A source for an http(s), ``s3://`` (public) or ``file://`` address or a path; nothing is read yet.

    Network reads go through ``cache``. FormatError for any other kind of address.
    """
    location = Location.of(location)
    if location.path is not None:
        return FolderSource(location.path)
    parts = urlsplit(location.text)
    match parts.scheme:
        case "s3":
            source = HttpSource(https_address(location.text))
        case "http" | "https":
            source = HttpSource(location.text)
        case scheme:
            hint = "Use the https address, or a path on this computer."
            raise FormatError(
                f"Addresses that start with {scheme}:// can't be streamed.", hint=hint
            )
    from napari_cryoet.streaming.disk_cache import ask_again_after_s, shared_disk_cache

    disk = shared_disk_cache() if cache == "shared" else cache
    if disk is None:
        return source
    # a check costs little on this computer, and test data change often
    is_local = is_this_computer(urlsplit(source.url).hostname or "")
    return CachedSource(source, disk, ask_again_after_s=0.0 if is_local else ask_again_after_s())


def read_file(
    location: PathOrUrl,
    *,
    start: int = 0,
    length: int | None = None,
    limit_bytes: int,
    task: Task = UNWATCHED,
) -> Piece | None:
    """Read a file or a part of it, blocking; see `ByteSource.read`."""
    return client.run(open_source(location).read("", start, length, limit_bytes=limit_bytes), task)


def https_address(s3_url: str) -> str:
    """The https address of an object in a public S3 bucket.

    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` in the environment select another S3 store, as
    in Amazon's tools.

    Examples
    --------
    >>> https_address("s3://bucket/a b.zarr"), https_address("s3://a.bucket/a.zarr")
    ('https://bucket.s3.amazonaws.com/a%20b.zarr', 'https://s3.amazonaws.com/a.bucket/a.zarr')
    """
    bucket, _, key = s3_url[len("s3://") :].partition("/")
    if not _BUCKET.fullmatch(bucket):
        hint = "An address on S3 looks like s3://bucket/folder/file."
        raise FormatError(f"{without_login(s3_url)!r} names no bucket.", hint=hint)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{quote(key)}"
    if re.fullmatch(r"[a-z0-9-]+", bucket):
        return f"https://{bucket}.s3.amazonaws.com/{quote(key)}"
    # Amazon's certificate doesn't cover names with dots
    return f"https://s3.amazonaws.com/{bucket}/{quote(key)}"
