"""Which bytes of which files hold the blocks of an array, and what these are once they are decoded.

Of Blosc frames and uncompressed chunks only the needed bytes are read; small or otherwise compressed chunks are read
whole. What is encoded in a way that isn't known here is decoded by zarr itself. No request is for more than what is
wanted can have.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_cryoet.exceptions import ChangedError, FormatError
from napari_cryoet.streaming import blosc
from napari_cryoet.streaming.grid import BlockIndex, box_shape, make_grid
from napari_cryoet.streaming.unpack import unpack, without_checksum

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from napari_cryoet.streaming.layout import ArrayLayout, Shards
    from napari_cryoet.streaming.memory import MemoryCache
    from napari_cryoet.streaming.sources import Piece, Source

Block = npt.NDArray[Any]
_RUN_BYTES = 4 * 2**20  # neighbours are requested together up to this size
_WHOLE_CHUNK_BYTES = 4 * 2**20  # smaller chunks are read whole: asking for parts costs more than it saves
_SMALL_CHUNK_BYTES = 2**19  # what compresses to so little is read whole: its table alone takes as long
_MAX_GAP_BYTES, _MAX_PLAIN_GAP_BYTES = 2**18, 2**16  # unwanted bytes that are rather read than asked around
_SMALLEST_BLOCK_BYTES = 2**17  # smaller blocks cost more in handling than in decoding
_PLAIN_BLOCK_BYTES, _BLOCK_BYTES_IN_SMALL_CHUNKS = 2**19, 2**20
_BLOSC_BLOCK_BYTES_A_BYTE, _LARGEST_BLOSC_BLOCK_BYTES = 2**17, 2**19  # what Blosc with lz4 makes of a type's bytes
_TABLE_BYTES, _SHORTEST_TABLE_BYTES = 4096, 1024
_UNIFORM_RATIO = 64  # what compresses better may be one value all over
_SLACK_BYTES = 2**16
_NO_CHUNK = 2**64 - 1
_NO_FILE = ""  # what is noted of a file that doesn't exist, beside the ETags of those that do


class Files:
    """The files of an image: each is read in the version that was met first. For the loop thread only.

    Parameters
    ----------
    source
        Where they are.
    etags
        Of those that were read already.
    """

    def __init__(self, source: Source, etags: Mapping[str, str | None]) -> None:
        self.source = source
        self._versions: dict[str, str | int | None] = dict(etags)

    async def read(self, key: str, *, start: int = 0, length: int | None = None, limit_bytes: int) -> Piece | None:
        """Read a file or a part of it; None where there is no such file.

        Raises
        ------
        ChangedError
            If it isn't the version that was met first, or came or vanished since.
        StreamError
            If it can't be read, or is larger than ``limit_bytes``.
        """
        known = self._versions.get(key)
        etag = known if isinstance(known, str) else None
        piece = await self.source.read(key, start=start, length=length, etag=etag or None, limit_bytes=limit_bytes)
        version = _NO_FILE if piece is None else piece.etag or piece.total_bytes
        known = self._versions.setdefault(key, version)
        if known != version and None not in (known, version):
            raise ChangedError(f"{self.source.place}/{key} changed since it was opened.", hint="Reopen it.")
        return piece


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the bytes of a chunk are: a file, where in it they start, and how many; None where the file ends."""

    key: str
    start: int = 0
    size: int | None = None


class Chunks:
    """The chunks of one array; a subclass knows how blocks of them are read.

    Parameters
    ----------
    files, layout
        The array.
    memory, owner
        Where tables and indices of files are kept, under keys that start with ``owner``, one for each array.

    Attributes
    ----------
    grid
        How chunks are cut into blocks.
    """

    def __init__(
        self, files: Files, layout: ArrayLayout, *, memory: MemoryCache, owner: tuple[Any, ...], block_bytes: int
    ) -> None:
        self.layout = layout
        self._files, self._memory, self._owner = files, memory, owner
        self._loading: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
        self._measured: set[tuple[int, ...]] = set()
        self._stored_bytes = self._content_bytes = 0
        self._axis, block_shape, run_shape = self._cut(max(block_bytes, _SMALLEST_BLOCK_BYTES))
        self.grid = make_grid(layout.shape, layout.chunk_shape, block_shape, run_shape)

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read the bytes of blocks that `Grid.runs` put together; what is returned decodes them, on any thread.

        Both raise FormatError where bytes can't be what was written.
        """
        raise NotImplementedError

    async def prepare(self, chunk: tuple[int, ...]) -> None:
        """Read what must be known of a chunk before the first of its blocks is read, if that is little."""
        if self.layout.shards is not None:
            await self._place(chunk)

    def describe(self, block: BlockIndex) -> str:
        """The file that a block is in, for messages."""
        return f"{self._files.source.place}/{self._file_key(self.grid.chunk(block))}"

    def distrust(self, block: BlockIndex) -> None:
        """Use nothing that is kept of the file that a block is in: something of it was damaged."""
        chunk = self.grid.chunk(block)
        self._files.source.forget(self._file_key(chunk))
        for key in ((*self._owner, "chunk", chunk), (*self._owner, "index", self._file(chunk))):
            self._memory.discard(key)

    @property
    def compression(self) -> float:
        """About how many stored bytes make one byte of content, by the chunks that were met; 1 before any was."""
        return self._stored_bytes / self._content_bytes if self._content_bytes else 1.0

    # blocks as bytes of a decoded chunk

    def _cut(self, block_bytes: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """The axis along which a block has some voxels without having all, its shape, and that of a run.

        Along axes before that a block has one voxel, so that it is contiguous in its chunk.
        """
        chunk = self.layout.chunk_shape
        long_axes = [axis for axis, size in enumerate(chunk) if size > 1] or [0]
        if not self._is_split:
            return long_axes[0], chunk, self.layout.file_shape
        axes = long_axes if self.layout.codecs == () else long_axes[:-2] or long_axes[:1]
        axis = next((axis for axis in axes if self._bytes_below(axis) <= block_bytes), axes[-1])
        planes = max(1, -(-block_bytes // self._bytes_below(axis)))
        return axis, (*(1 for _ in chunk[:axis]), planes, *chunk[axis + 1 :]), chunk

    @property
    def _is_split(self) -> bool:
        return self.layout.codecs in ((), ("blosc",)) and self.layout.chunk_bytes > _WHOLE_CHUNK_BYTES

    def _bytes_below(self, axis: int) -> int:
        """What one step along an axis takes in a chunk."""
        return math.prod(self.layout.chunk_shape[axis + 1 :]) * self.layout.stored_dtype.itemsize

    def _byte_span(self, block: BlockIndex) -> tuple[int, int]:
        """Where a block starts and stops in its decoded chunk."""
        box, chunk = self.grid.box(block), self.layout.chunk_shape
        start = sum(box[axis][0] % chunk[axis] * self._bytes_below(axis) for axis in range(self._axis + 1))
        return start, start + (box[self._axis][1] - box[self._axis][0]) * self._bytes_below(self._axis)

    def _as_array(self, block: BlockIndex, content: blosc.Bytes, start: int) -> Block:
        """A block's values from bytes that hold it from ``start`` on, without what lies beyond the array's end."""
        shape = box_shape(self.grid.box(block))
        full = (*shape[: self._axis + 1], *self.layout.chunk_shape[self._axis + 1 :])
        values = np.frombuffer(content, self.layout.stored_dtype, math.prod(full), start).reshape(full)
        values = values[tuple(slice(size) for size in shape)].astype(self.layout.dtype, copy=False)
        values = np.ascontiguousarray(values)
        if values.base is not None and 2 * values.nbytes < len(content):
            return values.copy()  # a small part must not keep a large whole in memory
        return values

    def _filled(self, blocks: Iterable[BlockIndex]) -> dict[BlockIndex, Block]:
        """Blocks of a missing chunk: one value that stands for all."""
        value = np.asarray(self.layout.fill_value, self.layout.dtype)
        return {block: np.broadcast_to(value, box_shape(self.grid.box(block))) for block in blocks}

    # where chunks are

    def _file(self, chunk: tuple[int, ...]) -> tuple[int, ...]:
        if self.layout.shards is None:
            return chunk
        return tuple(i // n for i, n in zip(chunk, self.layout.shards.chunks_per_shard, strict=True))

    def _file_key(self, chunk: tuple[int, ...]) -> str:
        return self.layout.file_key(self._file(chunk))

    async def _place(self, chunk: tuple[int, ...]) -> _Place | None:
        """Where a chunk is; None where its shard is missing, or has no such chunk."""
        key, shards = self._file_key(chunk), self.layout.shards
        if shards is None:
            return _Place(key)
        spans = await self._once("index", self._file(chunk), lambda: self._read_index(key, shards))
        if spans is None:
            return None
        start, stop = spans[tuple(i % n for i, n in zip(chunk, shards.chunks_per_shard, strict=True))].tolist()
        return _Place(key, start, stop - start) if start >= 0 else None

    async def _read_index(self, key: str, shards: Shards) -> tuple[npt.NDArray[np.int64] | None, int]:
        size = shards.index_bytes
        start = 0 if shards.index_is_first else -size
        piece = await self._files.read(key, start=start, length=size, limit_bytes=size)
        if piece is None:
            return None, 0
        spans = parse_index(piece.content, shards, file_bytes=piece.total_bytes)
        return spans, spans.nbytes

    async def _read(self, place: _Place, *, start: int = 0, length: int | None = None) -> Piece | None:
        """Read a part of a place, counted from its start; by default all, which can't be more than a chunk may have."""
        limit = self.layout.chunk_bytes
        if self.layout.codecs != ():
            limit += limit // 8 + _SLACK_BYTES
        if place.size is not None:
            length = place.size - start if length is None else min(length, place.size - start)
        if length is not None:
            limit = length
        return await self._files.read(place.key, start=place.start + start, length=length, limit_bytes=limit)

    async def _once(self, kind: str, which: Any, load: Callable[[], Awaitable[tuple[Any, int]]]) -> Any:
        """Something that is read once for all who need it: from memory, or from whoever is reading it."""
        key = (*self._owner, kind, which)
        if (kept := self._memory.get(key)) is not None:
            return kept[0]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.ensure_future(self._load(key, load))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # others may have given up
        return await asyncio.shield(task)

    async def _load(self, key: tuple[Any, ...], load: Callable[[], Awaitable[tuple[Any, int]]]) -> Any:
        try:
            value, size_bytes = await load()
            self._memory.put(key, (value,), size_bytes)
            return value
        finally:
            del self._loading[key]

    def _note_size(self, chunk: tuple[int, ...], stored_bytes: int) -> None:
        """Take in what a chunk takes in its file; what of it lies beyond the array's end counts for nothing."""
        if chunk in self._measured:
            return
        self._measured.add(chunk)
        sizes = zip(chunk, self.layout.shape, self.layout.chunk_shape, strict=True)
        voxels = math.prod(min(size, length - index * size) for index, length, size in sizes)
        self._stored_bytes += stored_bytes
        self._content_bytes += voxels * self.layout.stored_dtype.itemsize


class WholeChunks(Chunks):
    """Chunks that are read whole; neighbours in a shard together."""

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read whole chunks of one file; see `Chunks`."""
        chunks = {block: self.grid.chunk(block) for block in blocks}
        places = {block: await self._place(chunk) for block, chunk in chunks.items()}
        contents: dict[_Place | None, blosc.Bytes] = {}
        for whole, parts in _merged({place for place in places.values() if place is not None}):
            piece = await self._read(whole)
            if piece is not None:
                view = memoryview(piece.content)
                contents |= {part: view[part.start - whole.start :][: part.size] for part in parts}
        found = {block: contents.get(place) for block, place in places.items()}
        for block, content in found.items():
            self._note_size(chunks[block], 0 if content is None else len(content))
        return partial(self._decode, found)

    def _decode(self, found: Mapping[BlockIndex, blosc.Bytes | None]) -> dict[BlockIndex, Block]:
        blocks = self._filled(block for block, content in found.items() if content is None)
        for block, content in found.items():
            if content is not None:
                blocks[block] = self._as_array(block, unpack(content, self.layout), 0)
        return blocks


class PlainChunks(Chunks):
    """Uncompressed chunks, of which only the bytes of the wanted blocks are read.

    Parameters
    ----------
    offset
        Where the values start in their file.
    """

    def __init__(self, *args: Any, offset: int = 0, **options: Any) -> None:
        super().__init__(*args, block_bytes=_PLAIN_BLOCK_BYTES, **options)
        self._offset = offset

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read parts of one chunk; see `Chunks`."""
        chunk = self.grid.chunk(blocks[0])
        place = await self._place(chunk)
        if place is None:
            return partial(self._filled, blocks)
        if place.size not in {None, self.layout.chunk_bytes}:
            raise FormatError(f"It has {place.size} bytes instead of {self.layout.chunk_bytes}.")
        parts: list[tuple[list[tuple[BlockIndex, int]], bytes]] = []
        for group in self._neighbours(blocks):
            start, stop = self._byte_span(group[0])[0], self._byte_span(group[-1])[1]
            piece = await self._read(place, start=self._offset + start, length=stop - start)
            if piece is None:
                return partial(self._filled, blocks)
            if not self._offset and place.size is None and piece.total_bytes not in {None, self.layout.chunk_bytes}:
                raise FormatError(f"It has {piece.total_bytes} bytes instead of {self.layout.chunk_bytes}.")
            if len(piece.content) != stop - start:
                raise FormatError("It ends before its last value.")
            parts.append(([(block, self._byte_span(block)[0] - start) for block in group], piece.content))
        self._note_size(chunk, self.layout.chunk_bytes)
        return lambda: {block: self._as_array(block, content, at) for group, content in parts for block, at in group}

    def _neighbours(self, blocks: Sequence[BlockIndex]) -> list[list[BlockIndex]]:
        """Blocks in order of position, those together that are read in one piece."""
        groups: list[list[BlockIndex]] = []
        end = -1
        for block in sorted(blocks):
            start, next_end = self._byte_span(block)
            if groups and start - end <= _MAX_PLAIN_GAP_BYTES:
                groups[-1].append(block)
            else:
                groups.append([block])
            end = next_end
        return groups


@dataclass(frozen=True, slots=True, eq=False)
class _HeldFrame:
    """A chunk's table of blocks, and all of the chunk where that is little."""

    place: _Place
    frame: blosc.Frame
    content: bytes


class FrameChunks(Chunks):
    """Chunks that are a Blosc frame each: a frame's table is read once, then only the parts that hold the blocks.

    What compresses very well, as masks do, is kept in memory as it came.

    Parameters
    ----------
    head
        The first bytes of the first chunk, which show how large blocks are in all of them; None if there is none.
    """

    def __init__(self, files: Files, layout: ArrayLayout, *, head: Piece | None, **options: Any) -> None:
        self._head = head
        sample = _sample_header(head, layout)
        usual = min(_BLOSC_BLOCK_BYTES_A_BYTE * layout.stored_dtype.itemsize, _LARGEST_BLOSC_BLOCK_BYTES)
        block_bytes = sample.blocksize if sample else usual
        # Chunks are asked for whole until one is met that is not small, for neighbours are alike.
        self._is_small = layout.stored_dtype.itemsize == 1 if sample is None else sample.cbytes <= _SMALL_CHUNK_BYTES
        if self._is_small:
            block_bytes = max(block_bytes, _BLOCK_BYTES_IN_SMALL_CHUNKS)
        self._table_bytes = max(sample.table_end, _SHORTEST_TABLE_BYTES) if sample else _TABLE_BYTES
        super().__init__(files, layout, block_bytes=block_bytes, **options)
        if sample is not None:
            self._note_size((0,) * len(layout.shape), sample.cbytes)

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read parts of one chunk; see `Chunks`."""
        held = await self._held(self.grid.chunk(blocks[0]))
        if held is None:
            return partial(self._filled, blocks)
        spans = {block: self._byte_span(block) for block in blocks}
        parts = {block: held.frame.header.blocks_of(*span) for block, span in spans.items()}
        bodies = await self._read_parts(held, set(itertools.chain.from_iterable(parts.values())))

        def decode() -> dict[BlockIndex, Block]:
            decoded = {}
            for block, own in parts.items():
                content = blosc.decode_blocks(held.frame, own, bodies)
                values = self._as_array(block, content, spans[block][0] - own.start * held.frame.header.blocksize)
                stored_bytes = sum(len(bodies[part]) for part in own)
                decoded[block] = _shrunk(values) if stored_bytes * _UNIFORM_RATIO < len(content) else values
            return decoded

        return decode

    async def prepare(self, chunk: tuple[int, ...]) -> None:
        """Read a chunk's table, unless that comes with all of the chunk; see `Chunks`."""
        if not self._is_small:
            await self._held(chunk)

    async def _held(self, chunk: tuple[int, ...]) -> _HeldFrame | None:
        held: _HeldFrame | None = await self._once("chunk", chunk, lambda: self._read_frame(chunk))
        return held

    async def _read_frame(self, chunk: tuple[int, ...]) -> tuple[_HeldFrame | None, int]:
        place = await self._place(chunk)
        piece = await self._read_start(chunk, place) if place is not None else None
        if place is None or piece is None:
            self._note_size(chunk, 0)
            return None, 0
        content, header = piece.content, blosc.parse_header(piece.content)
        size = place.size if place.size is not None else piece.total_bytes
        if header.nbytes != self.layout.chunk_bytes:
            raise FormatError(f"It holds {header.nbytes} bytes instead of {self.layout.chunk_bytes}.")
        if size not in {None, header.cbytes}:
            raise FormatError(f"It has {size} bytes instead of {header.cbytes}.")
        self._is_small &= header.cbytes <= _SMALL_CHUNK_BYTES
        self._note_size(chunk, header.cbytes)
        if len(content) < header.table_end:
            rest = await self._read(place, start=len(content), length=header.table_end - len(content))
            content += rest.content if rest is not None else b""
        frame = blosc.parse_frame(content)
        if header.cbytes > min(len(content), _SMALL_CHUNK_BYTES):
            content = content[: header.table_end]
        return _HeldFrame(place, frame, content), len(content) + 2 * frame.starts.nbytes

    async def _read_start(self, chunk: tuple[int, ...], place: _Place) -> Piece | None:
        head, self._head = (self._head, None) if not any(chunk) else (None, self._head)
        if head is not None and (not self._is_small or len(head.content) == head.total_bytes):
            return head
        return await self._read(place, length=_SMALL_CHUNK_BYTES if self._is_small else self._table_bytes)

    async def _read_parts(self, held: _HeldFrame, needed: set[int]) -> Mapping[int, blosc.Bytes]:
        """The compressed bytes of some of a frame's blocks, from what is held or from the file."""
        frame, content = held.frame, memoryview(held.content)
        if len(content) == frame.header.cbytes:
            return {part: content[int(frame.starts[part]) : int(frame.ends[part])] for part in needed}
        bodies: dict[int, blosc.Bytes] = {}
        for span in blosc.plan_ranges(frame, needed, max_gap=_MAX_GAP_BYTES, max_bytes=_RUN_BYTES):
            piece = await self._read(held.place, start=span.start, length=span.stop - span.start)
            bodies |= blosc.cut_blocks(frame, span, b"" if piece is None else piece.content)
        return bodies


def make_chunks(
    files: Files, layout: ArrayLayout, *, head: Piece | None, memory: MemoryCache, owner: tuple[Any, ...]
) -> Chunks:
    """What suits an array; ``head`` is what is known of the file of its first chunk."""
    options: dict[str, Any] = {"memory": memory, "owner": owner}
    if layout.chunk_bytes <= _WHOLE_CHUNK_BYTES or layout.codecs not in ((), ("blosc",)):
        return WholeChunks(files, layout, block_bytes=layout.chunk_bytes, **options)
    if layout.codecs == ():
        return PlainChunks(files, layout, **options)
    return FrameChunks(files, layout, head=head, **options)


def _sample_header(head: Piece | None, layout: ArrayLayout) -> blosc.Header | None:
    """The header of a chunk if it is a good example of the others."""
    try:
        header = blosc.parse_header(head.content if head is not None else b"")
    except FormatError:
        return None  # missing, or damaged, which reading that chunk will tell
    return header if header.nbytes == layout.chunk_bytes else None


def _shrunk(values: Block) -> Block:
    """The same values, in next to no memory where they are all one to the last bit."""
    unit = min(values.itemsize, 8)
    bits = values.reshape(-1).view(f"u{unit}").reshape(-1, values.itemsize // unit)
    return values if (bits != bits[0]).any() else np.broadcast_to(values.flat[0], values.shape)


def _merged(places: set[_Place]) -> list[tuple[_Place, list[_Place]]]:
    """Places in one file, with the larger places that are read for them."""
    merged: list[tuple[_Place, list[_Place]]] = []
    for place in sorted(places, key=lambda place: place.start):
        if merged and place.size is not None:
            whole, parts = merged[-1]
            end, stop = whole.start + (whole.size or 0), place.start + place.size
            if place.start - end <= _MAX_GAP_BYTES and stop - whole.start <= _RUN_BYTES:
                merged[-1] = (_Place(whole.key, whole.start, max(end, stop) - whole.start), [*parts, place])
                continue
        merged.append((place, [place]))
    return merged


def parse_index(content: bytes, shards: Shards, *, file_bytes: int | None) -> npt.NDArray[np.int64]:
    """Where the chunks of a shard start and stop, -1 where there is none; shape ``(*chunks_per_shard, 2)``.

    Raises
    ------
    FormatError
        If it is cut short, damaged, or points outside the file.
    """
    if len(content) != shards.index_bytes:
        raise FormatError(f"The index of a shard has {len(content)} bytes instead of {shards.index_bytes}.")
    entries = np.frombuffer(without_checksum(content) if shards.has_checksum else content, f"{shards.byte_order}u8")
    starts, sizes = entries.reshape(-1, 2).astype(np.uint64).T
    is_missing = starts == _NO_CHUNK
    limit = np.uint64(2**62 if file_bytes is None else file_bytes)
    is_outside = ~is_missing & ((starts > limit) | (sizes > limit) | (starts + sizes > limit))
    if ((sizes == _NO_CHUNK) != is_missing).any() or is_outside.any():
        raise FormatError("The index of a shard points outside its file.")
    spans = np.stack([starts, starts + sizes], axis=-1).astype(np.int64)
    spans[is_missing] = -1
    return spans.reshape(*shards.chunks_per_shard, 2)
