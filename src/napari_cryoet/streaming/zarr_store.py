"""A read-only zarr store over a byte source, for whatever is not read block by block."""

from __future__ import annotations

import asyncio
import lzma
import struct
import threading
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from napari_cryoet.errand import NO_THREADS_HINT, NoThreadError, started
from napari_cryoet.exceptions import (
    CHANGED_HINT,
    ChangedError,
    DamagedError,
    FormatError,
    StoppedError,
    StreamError,
)
from napari_cryoet.files import brief, file_at
from napari_cryoet.streaming.blosc import parse_header
from napari_cryoet.streaming.chunk_files import VanishedError, damaged, key_below, read_end
from napari_cryoet.streaming.documents import DOCUMENT_NAMES
from napari_cryoet.streaming.versions import mark_of, named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from concurrent.futures import Future

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.sources import ByteSource
    from napari_cryoet.streaming.versions import Versions
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

#: What zarr and its codecs raise where bytes aren't what the metadata promise, or come to more than fits into memory.
_DAMAGE = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    OSError,
    EOFError,
    MemoryError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    SystemError,  # numcodecs, of a frame that says that it holds fewer than no bytes
)


class SourceStore(Store):
    """What zarr needs to read an array below a byte source; nothing can be listed or written.

    Whatever is read of a file is of the version that was met first; another one is a ChangedError, and none any more a
    VanishedError. A ChangedError, too, is whatever is wanted once versions were forgotten since this was made. What
    ends too early is a DamagedError: Blosc's decoder would take for its content whatever comes after it in memory.

    Parameters
    ----------
    source
        Where the bytes come from.
    documents
        Files that have been read already, by key; everything else that is metadata counts as missing.
    versions
        Of the files, which other stores of the same array may have read.
    stop
        Set when nothing is to be read any more.
    are_frames
        Whether all other files are Blosc frames.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(
        self,
        source: ByteSource,
        documents: dict[str, bytes],
        versions: Versions,
        stop: threading.Event,
        *,
        are_frames: bool,
    ) -> None:
        super().__init__(read_only=True)
        self._stop, self._are_frames = stop, are_frames
        self._source = source
        self._documents = documents
        self._versions = versions
        _, self._forgotten = versions.of("")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceStore) and other._source is self._source

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a file or a part of it, None where it is missing."""
        if key.rpartition("/")[2] in DOCUMENT_NAMES:
            content = self._documents.get(key)
        else:
            content = await asyncio.wrap_future(self._start(key, byte_range))
        return None if content is None else prototype.buffer.from_bytes(content)

    def _start(self, key: str, byte_range: ByteRequest | None) -> Future[bytes | None]:
        """Read on a thread of ours: Python would wait for one of asyncio's before it ends."""
        try:
            return started(partial(self._read, key, byte_range))
        except NoThreadError as error:
            raise StreamError("No thread can be started to read with.", hint=NO_THREADS_HINT) from error

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        match byte_range:
            case None:
                start, length = 0, None
            case RangeByteRequest(start, end):
                length = end - start
            case OffsetByteRequest(start):
                length = None
            case SuffixByteRequest(suffix):
                start, length = -suffix, suffix
        known, forgotten = self._versions.of(key)
        if self._forgotten != forgotten:
            raise ChangedError(f"{self._called(key)} changed while it was read.", hint=CHANGED_HINT)
        if start < 0:
            piece = read_end(self._source, key, -start, self._stop)
        else:
            piece = self._source.read(key, start=start, length=length, version=named(known), stop=self._stop)
        if piece is None:
            if not self._versions.miss(key, forgotten):
                raise VanishedError(f"{self._called(key)} vanished while it was read.")
            return None
        self._versions.settle(key, mark_of(piece), forgotten)
        if byte_range is None and self._are_frames:
            length = _frame_bytes(piece.content, self._called(key))
        if length is not None and len(piece.content) < length:
            raise DamagedError(f"{self._called(key)} ends too early.")
        return piece.content

    def _called(self, key: str) -> str:
        return file_at(self._source.url, key)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several parts at once."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether a file that was read already is known; anything else shows when it is read."""
        return key in self._documents

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: this is read-only."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse: this is read-only."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Refuse: servers don't list."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse: servers don't list."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse: servers don't list."""
        raise NotImplementedError


def _frame_bytes(content: bytes, where: str) -> int:
    """How many bytes a Blosc frame says that it has."""
    try:
        return parse_header(content).cbytes
    except FormatError as error:
        raise damaged(where, error) from error


def open_zarr_array(
    source: ByteSource,
    path: str,
    metadata: ArrayMetadata,
    document: bytes,
    *,
    versions: Versions,
    stop: threading.Event,
) -> zarr.Array[Any]:
    """An array whose metadata has been read already; no request is made.

    Raises
    ------
    FormatError
        If zarr does not understand the metadata.
    """
    name = ".zarray" if metadata.zarr_format == 2 else "zarr.json"
    documents = {key_below(path, name): document}
    store = SourceStore(source, documents, versions, stop, are_frames=metadata.is_frame)
    try:
        return zarr.open_array(store=store, path=path, mode="r", zarr_format=2 if metadata.zarr_format == 2 else 3)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise FormatError(
            f"{file_at(source.url, path)}: zarr does not understand this array ({brief(error)})."
        ) from error


def read_zarr_array(array: zarr.Array[Any], box: tuple[slice, ...], where: str, stop: threading.Event) -> Block:
    """Read a part of an array through zarr.

    Raises
    ------
    StreamError
        If it can't be read; a DamagedError if it can't be decoded.
    StoppedError
        When ``stop`` is set.
    """
    if stop.is_set():
        raise StoppedError
    try:
        return np.asarray(array[box])
    except _DAMAGE as error:
        message = f"A part of {where} is damaged or in a form that zarr can't decode ({brief(error)})."
        raise DamagedError(message) from error
