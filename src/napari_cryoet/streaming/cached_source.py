"""A source whose answers are kept on disk, and read from there as long as its server has nothing newer.

Before anything kept is used, the server is asked once whether the image's first document is still the same. Within an
hour of the last such question that is put off until something comes from the server: new parts must not stand beside
old ones. Where the server is away, what is kept stays readable, and `CachedSource.as_of` says of when it is.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from napari_cryoet.exceptions import ChangedError, NetworkError, StreamError, WithheldError
from napari_cryoet.files import without_password
from napari_cryoet.network.connections import is_this_computer
from napari_cryoet.streaming import disk_settings

if TYPE_CHECKING:
    from napari_cryoet.streaming.disk_cache import DiskCache, Image
    from napari_cryoet.streaming.sources import Piece, Source

DOCUMENTS: Final = frozenset({"zarr.json", ".zattrs", ".zarray", ".zgroup"})

_COMPARED_BYTES = 4096
_PATIENCE_S = 5.0


class CachedSource:
    """A source on the network with a cache.

    Parameters
    ----------
    source
        Where bytes come from.
    cache
        Where they are kept.
    ask_again_after_s
        For how long what is kept counts without asking; by default as settings say, and not at all for this computer:
        asking it costs little, and test data change often.
    """

    def __init__(self, source: Source, cache: DiskCache, *, ask_again_after_s: float | None = None) -> None:
        self.url, self.place, self.line = source.url, source.place, source.line
        self.as_of: datetime | None = None
        self._source, self._cache = source, cache
        if ask_again_after_s is None:
            is_near = is_this_computer(urlsplit(source.url).hostname or "")
            ask_again_after_s = 0.0 if is_near else disk_settings.ask_again_after_s()
        self._ask_again_after_s = ask_again_after_s
        self._image: Image | None = None
        self._lock = asyncio.Lock()
        self._unconfirmed: tuple[str, Piece] | None = None  # what the server wasn't asked about, or without an answer
        self._damaged: set[str] = set()

    @property
    def bytes_read(self) -> int:
        """How many bytes have come over the network so far."""
        return self._source.bytes_read

    async def read(
        self, key: str, start: int = 0, length: int | None = None, *, etag: str | None = None, limit_bytes: int
    ) -> Piece | None:
        """Read a file, or a part of it, from disk or from the server; see `Source`."""
        image = self._image or await self._checked_image()
        if key not in self._damaged:
            part = await asyncio.to_thread(self._cache.find, image, key, start, length)
            if part is not None and part.piece is None and self._may_be_missing(key, part.stored_at) and etag is None:
                return None
            if part is not None and part.piece is not None and etag in {None, part.piece.etag}:
                return part.piece
        piece, _ = await asyncio.gather(
            self._source.read(key, start, length, etag=etag, limit_bytes=limit_bytes), self._confirm(image)
        )
        if start < 0 and piece is not None:
            if piece.total_bytes is None:
                return piece
            start = max(0, piece.total_bytes + start)
        self._cache.put(image, key, start, piece)
        return piece

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file; see `Source`."""
        self._damaged.add(key)
        if self._image is not None:
            self._cache.forget(self._image, key)
        self._source.forget(key)

    def forget_all(self) -> None:
        """Use nothing that is kept of any file; see `Source`."""
        if self._image is not None:
            self._cache.drop(self._image)
        self._source.forget_all()

    def _may_be_missing(self, key: str, stored_at: float) -> bool:
        """Whether it counts that a file was missing: a chunk may have been uploaded since."""
        is_document = key.rpartition("/")[2] in DOCUMENTS
        return is_document or self.as_of is not None or self._is_recent(stored_at)

    def _is_recent(self, moment_s: float) -> bool:
        return 0 <= time.time() - moment_s < self._ask_again_after_s

    async def _checked_image(self) -> Image:
        """What is kept, once the server was asked about it if need be: one asks, and the others wait for that."""
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
                    is_still = await self._is_still(*first)
                except StreamError as error:
                    if not _is_silence(error):
                        raise
                    self.as_of, self._unconfirmed = datetime.fromtimestamp(checked_at, UTC), first
                else:
                    image = self._cache.confirm(image) if is_still else self._cache.drop(image)
            self._image = image
            return image

    async def _confirm(self, image: Image) -> None:
        """Ask what the server wasn't asked yet, now that something comes from it; ChangedError where it has others."""
        if self._unconfirmed is None:
            return
        async with self._lock:
            if self._unconfirmed is None:
                return
            if not await self._is_still(*self._unconfirmed):
                self._cache.drop(image)
                raise ChangedError(f"{self.place} changed since it was kept on this computer.", hint="Reopen it.")
            self._cache.confirm(image)
            self._unconfirmed = self.as_of = None

    async def _is_still(self, key: str, kept: Piece) -> bool:
        """Whether the server has a file as it is kept."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                piece = await self._source.read(key, 0, _COMPARED_BYTES, limit_bytes=_COMPARED_BYTES)
        except TimeoutError as error:
            raise StreamError(f"The server of {self.place} doesn't answer.", hint="Try again later.") from error
        if piece is None or (piece.etag, piece.modified) != (kept.etag, kept.modified):
            return False
        size = min(len(piece.content), len(kept.content))
        return piece.content[:size] == kept.content[:size]


def _is_silence(error: Exception) -> bool:
    """Whether the server gave no answer, rather than one that we don't like."""
    cause = error.__cause__
    if isinstance(error, WithheldError) or isinstance(cause, TimeoutError):
        return True
    return isinstance(cause, NetworkError) and (cause.status is None or cause.status == 429 or cause.status >= 500)
