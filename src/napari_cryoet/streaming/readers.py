"""Read blocks of one zarr array: only the needed bytes of Blosc or plain chunks, small or packed chunks whole.

A block is some planes of one chunk, or a chunk. What is encoded in any other way is read through zarr itself. All
values are exact, in this machine's byte order, and cut to the array's shape.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import file_at
from napari_cryoet.streaming.chunk_files import (
    ChunkFiles,
    FilesReader,
    OneFile,
    Place,
    SingleFile,
    VanishedError,
    damaged,
    files_of,
    key_below,
    merge_places,
)
from napari_cryoet.streaming.density import Density
from napari_cryoet.streaming.frame_reader import HEAD_BYTES, FrameReader
from napari_cryoet.streaming.geometry import BlockIndex, Grid, box_shape, box_slices, make_grid
from napari_cryoet.streaming.packing import unpack
from napari_cryoet.streaming.plain_reader import PlainReader
from napari_cryoet.streaming.slabs import cut_into_slabs, is_worth_splitting
from napari_cryoet.streaming.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.sources import ByteSource, Piece
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

__all__ = ["HEAD_BYTES", "BlockReader", "OneFile", "longest_run", "make_reader", "reader_of_file"]

_RUN_BYTES = 4 * 2**20
_MAX_GAP_BYTES = 2**18


class BlockReader(Protocol):
    """One array, read block by block."""

    metadata: ArrayMetadata
    grid: Grid
    compression: float  # how many bytes a byte of the array takes in its files, as far as is known

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same group that `Grid.runs` makes.

        Raises
        ------
        ChangedError
            Where a file is another version than the one that blocks of it came from before.
        DamagedError
            Where what came can't be what was written.
        StreamError
            Where a block can't be read for another reason; a missing chunk is no error, its blocks have the fill value.
        """

    def prepare(self, chunk: tuple[int, ...], stop: threading.Event) -> None:
        """Learn what must be known of a chunk before the first of its blocks is read, if that is little."""

    def forget(self) -> None:
        """Drop what is known of all files: one of them changed."""

    def distrust(self, block: BlockIndex) -> None:
        """Use nothing any more that is kept of the file that a block lies in: something of it was damaged."""


def make_reader(
    source: ByteSource,
    path: str,
    metadata: ArrayMetadata,
    *,
    document: bytes,
    head: bytes,
    memory: MemoryCache[object],
    owner: object,
    stop: threading.Event,
) -> BlockReader:
    """The reader that suits an array.

    Parameters
    ----------
    source, path, metadata
        Where the array is, and what.
    document
        Its metadata as they stand in the file.
    head
        The first bytes of the file of its first chunk, as far as they are known.
    memory, owner
        Where what is read of files is kept, under keys that start with ``owner``.
    stop
        Set when nothing is to be read any more.
    """
    if metadata.encoding == "other":
        return ZarrReader(source, path, metadata, document, stop=stop)
    files = files_of(source, path, metadata, memory=memory, owner=owner)
    if not is_worth_splitting(metadata):
        return WholeReader(files, metadata)
    if metadata.encoding == "plain":
        return PlainReader(files, metadata)
    return FrameReader(files, metadata, head=head, memory=memory, owner=owner, path=path)


def reader_of_file(source: ByteSource, metadata: ArrayMetadata, file: OneFile) -> BlockReader:
    """A reader of uncompressed values that stand in one file, after a header."""
    return PlainReader(SingleFile(source, file), metadata, may_go_on=True)


class WholeReader(FilesReader):
    """Chunks that are read whole; neighbours in a shard in one piece.

    Parameters
    ----------
    files, metadata
        The array.
    """

    def __init__(self, files: ChunkFiles, metadata: ArrayMetadata) -> None:
        super().__init__(files, metadata, cut_into_slabs(metadata, metadata.chunk_nbytes))
        self._density = Density(metadata)
        self.compression = 1.0

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same file; see `BlockReader`."""
        chunks = {block: self.grid.chunk(block) for block in blocks}
        where = self._files.describe(chunks[blocks[0]])
        try:
            places = {block: self._files.find(chunk, stop) for block, chunk in chunks.items()}
            found = {block: place for block, place in places.items() if place is not None}
            contents = self._read(list(set(found.values())), where, stop)
            return {block: self._values(block, contents.get(places[block])) for block in blocks}
        except FormatError as error:
            raise damaged(where, error) from error

    def _read(self, places: list[Place], where: str, stop: threading.Event) -> dict[Place | None, bytes | memoryview]:
        """What is stored at some places of one file; nothing where there is no such file."""
        contents: dict[Place | None, bytes | memoryview] = {}
        for whole, parts in merge_places(places, max_gap=_MAX_GAP_BYTES, max_bytes=_RUN_BYTES):
            piece = self._files.read(whole, stop)
            if piece is None and whole.size is not None:
                raise VanishedError(f"{where} vanished while it was read.")
            if piece is not None:
                contents |= {part: _cut(piece, whole, part) for part in parts}
        return contents

    def _values(self, block: BlockIndex, content: bytes | memoryview | None) -> Block:
        self._density.note(self.grid.chunk(block), 0 if content is None else len(content))
        self.compression = self._density.value
        if content is None:
            return self._slabs.fill(block)
        unpacked = unpack(content, self.metadata.codecs, self.metadata.chunk_nbytes)
        if isinstance(unpacked, memoryview) and unpacked.obj is getattr(content, "obj", None):
            unpacked = bytes(unpacked)  # a part must not keep the whole in memory
        return self._slabs.as_array(block, unpacked, 0)


class ZarrReader:
    """Any other chunks, decoded by zarr itself; a block is what was encoded together."""

    def __init__(
        self, source: ByteSource, path: str, metadata: ArrayMetadata, document: bytes, *, stop: threading.Event
    ) -> None:
        from napari_cryoet.streaming.zarr_store import open_zarr_array

        self.metadata = metadata
        self.compression = 1.0
        shape = metadata.inner_chunk_shape
        self.grid = make_grid(metadata.shape, shape, shape)
        self._source, self._path = source, path
        self._where = file_at(source.url, path)
        self._versions = Versions(source.url)
        self._open = partial(open_zarr_array, source, path, metadata, document, versions=self._versions)
        self._open(stop=stop)  # zarr says at once if it can't read this

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks; see `BlockReader`."""
        from napari_cryoet.streaming.zarr_store import read_zarr_array

        array = self._open(stop=stop)  # each time anew: what zarr reads for it ends with this stop
        decoded: dict[BlockIndex, Block] = {}
        for block in blocks:
            values = read_zarr_array(array, box_slices(self.grid.box(block)), self._where, stop)
            decoded[block] = values.astype(self.metadata.dtype, copy=False)
        return decoded

    def prepare(self, chunk: tuple[int, ...], stop: threading.Event) -> None:
        """Nothing to learn; see `BlockReader`."""

    def forget(self) -> None:
        """Let other versions of files count, while what is under way fails; see `BlockReader`."""
        self._source.forget_all()
        self._versions.forget()

    def distrust(self, block: BlockIndex) -> None:
        """Read a file anew; see `BlockReader`."""
        self._source.forget(self._key(block))

    def _key(self, block: BlockIndex) -> str:
        starts = (start for start, _ in self.grid.box(block))
        file = tuple(start // size for start, size in zip(starts, self.metadata.chunk_shape, strict=True))
        return key_below(self._path, self.metadata.chunk_key(file))


def longest_run(reader: BlockReader) -> int:
    """How many blocks that follow each other are read in one go."""
    block = box_shape(reader.grid.box((0,) * len(reader.metadata.shape)))
    return max(1, _RUN_BYTES // max(1, int(np.prod(block)) * reader.metadata.dtype.itemsize))


def _cut(piece: Piece, whole: Place, part: Place) -> bytes | memoryview:
    """The bytes of a place out of a larger one that was read; fewer where the file ends too early."""
    if part is whole or (part.start, part.size) == (whole.start, whole.size):
        return piece.content
    start = part.start - whole.start
    return memoryview(piece.content)[start : start + (part.size or 0)]
