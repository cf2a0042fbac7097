"""An image as it is stored: its files, its levels, and how these lie over each other."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from napari_cryoet.streaming.grid import Box, box_shape, coarse_box, level_factors, whole_box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_cryoet.exceptions import CryoETError
    from napari_cryoet.formats.ome_zarr import CoarseOffset
    from napari_cryoet.streaming.chunks import Chunks, Files
    from napari_cryoet.streaming.grid import BlockIndex

_numbers = itertools.count()


class Image:
    """What all pyramids and displays of an image share. Axes are those of the files.

    Parameters
    ----------
    files, line
        Where it is.
    levels
        Its arrays, finest first.
    scales
        What the files say of the size of voxels at each level.
    coarse_offset
        Where coarse voxels sit; see `Pyramid`.

    Attributes
    ----------
    owner
        What all its keys in memory start with.
    line
        Its server's name; nothing for this computer.
    shapes, factors
        Of the levels: in voxels, and how many finest voxels one of theirs spans.
    error
        Why nothing of it can be read any more, such as that it changed.
    """

    def __init__(
        self,
        files: Files,
        line: str,
        owner: int,
        levels: Sequence[Chunks],
        *,
        scales: Sequence[Sequence[float] | None],
        coarse_offset: CoarseOffset,
    ) -> None:
        self.files, self.line, self.owner = files, line, owner
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
        """How many voxels of a level one of a coarser level spans along each axis."""
        return tuple(b / a for a, b in zip(self.factors[level], self.factors[coarse], strict=True))

    def box_at(self, level: int, box: Box, coarse: int) -> Box:
        """The voxels of a level, this or a coarser one, that lie in a box of a level."""
        if coarse == level:
            return box
        return coarse_box(box, self.ratios(level, coarse), self.shapes[coarse], self.coarse_offset)

    def block_bytes(self, level: int) -> int:
        """How many bytes the blocks of a level take once they are decoded, but for smaller ones at the end."""
        return math.prod(self.levels[level].grid.block_shape) * self.dtype.itemsize

    def size_bytes(self, level: int, box: Box | None = None) -> int:
        """How many bytes the blocks of (a part of) a level take once they are decoded."""
        outer = self.levels[level].grid.enclosing(box or whole_box(self.shapes[level]))
        return math.prod(box_shape(outer)) * self.dtype.itemsize

    def wire_bytes(self, level: int, size_bytes: int) -> int:
        """About how many bytes cross the line for so many decoded ones."""
        return round(size_bytes * self.levels[level].compression)

    def runs(
        self, level: int, blocks: Iterable[BlockIndex], longest_bytes: int, *, in_turn: bool = False
    ) -> list[tuple[BlockIndex, ...]]:
        """Group blocks that are requested together, of at most so many decoded bytes; see `Grid.runs`."""
        longest = max(1, longest_bytes // self.block_bytes(level))
        return self.levels[level].grid.runs(blocks, longest, in_turn=in_turn)


def new_owner() -> int:
    """A number that no other image of this process has."""
    return next(_numbers)
