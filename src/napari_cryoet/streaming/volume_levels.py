"""What each level of an image costs when all of it is shown at once, as in three dimensions, and which can't be."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid

_EMPTY = 1 / 255  # what LZ4 leaves of what is one value all over
_THINNER = 2.0  # surfaces, of which masks are made, take half as much of each voxel where there are eight times as many


@dataclass(frozen=True, slots=True)
class LevelCost:
    """A level as a whole.

    Attributes
    ----------
    level
        0 is the finest.
    wire_bytes
        About how many bytes cross the wire for it, if nothing of it is kept: by the files that were met so far, of
        which there is one at least for each level; and by the coarser levels, where these take more.
    memory_bytes
        How much its voxels take.
    largest_side
        Its longest side in voxels.
    obstacle
        What it is too large for, if it is.
    """

    level: int
    wire_bytes: int
    memory_bytes: int
    largest_side: int
    obstacle: Literal["graphics card", "memory"] | None


def level_costs(pyramid: Pyramid, *, largest_side: int | None, largest_bytes: int) -> tuple[LevelCost, ...]:
    """What the levels of a pyramid cost, coarsest first.

    Parameters
    ----------
    pyramid
        The image.
    largest_side
        The longest side of a volume that can be drawn, in voxels; None where nobody knows.
    largest_bytes
        How much memory one volume may take.
    """
    sizes = _wire_bytes(pyramid)
    costs = []
    for level in reversed(range(len(pyramid.shapes))):
        memory_bytes, side = pyramid.size_bytes(level), max(pyramid.shapes[level])
        obstacle: Literal["graphics card", "memory"] | None = None
        if largest_side is not None and side > largest_side:
            obstacle = "graphics card"
        elif memory_bytes > largest_bytes and level != len(pyramid.shapes) - 1:
            obstacle = "memory"
        costs.append(LevelCost(level, sizes[level], memory_bytes, side, obstacle))
    return tuple(costs)


def _wire_bytes(pyramid: Pyramid) -> list[int]:
    """About how many bytes each level takes in its files.

    What was met of a fine level may be an empty corner of a mask, where all of a coarse one is known: that has to
    become finer, too.
    """
    levels = range(len(pyramid.shapes))
    content = [pyramid.size_bytes(level) for level in levels]
    stored = [_stored_bytes(pyramid, level) for level in levels]
    sizes = [pyramid.wire_bytes(level, size) for level, size in zip(levels, content, strict=True)]
    empty = min(_EMPTY, *(size / whole for size, whole in zip(sizes, stored, strict=True)))
    for below, level in itertools.pairwise(reversed(levels)):
        filled = (sizes[below] - empty * stored[below]) * content[level] / content[below] / _THINNER
        sizes[level] = max(sizes[level], round(empty * stored[level] + filled))
    return sizes


def _stored_bytes(pyramid: Pyramid, level: int) -> int:
    """What the chunks of a level hold, those included that are missing, with all that lies beyond its end."""
    grid = pyramid.grid(level)
    return grid.n_chunks * math.prod(grid.chunk_shape) * pyramid.dtype.itemsize
