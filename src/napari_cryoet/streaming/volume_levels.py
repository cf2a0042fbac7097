"""What each level of an image costs when all of it is shown at once, as in three dimensions, and which can't be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid


@dataclass(frozen=True, slots=True)
class LevelCost:
    """A level as a whole.

    Attributes
    ----------
    level
        0 is the finest.
    wire_bytes
        About how many bytes cross the wire for it, if nothing of it is kept.
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
    costs = []
    for level in reversed(range(len(pyramid.shapes))):
        memory_bytes, side = pyramid.size_bytes(level), max(pyramid.shapes[level])
        obstacle: Literal["graphics card", "memory"] | None = None
        if largest_side is not None and side > largest_side:
            obstacle = "graphics card"
        elif memory_bytes > largest_bytes and level != len(pyramid.shapes) - 1:
            obstacle = "memory"
        costs.append(LevelCost(level, _wire_bytes(pyramid, level), memory_bytes, side, obstacle))
    return tuple(costs)


def _wire_bytes(pyramid: Pyramid, level: int) -> int:
    """About how many bytes a level takes in its files, judged by its first: what is beyond the image takes none."""
    shape, chunk = pyramid.shapes[level], pyramid.chunk_shapes[level]
    within = math.prod(min(size, side) for size, side in zip(shape, chunk, strict=True))
    return pyramid.wire_bytes(level, pyramid.size_bytes(level)) * math.prod(chunk) // within
