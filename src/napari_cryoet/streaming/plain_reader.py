"""Read blocks of chunks that are stored as they are, by asking for the bytes that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.exceptions import DamagedError, FormatError
from napari_cryoet.streaming.chunk_files import ChunkFiles, FilesReader, Place, VanishedError, damaged
from napari_cryoet.streaming.geometry import BlockIndex
from napari_cryoet.streaming.slabs import cut_into_slabs

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

_BLOCK_BYTES = 2**19
_MAX_GAP_BYTES = 2**16


class PlainReader(FilesReader):
    """Chunks of uncompressed values in C order, or a whole file of them after a header.

    Parameters
    ----------
    files, metadata
        The array.
    may_go_on
        Whether there may be more in a file after its values.
    """

    def __init__(self, files: ChunkFiles, metadata: ArrayMetadata, *, may_go_on: bool = False) -> None:
        super().__init__(files, metadata, cut_into_slabs(metadata, _BLOCK_BYTES, may_split_planes=True))
        self._may_go_on = may_go_on
        self.compression = self._slabs.padding

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, all of the same chunk; see `BlockReader`."""
        chunk = self.grid.chunk(blocks[0])
        where = self._files.describe(chunk)
        try:
            place = self._files.find(chunk, stop)
        except FormatError as error:
            raise damaged(where, error) from error
        if place is None:
            return {block: self._slabs.fill(block) for block in blocks}
        if place.size not in {None, self.metadata.chunk_nbytes}:
            raise DamagedError(f"{where} has {place.size} bytes instead of {self.metadata.chunk_nbytes}.")
        loaded: dict[BlockIndex, Block] = {}
        for group in self._neighbours(blocks):
            part = self._load_group(place, group, where, stop)
            if part is None and loaded:
                raise VanishedError(f"{where} vanished while it was read.")
            if part is None:
                return {block: self._slabs.fill(block) for block in blocks}
            loaded |= part
        return loaded

    def _load_group(
        self, place: Place, group: Sequence[BlockIndex], where: str, stop: threading.Event
    ) -> dict[BlockIndex, Block] | None:
        """Read neighbours in one piece; None where the file is missing."""
        spans = [self._slabs.byte_span(block) for block in group]
        start, end = spans[0][0], spans[-1][1]
        piece = self._files.read(place, stop, start=start, length=end - start)
        if piece is None:
            return None
        is_all = place.size is None and not self._may_go_on
        if is_all and piece.total_bytes not in {None, self.metadata.chunk_nbytes}:
            raise DamagedError(f"{where} has {piece.total_bytes} bytes instead of {self.metadata.chunk_nbytes}.")
        if len(piece.content) != end - start:
            raise DamagedError(f"{where} ends before its last value.")
        return {
            block: self._slabs.as_array(block, piece.content, first - start)
            for block, (first, _) in zip(group, spans, strict=True)
        }

    def _neighbours(self, blocks: Sequence[BlockIndex]) -> list[list[BlockIndex]]:
        """Blocks in order of position, those together that are read in one piece."""
        groups: list[list[BlockIndex]] = []
        end = -1
        for block in sorted(blocks):
            start, next_end = self._slabs.byte_span(block)
            if groups and start - end <= _MAX_GAP_BYTES:
                groups[-1].append(block)
            else:
                groups.append([block])
            end = next_end
        return groups
