"""The part of an image that its pyramids, its displays and the engine share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats.ome_zarr import CoarseOffset
from napari_cryoet.streaming.chunks import Chunks, Files
from napari_cryoet.streaming.grid import (
    BlockIndex,
    Box,
    box_shape,
    coarse_box,
    level_factors,
    whole_box,
)


class SharedImage:
    """The part of an image that all its pyramids and displays share; axes are in stored order.

    Its keys in the memory cache start with ``owner``. ``error`` is set once it can't be read any
    more.
    """

    def __init__(
        self,
        files: Files,
        owner: int,
        levels: Sequence[Chunks],
        *,
        scales: Sequence[Sequence[float] | None],
        coarse_offset: CoarseOffset,
    ) -> None:
        self.files = files
        self.server = files.source.server
        self.owner = owner
        self.levels = tuple(levels)
        self.shapes = tuple(chunks.layout.shape for chunks in levels)
        self.dtype = levels[0].layout.dtype
        self.factors = level_factors(self.shapes, scales)
        self.coarse_offset = coarse_offset
        self.error: CryoETError | None = None

    @property
    def coarsest(self) -> int:
        """The number of the coarsest level."""
        return len(self.levels) - 1

    def ratios(self, level: int, coarse: int) -> tuple[float, ...]:
        """How many voxels of ``level`` one voxel of ``coarse`` spans along each axis."""
        return tuple(b / a for a, b in zip(self.factors[level], self.factors[coarse], strict=True))

    def box_at(self, level: int, box: Box, coarse: int) -> Box:
        """The box at level ``coarse`` (the same or a coarser one) that covers a box of ``level``."""
        if coarse == level:
            return box
        return coarse_box(box, self.ratios(level, coarse), self.shapes[coarse], self.coarse_offset)

    def shown_boxes(self, level: int, box: Box) -> list[tuple[int, Box]]:
        """A box of a level, and of the coarser levels as long as some of its blocks were left out."""
        boxes = [(level, box)]
        while level < self.coarsest and self.levels[level].leaves_out(box):
            box = self.box_at(level, box, level + 1)
            level += 1
            boxes.append((level, box))
        return boxes

    def block_bytes(self, level: int) -> int:
        """Decoded bytes of a full block of a level."""
        return math.prod(self.levels[level].grid.block_shape) * self.dtype.itemsize

    def size_bytes(self, level: int, box: Box | None = None) -> int:
        """Decoded bytes of the blocks that cover a box of a level, or all of it."""
        outer = self.levels[level].grid.enclosing(box or whole_box(self.shapes[level]))
        return math.prod(box_shape(outer)) * self.dtype.itemsize

    def wire_bytes(self, level: int, size_bytes: int) -> int:
        """The estimated download for ``size_bytes`` decoded bytes."""
        return round(size_bytes * self.levels[level].compression)

    def runs(
        self, level: int, blocks: Iterable[BlockIndex], longest_bytes: int
    ) -> list[tuple[BlockIndex, ...]]:
        """Group blocks into requests of at most ``longest_bytes`` decoded bytes."""
        return self.levels[level].grid.runs(
            blocks, max(1, longest_bytes // self.block_bytes(level))
        )
