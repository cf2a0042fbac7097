"""Read and decode the blocks of an array.

Only the needed bytes of Blosc frames and uncompressed chunks are read; small or otherwise
compressed chunks are read whole. Rare codecs are left to zarr. Every request and every decoded
chunk has a size limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_cryoet.exceptions import ChangedError, CryoETError, FormatError
from napari_cryoet.streaming import blosc
from napari_cryoet.streaming.grid import BlockIndex, Box, box_shape, make_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from napari_cryoet.streaming.layout import ArrayLayout
    from napari_cryoet.streaming.memory import MemoryCache
    from napari_cryoet.streaming.piece import Piece
    from napari_cryoet.streaming.sources import ByteSource

K = TypeVar("K")
Block = npt.NDArray[Any]
#: Start and stop of bytes in a file; a stop of None means its end.
Span = tuple[int, int | None]

_RUN_BYTES = 4 * 2**20  # neighbouring spans are merged into requests up to this size
_WHOLE_CHUNK_BYTES = (
    4 * 2**20
)  # smaller chunks are read whole: reading parts costs more than it saves
_SMALL_CHUNK_BYTES = (
    2**19
)  # compressed chunks below this are read whole: the table alone would take as long
_MAX_GAP_BYTES = 2**18  # larger gaps between wanted bytes split a request
_SMALLEST_BLOCK_BYTES = 2**17  # smaller blocks take longer to manage than to decode
_USUAL_BLOCK_BYTES, _BLOCK_BYTES_IN_SMALL_CHUNKS = 2**19, 2**20
_TABLE_BYTES = 4096
_UNIFORM_RATIO = 64  # a better ratio may mean a single value
_SLACK_BYTES = 2**16  # incompressible content may grow by this much
_NO_CHUNK = 2**64 - 1
_NO_FILE = ""  # the version of a file that doesn't exist


class Files:
    """The files of an image, each pinned to the first version read. For the loop thread only."""

    def __init__(self, source: ByteSource, etags: Mapping[str, str | None]) -> None:
        self.source = source
        self._versions: dict[str, str | int | None] = dict(etags)

    async def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit_bytes: int
    ) -> Piece | None:
        """Read a file or a part of it; None if it doesn't exist, ChangedError if it has changed."""
        known = self._versions.get(key)
        etag = known if isinstance(known, str) else None
        piece = await self.source.read(
            key, start=start, length=length, etag=etag or None, limit_bytes=limit_bytes
        )
        version = _NO_FILE if piece is None else piece.etag or piece.total_bytes
        known = self._versions.setdefault(key, version)
        if known != version and None not in (known, version):
            raise ChangedError(
                f"{self.source.place}/{key} changed since it was opened.", hint="Reopen it."
            )
        return piece


class Chunks:
    """The chunks of one array; subclasses read their blocks.

    Tables and shard indices are kept in ``memory`` under keys that start with ``owner``.
    """

    def __init__(
        self,
        files: Files,
        layout: ArrayLayout,
        *,
        memory: MemoryCache,
        owner: tuple[Any, ...],
        block_bytes: int,
    ) -> None:
        self.layout = layout
        self._files, self._memory, self._owner = files, memory, owner
        self._loading: dict[tuple[Any, ...], _Load] = {}
        self._measured: set[tuple[int, ...]] = set()
        self._stored_bytes = self._content_bytes = 0
        self._axis, block_shape, run_shape = self._cut(max(block_bytes, _SMALLEST_BLOCK_BYTES))
        self.grid = make_grid(layout.shape, layout.chunk_shape, block_shape, run_shape)

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read the bytes of one run of blocks (`Grid.runs`) and return a function that decodes them on any thread.

        Both raise FormatError if the bytes are damaged.
        """
        raise NotImplementedError

    async def prepare(self, chunk: tuple[int, ...]) -> None:
        """Read the table or index that a chunk's blocks need, if it is small."""
        await self._span(chunk)

    def leaves_out(self, box: Box) -> bool:
        """Whether a pack left out some of the blocks of a box."""
        are_here = self.layout.are_here
        if are_here is None:
            return False
        spans = zip(box, self.layout.file_shape, strict=True)
        files = tuple(slice(start // size, -(-stop // size)) for (start, stop), size in spans)
        return not are_here[files].all()

    def describe(self, chunk: tuple[int, ...]) -> str:
        """The file of a chunk, for messages."""
        return f"{self._files.source.place}/{self._file_key(chunk)}"

    def distrust(self, chunk: tuple[int, ...]) -> None:
        """Drop everything cached from a chunk's file, because a part of it was damaged."""
        self._files.source.forget(self._file_key(chunk))
        for key in ((*self._owner, "chunk", chunk), (*self._owner, "index", self._file(chunk))):
            self._memory.discard(key)

    @property
    def compression(self) -> float:
        """Stored bytes for each decoded byte, over the chunks read so far; 1 before the first."""
        return self._stored_bytes / self._content_bytes if self._content_bytes else 1.0

    # blocks as bytes of a decoded chunk

    def _cut(self, block_bytes: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """The axis that is cut into blocks, the block shape and the run shape.

        A block is one voxel wide along earlier axes, so that it is contiguous in its chunk.
        """
        chunk = self.layout.chunk_shape
        long_axes = [axis for axis, size in enumerate(chunk) if size > 1] or [0]
        if not _is_split(self.layout):
            return long_axes[0], chunk, self.layout.file_shape
        axes = long_axes if self.layout.codecs == () else long_axes[:-2] or long_axes[:1]
        axis = next((axis for axis in axes if self._bytes_below(axis) <= block_bytes), axes[-1])
        planes = max(1, -(-block_bytes // self._bytes_below(axis)))
        return axis, (*(1 for _ in chunk[:axis]), planes, *chunk[axis + 1 :]), chunk

    def _bytes_below(self, axis: int) -> int:
        """Bytes in a chunk from one index along an axis to the next."""
        return math.prod(self.layout.chunk_shape[axis + 1 :]) * self.layout.stored_dtype.itemsize

    def _byte_span(self, block: BlockIndex) -> tuple[int, int]:
        """Start and stop of a block in its decoded chunk, in bytes."""
        box, chunk = self.grid.box(block), self.layout.chunk_shape
        start = sum(
            box[axis][0] % chunk[axis] * self._bytes_below(axis) for axis in range(self._axis + 1)
        )
        return start, start + (box[self._axis][1] - box[self._axis][0]) * self._bytes_below(
            self._axis
        )

    def _as_array(self, block: BlockIndex, content: blosc.Bytes, start: int = 0) -> Block:
        """The values of a block from bytes that hold it at ``start``, cut at the end of the array."""
        shape = box_shape(self.grid.box(block))
        full = (*shape[: self._axis + 1], *self.layout.chunk_shape[self._axis + 1 :])
        values = np.frombuffer(content, self.layout.stored_dtype, math.prod(full), start).reshape(
            full
        )
        values = values[tuple(slice(size) for size in shape)].astype(self.layout.dtype, copy=False)
        values = np.ascontiguousarray(values)
        if values.base is not None and 2 * values.nbytes < len(content):
            return values.copy()  # a view would keep the whole chunk in memory
        return values

    def _filled(self, blocks: Iterable[BlockIndex]) -> dict[BlockIndex, Block]:
        """The blocks of a missing chunk, filled with the fill value."""
        value = np.asarray(self.layout.fill_value, self.layout.dtype)
        return {block: np.broadcast_to(value, box_shape(self.grid.box(block))) for block in blocks}

    # positions of chunks in files

    def _file(self, chunk: tuple[int, ...]) -> tuple[int, ...]:
        shards = self.layout.chunks_per_shard or (1,) * len(chunk)
        return tuple(i // n for i, n in zip(chunk, shards, strict=True))

    def _file_key(self, chunk: tuple[int, ...]) -> str:
        return self.layout.file_key(self._file(chunk))

    async def _span(self, chunk: tuple[int, ...]) -> Span | None:
        """Byte span of a chunk in its file; None if the shard or the chunk in it doesn't exist."""
        shards = self.layout.chunks_per_shard
        return (0, None) if shards is None else await self._span_in_shard(chunk, shards)

    async def _span_in_shard(
        self, chunk: tuple[int, ...], shards: tuple[int, ...]
    ) -> tuple[int, int] | None:
        spans = await self._load_once(
            "index", self._file(chunk), lambda: self._read_index(chunk, shards)
        )
        if spans is None:
            return None
        start, stop = spans[tuple(i % n for i, n in zip(chunk, shards, strict=True))].tolist()
        return (start, stop) if start >= 0 else None

    async def _read_index(
        self, chunk: tuple[int, ...], shards: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.int64] | None, int]:
        size = 16 * math.prod(shards) + 4
        piece = await self._files.read(
            self._file_key(chunk), start=-size, length=size, limit_bytes=size
        )
        if piece is None:
            return None, 0
        spans = parse_index(piece.content, shards, file_bytes=piece.total_bytes)
        return spans, spans.nbytes

    async def _read(self, key: str, start: int, stop: int | None) -> Piece | None:
        """Read a part of a file, or all of it, bounded by the largest possible chunk."""
        length = None if stop is None else stop - start
        largest = (
            self.layout.chunk_bytes
            if self.layout.codecs == ()
            else self.layout.chunk_bytes * 9 // 8 + _SLACK_BYTES
        )
        return await self._files.read(
            key, start=start, length=length, limit_bytes=largest if length is None else length
        )

    async def _read_spans(
        self, key: str, spans: Mapping[K, tuple[int, int]]
    ) -> dict[K, blosc.Bytes]:
        """Read spans of a file, merging neighbours; empty if the file doesn't exist."""
        contents: dict[K, blosc.Bytes] = {}
        for start, stop, names in _merged(spans):
            piece = await self._read(key, start, stop)
            if piece is None:
                return {}
            if len(piece.content) != stop - start:
                raise FormatError(f"It ends after {len(piece.content)} of {stop - start} bytes.")
            view = memoryview(piece.content)
            contents |= {
                name: view[spans[name][0] - start : spans[name][1] - start] for name in names
            }
        return contents

    async def _load_once(
        self, kind: str, index: Any, load: Callable[[], Coroutine[Any, Any, tuple[Any, int]]]
    ) -> Any:
        """Load something once: from memory, from a load in progress, or with ``load``."""
        key = (*self._owner, kind, index)
        if (cached := self._memory.get(key)) is not None:
            return cached[0]
        if (joined := self._loading.get(key)) is not None:
            with contextlib.suppress(CryoETError):  # it may have started before a retry: load again
                return await self._wait(key, joined)
        loading = self._loading.get(key)
        if loading is None or loading is joined:
            loading = self._loading[key] = _Load(asyncio.ensure_future(load()))
        return await self._wait(key, loading)

    async def _wait(self, key: tuple[Any, ...], loading: _Load) -> Any:
        """Wait for a load; cancel it once nothing waits for it."""
        loading.waiting += 1
        try:
            value, size_bytes = await asyncio.shield(loading.task)
        finally:
            loading.waiting -= 1
            if not loading.waiting:
                loading.task.cancel()
                if self._loading.get(key) is loading:
                    del self._loading[key]
        self._memory.put(key, (value,), size_bytes)
        return value

    def _record_size(self, chunk: tuple[int, ...], stored_bytes: int) -> None:
        """Count a chunk's stored size, and its content without the part beyond the end of the array."""
        if chunk in self._measured:
            return
        self._measured.add(chunk)
        sizes = zip(chunk, self.layout.shape, self.layout.chunk_shape, strict=True)
        voxels = math.prod(min(size, length - index * size) for index, length, size in sizes)
        self._stored_bytes += stored_bytes
        self._content_bytes += voxels * self.layout.stored_dtype.itemsize


@dataclass(slots=True)
class _Load:
    """A load in progress, and the number of its waiters."""

    task: asyncio.Task[tuple[Any, int]]
    waiting: int = 0


class WholeChunks(Chunks):
    """Chunks that are read whole; neighbours in a shard share a request."""

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read whole chunks of one file; see `Chunks`."""
        chunks, shards = (
            {block: self.grid.chunk(block) for block in blocks},
            self.layout.chunks_per_shard,
        )
        key = self._file_key(chunks[blocks[0]])
        contents: dict[BlockIndex, blosc.Bytes] = {}
        if shards is None:
            piece = await self._read(key, 0, None)
            contents = dict.fromkeys(blocks, piece.content) if piece is not None else {}
        else:
            spans = {
                block: await self._span_in_shard(chunk, shards) for block, chunk in chunks.items()
            }
            contents = await self._read_spans(
                key, {block: span for block, span in spans.items() if span}
            )
        for block, chunk in chunks.items():
            self._record_size(chunk, len(contents.get(block, b"")))
        return partial(self._decode, blocks, contents)

    def _decode(
        self, blocks: Sequence[BlockIndex], contents: Mapping[BlockIndex, blosc.Bytes]
    ) -> dict[BlockIndex, Block]:
        blank = self._filled(block for block in blocks if block not in contents)
        return blank | {
            block: self._as_array(block, unpack(content, self.layout))
            for block, content in contents.items()
        }


class PlainChunks(Chunks):
    """Uncompressed chunks, read block by block.

    ``offset`` is the position of the first value in the file.
    """

    def __init__(self, *args: Any, offset: int = 0, **options: Any) -> None:
        super().__init__(*args, block_bytes=_USUAL_BLOCK_BYTES, **options)
        self._offset = offset

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read parts of one chunk; see `Chunks`."""
        chunk = self.grid.chunk(blocks[0])
        span = await self._span(chunk)
        if span is None:
            return partial(self._filled, blocks)
        if span[1] is not None and span[1] - span[0] != self.layout.chunk_bytes:
            raise FormatError(
                f"It has {span[1] - span[0]} bytes instead of {self.layout.chunk_bytes}."
            )
        begin = span[0] + self._offset
        spans = {
            block: (begin + start, begin + stop)
            for block in blocks
            for start, stop in [self._byte_span(block)]
        }
        contents = await self._read_spans(self._file_key(chunk), spans)
        if not contents:
            return partial(self._filled, blocks)
        self._record_size(chunk, self.layout.chunk_bytes)
        return lambda: {
            block: self._as_array(block, content) for block, content in contents.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class _HeldFrame:
    """A chunk's Blosc table and its start in the file.

    ``content`` is the whole chunk if it is small.
    """

    start: int
    frame: blosc.BloscFrame
    content: bytes


class FrameChunks(Chunks):
    """Chunks that are Blosc frames: read the table once, then only the parts that hold the wanted blocks.

    Chunks that compress well, such as masks, are kept compressed in memory. ``head``, the first
    bytes of the first chunk, gives the block size of all chunks.
    """

    def __init__(
        self, files: Files, layout: ArrayLayout, *, head: Piece | None, **options: Any
    ) -> None:
        self._head = head
        sample = _sample_header(head, layout)
        # Read whole chunks until one isn't small: neighbours are alike.
        self._is_small = (
            layout.stored_dtype.itemsize == 1
            if sample is None
            else sample.cbytes <= _SMALL_CHUNK_BYTES
        )
        block_bytes = sample.blocksize if sample else _USUAL_BLOCK_BYTES
        self._table_bytes = sample.table_end if sample else _TABLE_BYTES
        if self._is_small:
            block_bytes = max(block_bytes, _BLOCK_BYTES_IN_SMALL_CHUNKS)
        super().__init__(files, layout, block_bytes=block_bytes, **options)
        if sample is not None:
            self._record_size((0,) * len(layout.shape), sample.cbytes)

    async def fetch(self, blocks: Sequence[BlockIndex]) -> Callable[[], dict[BlockIndex, Block]]:
        """Read parts of one chunk; see `Chunks`."""
        chunk = self.grid.chunk(blocks[0])
        held = await self._held(chunk)
        if held is None:
            return partial(self._filled, blocks)
        frame = held.frame
        spans = {block: self._byte_span(block) for block in blocks}
        parts = {block: frame.header.blocks_of(*span) for block, span in spans.items()}
        needed = set(itertools.chain.from_iterable(parts.values()))
        if len(held.content) == frame.header.cbytes:
            view = memoryview(held.content)
            bodies: Mapping[int, blosc.Bytes] = {
                part: view[frame.starts[part] : frame.ends[part]] for part in needed
            }
        else:
            starts, ends = (held.start + frame.starts).tolist(), (held.start + frame.ends).tolist()
            bodies = await self._read_spans(
                self._file_key(chunk), {part: (starts[part], ends[part]) for part in needed}
            )
        return partial(self._decode, frame, spans, parts, bodies)

    def _decode(
        self,
        frame: blosc.BloscFrame,
        spans: Mapping[BlockIndex, tuple[int, int]],
        parts: Mapping[BlockIndex, range],
        bodies: Mapping[int, blosc.Bytes],
    ) -> dict[BlockIndex, Block]:
        decoded = {}
        for block, own in parts.items():
            content = blosc.decode_blocks(frame, own, bodies)
            values = self._as_array(
                block, content, spans[block][0] - own.start * frame.header.blocksize
            )
            stored_bytes = sum(len(bodies[part]) for part in own)
            decoded[block] = (
                _shrunk(values) if stored_bytes * _UNIFORM_RATIO < len(content) else values
            )
        return decoded

    async def prepare(self, chunk: tuple[int, ...]) -> None:
        """Read a chunk's table, unless chunks are read whole; see `Chunks`."""
        if not self._is_small:
            await self._held(chunk)

    async def _held(self, chunk: tuple[int, ...]) -> _HeldFrame | None:
        held: _HeldFrame | None = await self._load_once(
            "chunk", chunk, lambda: self._read_frame(chunk)
        )
        return held

    async def _read_frame(self, chunk: tuple[int, ...]) -> tuple[_HeldFrame | None, int]:
        span = await self._span(chunk)
        piece = await self._read_start(chunk, span) if span is not None else None
        if span is None or piece is None:
            self._record_size(chunk, 0)
            return None, 0
        content, header = piece.content, blosc.parse_header(piece.content)
        if header.nbytes != self.layout.chunk_bytes:
            raise FormatError(
                f"It holds {header.nbytes} bytes instead of {self.layout.chunk_bytes}."
            )
        self._is_small &= header.cbytes <= _SMALL_CHUNK_BYTES
        self._record_size(chunk, header.cbytes)
        if len(content) < header.table_end:
            rest = await self._read(
                self._file_key(chunk), span[0] + len(content), span[0] + header.table_end
            )
            content += rest.content if rest is not None else b""
        frame = blosc.parse_frame(content)
        if header.cbytes > min(len(content), _SMALL_CHUNK_BYTES):
            content = content[: header.table_end]
        return _HeldFrame(span[0], frame, content), len(content) + 2 * frame.starts.nbytes

    async def _read_start(self, chunk: tuple[int, ...], span: Span) -> Piece | None:
        head, self._head = (self._head, None) if not any(chunk) else (None, self._head)
        if head is not None and (not self._is_small or len(head.content) == head.total_bytes):
            return head
        stop = span[0] + (_SMALL_CHUNK_BYTES if self._is_small else self._table_bytes)
        return await self._read(
            self._file_key(chunk), span[0], stop if span[1] is None else min(stop, span[1])
        )


def make_chunks(
    files: Files,
    layout: ArrayLayout,
    *,
    head: Piece | None,
    memory: MemoryCache,
    owner: tuple[Any, ...],
) -> Chunks:
    """Choose how to read an array; ``head`` holds the first bytes of its first chunk."""
    options: dict[str, Any] = {"memory": memory, "owner": owner}
    if not _is_split(layout):
        return WholeChunks(files, layout, block_bytes=layout.chunk_bytes, **options)
    if layout.codecs == ():
        return PlainChunks(files, layout, **options)
    return FrameChunks(files, layout, head=head, **options)


def _is_split(layout: ArrayLayout) -> bool:
    """Whether chunks are read in parts."""
    return layout.codecs in ((), ("blosc",)) and layout.chunk_bytes > _WHOLE_CHUNK_BYTES


def _sample_header(head: Piece | None, layout: ArrayLayout) -> blosc.Header | None:
    """The header of the first chunk, if it is typical of the others."""
    try:
        header = blosc.parse_header(head.content if head is not None else b"")
    except FormatError:
        return None  # missing or damaged: reading the chunk will raise the error
    return header if header.nbytes == layout.chunk_bytes else None


def _shrunk(values: Block) -> Block:
    """Broadcast a single value if all values are the same bits; else the values as they are."""
    unit = min(values.itemsize, 8)
    bits = values.reshape(-1).view(f"u{unit}").reshape(-1, values.itemsize // unit)
    return values if (bits != bits[0]).any() else np.broadcast_to(values.flat[0], values.shape)


def _merged(spans: Mapping[K, tuple[int, int]]) -> list[tuple[int, int, list[K]]]:
    """Spans sorted by position, merged into requests."""
    merged: list[tuple[int, int, list[K]]] = []
    for name, (start, stop) in sorted(spans.items(), key=lambda each: each[1]):
        if merged:
            first, end, names = merged[-1]
            if start - end <= _MAX_GAP_BYTES and stop - first <= _RUN_BYTES:
                merged[-1] = (first, max(end, stop), [*names, name])
                continue
        merged.append((start, stop, [name]))
    return merged


def parse_index(
    content: bytes, shards: tuple[int, ...], *, file_bytes: int | None
) -> npt.NDArray[np.int64]:
    """Start and stop of each chunk in a shard, -1 for missing ones; shape ``(*shards, 2)``."""
    entries = np.frombuffer(without_checksum(content), np.uint8)
    if entries.size != 16 * math.prod(shards):
        raise FormatError(
            f"The index of a shard has {len(content)} bytes instead of {16 * math.prod(shards) + 4}."
        )
    starts, sizes = entries.view("<u8").reshape(-1, 2).astype(np.uint64).T
    is_missing = starts == _NO_CHUNK
    limit = np.uint64(2**62 if file_bytes is None else file_bytes)
    is_outside = ~is_missing & ((starts > limit) | (sizes > limit) | (starts + sizes > limit))
    if ((sizes == _NO_CHUNK) != is_missing).any() or is_outside.any():
        raise FormatError("The index of a shard points outside its file.")
    spans = np.stack([starts, starts + sizes], axis=-1).astype(np.int64)
    spans[is_missing] = -1
    return spans.reshape(*shards, 2)


def unpack(content: blosc.Bytes, layout: ArrayLayout) -> blosc.Bytes:
    """Decode a whole chunk; FormatError if the result isn't exactly one chunk long."""
    if layout.codecs is None:
        return _unpack_by_zarr(content, layout)
    for codec in reversed(layout.codecs):
        match codec:
            case "crc32c":
                content = without_checksum(content)
            case "blosc":
                content = _unpack_blosc(content, layout.chunk_bytes)
            case "zstd":
                content = _unpack_zstd(content, layout.chunk_bytes)
            case "gzip" | "zlib":
                content = _unpack_deflate(
                    content, layout.chunk_bytes, 31 if codec == "gzip" else 15
                )
    if len(content) != layout.chunk_bytes:
        raise FormatError(f"It has {len(content)} bytes instead of {layout.chunk_bytes}.")
    return (
        bytes(content) if isinstance(content, memoryview) else content
    )  # a view would keep the whole shard in memory


def without_checksum(content: blosc.Bytes) -> blosc.Bytes:
    """Check and remove the trailing CRC-32C; FormatError if it doesn't match."""
    import google_crc32c

    body, checksum = content[:-4], bytes(content[-4:])
    if len(content) < 4 or google_crc32c.value(bytes(body)) != int.from_bytes(checksum, "little"):
        raise FormatError("It does not match its checksum.")
    return body


def _unpack_blosc(content: blosc.Bytes, nbytes: int) -> bytes:
    header = blosc.parse_header(content)
    if header.nbytes != nbytes or header.cbytes != len(content):
        raise FormatError(
            f"Its Blosc frame says {header.nbytes} bytes in {header.cbytes}, but it has {len(content)}."
        )
    return blosc.decode_frame(content) if nbytes else b""


def _unpack_zstd(content: blosc.Bytes, nbytes: int) -> bytearray:
    from numcodecs.zstd import decompress

    unpacked = bytearray(nbytes)
    try:
        decompress(content, unpacked)
    except (RuntimeError, ValueError) as error:
        raise FormatError("It does not decompress (zstd).") from error
    if (
        _zstd_size(content) != nbytes
    ):  # zstd accepts a buffer that is too large: check that a smaller one fails
        try:
            decompress(content, bytearray(nbytes - 1))
        except (RuntimeError, ValueError):
            return unpacked
        raise FormatError("It is too short (zstd).")
    return unpacked


def _zstd_size(content: blosc.Bytes) -> int | None:
    """The content size in the header of the first Zstandard frame, or None (RFC 8878, 3.1.1)."""
    head = bytes(content[:18])
    if len(head) < 18 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    is_single_segment, kind = bool(head[4] & 0x20), head[4] >> 6
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[head[4] & 3]
    size_bytes = (int(is_single_segment), 2, 4, 8)[kind]
    return (
        int.from_bytes(head[start : start + size_bytes], "little") + 256 * (kind == 1)
        if size_bytes
        else None
    )


def _unpack_deflate(content: blosc.Bytes, nbytes: int, window: int) -> bytes:
    decoder = zlib.decompressobj(window)
    try:
        unpacked = decoder.decompress(content, nbytes + 1)
    except zlib.error as error:
        raise FormatError("It does not decompress (zlib or gzip).") from error
    if len(unpacked) > nbytes or not decoder.eof:
        raise FormatError(f"It is cut short, or has more than {nbytes} bytes of content.")
    return unpacked


def _unpack_by_zarr(content: blosc.Bytes, layout: ArrayLayout) -> bytes:
    """Decode a chunk through zarr, as the only chunk of an array."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore, StorePath

    key = layout.file_name((0,) * len(layout.shape))
    store = MemoryStore({key: default_buffer_prototype().buffer.from_bytes(bytes(content))})
    try:
        values = np.asarray(zarr.Array.from_dict(StorePath(store), layout.chunk_document)[...])
    except Exception as error:  # codecs may raise anything
        raise FormatError(
            f"It is damaged, or in a form that zarr can't decode ({error})."
        ) from error
    return np.ascontiguousarray(values, dtype=layout.stored_dtype).tobytes()
