"""Read blocks of one zarr array: only the needed bytes of Blosc or plain chunks, and anything else through zarr itself.

A block is some planes of one chunk. All values are exact, in this machine's byte order, and cut to the array's shape.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_cryoet.exceptions import CryoETError, FormatError, StreamError
from napari_cryoet.streaming import blosc
from napari_cryoet.streaming.geometry import BlockIndex, Grid, box_shape, box_slices, make_grid
from napari_cryoet.streaming.slabs import WHOLE_CHUNK_BYTES, cut_into_slabs
from napari_cryoet.streaming.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.sources import ByteSource
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

HEAD_BYTES = 4096

_PLAIN_BLOCK_BYTES = 2**19
_MAX_PLAIN_GAP_BYTES = 2**16
_RUN_BYTES = 4 * 2**20
_MAX_GAP_BYTES = 2**18
_SMALL_OBJECT_BYTES = 2**19


class BlockReader(Protocol):
    """One array, read block by block."""

    metadata: ArrayMetadata
    grid: Grid
    compression: float  # how many bytes a byte of content takes in the file, as far as is known

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same chunk.

        Raises
        ------
        ChangedError
            Where a file is another version than the one that blocks of it came from before.
        StreamError
            Where a block can't be read; a missing chunk is no error, its blocks have the fill value.
        """

    def forget(self, block: BlockIndex) -> Iterable[BlockIndex]:
        """Drop what is known of the file that a block lies in: it changed. All blocks of that file are returned."""


@dataclass(frozen=True, slots=True)
class _HeldFrame:
    """A chunk's table of blocks and as much of the chunk as came with it."""

    frame: blosc.Frame
    prefix: bytes
    version: str | None


@dataclass(frozen=True, slots=True)
class OneFile:
    """The one file that holds all values of an array, after a header, and the only version of it that counts."""

    key: str
    offset: int
    version: str | None


class FrameReader:
    """Chunks that are one Blosc frame each, in C order.

    Parameters
    ----------
    source, path
        Where the array is.
    metadata
        What it is.
    head
        The first bytes of some chunk, which show how large the frames' own blocks are; empty if there is none.
    memory, owner
        Where the tables of blocks are kept, under keys that start with ``owner``.
    """

    def __init__(
        self,
        source: ByteSource,
        path: str,
        metadata: ArrayMetadata,
        *,
        head: bytes,
        memory: MemoryCache[object],
        owner: object,
    ) -> None:
        self.metadata = metadata
        self._source, self._path, self._memory, self._owner = source, path, memory, owner
        sample = _sample_header(head, metadata)
        self._prefix_bytes = max(sample.table_end if sample else HEAD_BYTES, _first_request_bytes(metadata))
        self._slabs = cut_into_slabs(metadata, sample.blocksize if sample else _PLAIN_BLOCK_BYTES)
        self.grid = self._slabs.grid
        self.compression = sample.cbytes / sample.nbytes if sample else 1.0
        self._reads_whole_chunks = metadata.chunk_nbytes <= WHOLE_CHUNK_BYTES
        self._versions = Versions(source.url)
        self._pending: dict[tuple[int, ...], Future[_HeldFrame | None]] = {}
        self._lock = threading.Lock()

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same chunk; see `BlockReader`."""
        chunk = self.grid.chunk(blocks[0])
        try:
            held = self._held_frame(chunk, stop)
            if held is None:
                return {block: self._slabs.fill(block) for block in blocks}
            decoded = self._decode(chunk, held, blocks, stop)
        except FormatError as error:
            raise StreamError(f"A part of {self._where(chunk)} is damaged: {error.message}") from error
        self._versions.settle(self._key(chunk), held.version)  # another thread may have met another one meanwhile
        return decoded

    def forget(self, block: BlockIndex) -> Iterable[BlockIndex]:
        """Drop a chunk's table; see `BlockReader`."""
        chunk = self.grid.chunk(block)
        self._forget_frame(chunk)
        self._versions.forget(self._key(chunk))
        return _blocks_of_file(self.grid, block, self.metadata.chunk_shape)

    def _forget_frame(self, chunk: tuple[int, ...]) -> None:
        self._memory.forget((self._owner, "frame", self._path, chunk))

    def _decode(
        self, chunk: tuple[int, ...], held: _HeldFrame, blocks: Sequence[BlockIndex], stop: threading.Event
    ) -> dict[BlockIndex, Block]:
        frame, blocksize = held.frame, held.frame.header.blocksize
        spans = {block: self._slabs.byte_span(block) for block in blocks}
        parts = {block: (start // blocksize, -(-stop // blocksize)) for block, (start, stop) in spans.items()}
        needed = {part for first, last in parts.values() for part in range(first, last)}
        bodies = self._read_parts(chunk, held, needed, stop)
        decoded = {}
        for block, (first, last) in parts.items():
            content = _decompress(frame, first, last, bodies)
            decoded[block] = self._slabs.as_array(block, content, spans[block][0] - first * blocksize)
        return decoded

    def _read_parts(
        self, chunk: tuple[int, ...], held: _HeldFrame, needed: Iterable[int], stop: threading.Event
    ) -> dict[int, bytes]:
        """The compressed bytes of some of a frame's blocks, from what is held or from the source."""
        frame, prefix = held.frame, held.prefix
        bodies = {part: prefix[frame.starts[part] : frame.ends[part]] for part in needed}
        missing = [part for part in bodies if frame.ends[part] > len(prefix)]
        for span in blosc.plan_ranges(frame, missing, max_gap=_MAX_GAP_BYTES):
            piece = self._source.read(
                self._key(chunk), start=span.start, length=span.stop - span.start, version=held.version, stop=stop
            )
            if piece is None:
                self._forget_frame(chunk)
                raise StreamError(f"{self._where(chunk)} vanished while it was read.")
            bodies |= blosc.cut_blocks(frame, span, piece.content)
        return bodies

    def _held_frame(self, chunk: tuple[int, ...], stop: threading.Event) -> _HeldFrame | None:
        """A chunk's table, read once however many ask; None where there is no such chunk."""
        key = (self._owner, "frame", self._path, chunk)
        held = self._memory.get(key)
        if isinstance(held, _HeldFrame):
            return held
        with self._lock:
            pending = self._pending.get(chunk)
            is_mine = pending is None
            future = pending or Future()
            self._pending[chunk] = future
        if not is_mine:
            return future.result()
        try:
            held = self._read_frame(chunk, stop)
            if held is not None and not self._reads_whole_chunks:
                self._memory.put(key, held, len(held.prefix) + 16 * len(held.frame.starts))
            future.set_result(held)
        except CryoETError as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._pending[chunk]
        return held

    def _read_frame(self, chunk: tuple[int, ...], stop: threading.Event) -> _HeldFrame | None:
        key = self._key(chunk)
        piece = self._source.read(key, length=None if self._reads_whole_chunks else self._prefix_bytes, stop=stop)
        if piece is None:
            return None
        self._versions.settle(key, piece.version)
        prefix = piece.content
        header = blosc.parse_header(prefix)
        if header.nbytes != self.metadata.chunk_nbytes:
            raise FormatError(f"it holds {header.nbytes} bytes instead of {self.metadata.chunk_nbytes}.")
        if piece.total_bytes not in {None, header.cbytes}:
            raise FormatError(f"it has {piece.total_bytes} bytes instead of {header.cbytes}.")
        if len(prefix) < header.table_end:
            whole_table = self._source.read(key, length=header.table_end, version=piece.version, stop=stop)
            prefix = whole_table.content if whole_table else b""
        frame = blosc.parse_frame(prefix)
        is_whole = len(prefix) >= header.cbytes
        if self._reads_whole_chunks and not is_whole:
            raise FormatError(f"it has {len(prefix)} bytes instead of {header.cbytes}.")
        keep = is_whole and (self._reads_whole_chunks or header.cbytes <= _SMALL_OBJECT_BYTES)
        return _HeldFrame(frame, prefix if keep else prefix[: header.table_end], piece.version)

    def _key(self, chunk: tuple[int, ...]) -> str:
        return _join(self._path, self.metadata.chunk_key(chunk))

    def _where(self, chunk: tuple[int, ...]) -> str:
        return f"{self._source.url} ({self._key(chunk)})"


class PlainReader:
    """Chunks of uncompressed values in C order, or a whole file of them after a header.

    Parameters
    ----------
    source, path
        Where the array is.
    metadata
        What it is.
    file
        The one file that holds the only chunk, instead of a chunk's usual name.
    """

    def __init__(self, source: ByteSource, path: str, metadata: ArrayMetadata, *, file: OneFile | None = None) -> None:
        self.metadata = metadata
        self._slabs = cut_into_slabs(metadata, _PLAIN_BLOCK_BYTES, may_split_planes=True)
        self.grid = self._slabs.grid
        self.compression = 1.0
        self._source, self._path, self._file = source, path, file
        self._versions = Versions(source.url)

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same chunk; see `BlockReader`."""
        key, offset = self._key(blocks[0]), self._file.offset if self._file else 0
        version = self._file.version if self._file else self._versions.of(key)
        loaded: dict[BlockIndex, Block] = {}
        for group in self._neighbours(blocks):
            start, end = self._slabs.byte_span(group[0])[0], self._slabs.byte_span(group[-1])[1]
            piece = self._source.read(key, start=offset + start, length=end - start, version=version, stop=stop)
            if piece is None and self._file is None:
                return {block: self._slabs.fill(block) for block in blocks}
            if piece is None or len(piece.content) != end - start:
                raise StreamError(f"{self._source.url} ({key}) ends before its last value.")
            self._versions.settle(key, piece.version)
            version = piece.version
            for block in group:
                loaded[block] = self._slabs.as_array(block, piece.content, self._slabs.byte_span(block)[0] - start)
        return loaded

    def forget(self, block: BlockIndex) -> Iterable[BlockIndex]:
        """Let another version of a chunk count; see `BlockReader`."""
        self._versions.forget(self._key(block))
        return _blocks_of_file(self.grid, block, self.metadata.chunk_shape)

    def _key(self, block: BlockIndex) -> str:
        if self._file is not None:
            return self._file.key
        return _join(self._path, self.metadata.chunk_key(self.grid.chunk(block)))

    def _neighbours(self, blocks: Sequence[BlockIndex]) -> list[list[BlockIndex]]:
        """Blocks in order of position, those together that are read in one piece."""
        groups: list[list[BlockIndex]] = []
        end = -1
        for block in sorted(blocks):
            start, next_end = self._slabs.byte_span(block)
            if groups and start - end <= _MAX_PLAIN_GAP_BYTES:
                groups[-1].append(block)
            else:
                groups.append([block])
            end = next_end
        return groups


class ZarrReader:
    """Any other chunks, decoded by zarr itself; a block is what was compressed together."""

    def __init__(
        self, source: ByteSource, path: str, metadata: ArrayMetadata, document: bytes, *, stop: threading.Event
    ) -> None:
        from napari_cryoet.streaming.zarr_store import open_zarr_array

        self.metadata = metadata
        self.compression = 1.0
        shape = metadata.inner_chunk_shape
        self.grid = make_grid(metadata.shape, shape, shape)
        self._where = f"{source.url} ({path})" if path else source.url
        self._open = partial(open_zarr_array, source, path, metadata.zarr_format, document, stop=stop)
        self._array = self._open()

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks; see `BlockReader`."""
        from napari_cryoet.streaming.zarr_store import read_zarr_array

        decoded: dict[BlockIndex, Block] = {}
        for block in blocks:
            values = read_zarr_array(self._array, box_slices(self.grid.box(block)), self._where, stop)
            decoded[block] = values.astype(self.metadata.dtype, copy=False)
        return decoded

    def forget(self, block: BlockIndex) -> Iterable[BlockIndex]:
        """Start afresh, while reads under way meet the file's other version and fail; see `BlockReader`."""
        self._array = self._open()
        return _blocks_of_file(self.grid, block, self.metadata.chunk_shape)


def _blocks_of_file(grid: Grid, block: BlockIndex, file_shape: tuple[int, ...]) -> Iterable[BlockIndex]:
    """All blocks that lie in the same file as one of them."""
    starts = (start // size * size for (start, _), size in zip(grid.box(block), file_shape, strict=True))
    ends = zip(starts, file_shape, grid.shape, strict=True)
    return grid.covering(tuple((start, min(start + size, end)) for start, size, end in ends))


def longest_run(reader: BlockReader) -> int:
    """How many blocks that follow each other are read in one go."""
    block = box_shape(reader.grid.box((0,) * len(reader.metadata.shape)))
    return max(1, _RUN_BYTES // max(1, int(np.prod(block)) * reader.metadata.dtype.itemsize))


def _decompress(frame: blosc.Frame, first: int, stop: int, bodies: dict[int, bytes]) -> bytes:
    if frame.header.is_memcpyed:
        return b"".join(bodies[part] for part in range(first, stop))
    from numcodecs.blosc import decompress

    expected = sum(frame.header.content_size(part) for part in range(first, stop))
    try:
        content = bytes(decompress(blosc.cut_frame(frame, first, stop, bodies)))
    except (RuntimeError, ValueError) as error:
        raise FormatError("it does not decompress.") from error
    if len(content) != expected:
        raise FormatError(f"{expected} bytes decompress to {len(content)}.")
    return content


def _sample_header(head: bytes, metadata: ArrayMetadata) -> blosc.Header | None:
    """The header of some chunk if it is a good example of the others."""
    try:
        header = blosc.parse_header(head)
    except FormatError:
        return None  # missing, or damaged, which reading that chunk will tell
    return header if header.nbytes == metadata.chunk_nbytes and header.blocksize > 0 else None


def _first_request_bytes(metadata: ArrayMetadata) -> int:
    """Masks compress about a hundredfold: the first request for a chunk of bytes usually brings all of it."""
    return _SMALL_OBJECT_BYTES if metadata.dtype.itemsize == 1 else 0


def _join(path: str, key: str) -> str:
    return f"{path}/{key}" if path else key
