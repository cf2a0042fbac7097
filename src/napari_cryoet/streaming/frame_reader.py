"""Read blocks of chunks that are Blosc frames: the table of a frame once, then only the parts that hold the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming import blosc
from napari_cryoet.streaming.chunk_files import Chunk, ChunkFiles, FilesReader, Place, VanishedError, damaged
from napari_cryoet.streaming.density import Density
from napari_cryoet.streaming.geometry import BlockIndex
from napari_cryoet.streaming.once import Once
from napari_cryoet.streaming.slabs import cut_into_slabs, shrink
from napari_cryoet.streaming.versions import mark_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

HEAD_BYTES = 4096

_MAX_GAP_BYTES = 2**18
_SMALL_CHUNK_BYTES = 2**19  # a chunk that compresses to so little is read whole: its table alone takes as long
_SLAB_BYTES_IN_SMALL_CHUNKS = 2**20
_BLOCK_BYTES_A_BYTE = 2**17  # what Blosc with lz4 makes of values of one byte, ...
_USUAL_BLOCK_BYTES = 2**19  # ... and of four
_SHORTEST_FIRST_REQUEST = 1024
_UNIFORM_RATIO = 64  # what compresses better may be one value all over


@dataclass(frozen=True, slots=True, eq=False)
class _HeldFrame:
    """A chunk's table of blocks, and all of the chunk where that is little."""

    place: Place
    frame: blosc.Frame
    prefix: bytes
    version: str | None


class FrameReader(FilesReader):
    """Chunks that are one Blosc frame each, in C order, larger than what is worth reading whole.

    What compresses very well (a mask) is kept in memory as it came, and decompressed block by block.

    Parameters
    ----------
    files, metadata
        The array.
    head
        The first bytes of some chunk, which show how large the frames' own blocks are; empty if there is none.
    memory, owner, path
        Where the tables of blocks are kept, under keys that start with ``owner``.
    """

    def __init__(
        self,
        files: ChunkFiles,
        metadata: ArrayMetadata,
        *,
        head: bytes,
        memory: MemoryCache[object],
        owner: object,
        path: str,
    ) -> None:
        sample = _sample_header(head, metadata)
        usual = min(_BLOCK_BYTES_A_BYTE * metadata.stored_dtype.itemsize, _USUAL_BLOCK_BYTES)
        block_bytes = sample.blocksize if sample else usual
        # Whether chunks are asked for whole at first: until one is met that is not small, for neighbours are alike.
        self._is_small = metadata.stored_dtype.itemsize == 1 if sample is None else _is_small(sample)
        if self._is_small:
            block_bytes = max(block_bytes, _SLAB_BYTES_IN_SMALL_CHUNKS)
        self._table_bytes = max(sample.table_end, _SHORTEST_FIRST_REQUEST) if sample else HEAD_BYTES
        super().__init__(files, metadata, cut_into_slabs(metadata, block_bytes))
        self._density = Density(metadata)
        if sample is not None:
            self._density.note((0,) * len(metadata.shape), sample.cbytes)
        self.compression = self._density.value
        self._frames: Once[_HeldFrame | None] = Once(memory, (owner, "frame", path), _held_bytes)

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same chunk; see `BlockReader`."""
        chunk = self.grid.chunk(blocks[0])
        try:
            held = self._frames.get(chunk, lambda: self._read_frame(chunk, stop))
            if held is None:
                return {block: self._slabs.fill(block) for block in blocks}
            decoded = self._decode(chunk, held, blocks, stop)
        except FormatError as error:
            raise damaged(self._files.describe(chunk), error) from error
        self._files.confirm(held.place, held.version)  # another thread may have met another one meanwhile
        return decoded

    def prepare(self, chunk: Chunk, stop: threading.Event) -> None:
        """Read a chunk's table; see `BlockReader`."""
        if self._is_small:
            return  # its table comes with all of the chunk
        try:
            self._frames.get(chunk, lambda: self._read_frame(chunk, stop))
        except FormatError as error:
            raise damaged(self._files.describe(chunk), error) from error

    def forget(self) -> None:
        """Drop the tables of all chunks; see `BlockReader`."""
        super().forget()
        self._frames.forget_all()

    def distrust(self, block: BlockIndex) -> None:
        """Read a chunk's file and table anew; see `BlockReader`."""
        super().distrust(block)
        self._frames.forget(self.grid.chunk(block))

    def _decode(
        self, chunk: Chunk, held: _HeldFrame, blocks: Sequence[BlockIndex], stop: threading.Event
    ) -> dict[BlockIndex, Block]:
        header = held.frame.header
        spans = {block: self._slabs.byte_span(block) for block in blocks}
        parts = {block: header.blocks_of(*span) for block, span in spans.items()}
        needed = {part for first, last in parts.values() for part in range(first, last)}
        bodies = self._read_parts(chunk, held, needed, stop)
        decoded = {}
        for block, (first, last) in parts.items():
            content = blosc.decode_blocks(held.frame, first, last, bodies)
            stored = sum(len(bodies[part]) for part in range(first, last))
            values = self._slabs.as_array(block, content, spans[block][0] - first * header.blocksize)
            decoded[block] = shrink(values) if stored * _UNIFORM_RATIO < len(content) else values
        return decoded

    def _read_parts(
        self, chunk: Chunk, held: _HeldFrame, needed: Iterable[int], stop: threading.Event
    ) -> Mapping[int, blosc.Bytes]:
        """The compressed bytes of some of a frame's blocks, from what is held or from the source."""
        frame, prefix = held.frame, memoryview(held.prefix)
        if len(prefix) == frame.header.cbytes:
            return {part: prefix[int(frame.starts[part]) : int(frame.ends[part])] for part in needed}
        bodies: dict[int, blosc.Bytes] = {}
        for span in blosc.plan_ranges(frame, needed, max_gap=_MAX_GAP_BYTES):
            piece = self._files.read(held.place, stop, start=span.start, length=span.stop - span.start)
            if piece is None:  # another thread has forgotten it meanwhile
                raise VanishedError(f"{self._files.describe(chunk)} vanished while it was read.")
            bodies |= blosc.cut_blocks(frame, span, piece.content)
        return bodies

    def _read_frame(self, chunk: Chunk, stop: threading.Event) -> _HeldFrame | None:
        """The table of a chunk, None where the chunk is missing."""
        place = self._files.find(chunk, stop)
        length = _SMALL_CHUNK_BYTES if self._is_small else self._table_bytes
        piece = None if place is None else self._files.read(place, stop, length=length)
        if place is None or piece is None:
            self._note_size(chunk, 0)
            return None
        prefix = piece.content
        header = blosc.parse_header(prefix)
        size = place.size if place.size is not None else piece.total_bytes
        if header.nbytes != self.metadata.chunk_nbytes:
            raise FormatError(f"it holds {header.nbytes} bytes instead of {self.metadata.chunk_nbytes}.")
        if size not in {None, header.cbytes}:
            raise FormatError(f"it has {size} bytes instead of {header.cbytes}.")
        self._is_small &= _is_small(header)
        self._note_size(chunk, header.cbytes)
        if len(prefix) < header.table_end:
            rest = self._files.read(place, stop, start=len(prefix), length=header.table_end - len(prefix))
            prefix += rest.content if rest else b""
        frame = blosc.parse_frame(prefix)
        keeps_all = header.cbytes <= min(len(prefix), _SMALL_CHUNK_BYTES)
        return _HeldFrame(place, frame, prefix if keeps_all else prefix[: header.table_end], mark_of(piece))

    def _note_size(self, chunk: Chunk, stored_bytes: int) -> None:
        self._density.note(chunk, stored_bytes)
        self.compression = self._density.value


def _held_bytes(held: _HeldFrame | None) -> int:
    if held is None:
        return 0
    return len(held.prefix) + held.frame.starts.nbytes + held.frame.ends.nbytes


def _is_small(header: blosc.Header) -> bool:
    return header.cbytes <= _SMALL_CHUNK_BYTES


def _sample_header(head: bytes, metadata: ArrayMetadata) -> blosc.Header | None:
    """The header of some chunk if it is a good example of the others."""
    try:
        header = blosc.parse_header(head)
    except FormatError:
        return None  # missing, or damaged, which reading that chunk will tell
    return header if header.nbytes == metadata.chunk_nbytes else None
