"""What to fetch for a view, and in which order: pure decisions, without fetching anything.

First something coarse, then what is looked at, then what comes into view next, in the direction of motion or on both
sides of a still plane, then the whole coarsest level, so that whatever is looked at later is never empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.fetcher import Priority
from napari_cryoet.streaming.geometry import Box, box_shape
from napari_cryoet.streaming.picture import coarse_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryoet.streaming.pyramid import Pyramid

_WASTEFUL = 16  # so many bytes fetched for one shown
_LARGEST_AHEAD_BYTES = 32 * 2**20  # a plane that costs more is not fetched before somebody wants to see it
_BLOCKS_AHEAD = 6
_BLOCKS_AROUND = 2
_BLOCKS_A_REQUEST = 2  # few larger requests fill a long line better than many small ones


@dataclass(frozen=True, slots=True)
class View:
    """A part of a level that is looked at."""

    level: int
    box: Box

    def at(self, pyramid: Pyramid, level: int) -> Box:
        """The voxels of a level, this or a coarser one, that lie there."""
        return self.box if level == self.level else coarse_box(pyramid, self.level, self.box, level)


@dataclass(frozen=True, slots=True)
class Motion:
    """The last step along an axis: ``sign`` is 1 or -1."""

    axis: int
    sign: int


@dataclass(frozen=True, slots=True)
class Want:
    """A part of a level that is worth fetching, and why."""

    priority: Priority
    level: int
    box: Box


def motion_between(before: View | None, now: View) -> Motion | None:
    """How the view has moved, if it is a plane that moved along one axis."""
    if before is None or before.level != now.level:
        return None
    moved = [axis for axis, (a, b) in enumerate(zip(before.box, now.box, strict=True)) if a != b]
    if len(moved) != 1:
        return None
    axis = moved[0]
    (start, stop), (next_start, next_stop) = before.box[axis], now.box[axis]
    if stop - start != 1 or next_stop - next_start != 1:
        return None
    return Motion(axis, 1 if next_start > start else -1)


def affordable_level(pyramid: Pyramid, view: View, largest_bytes: int) -> int:
    """The finest level, not finer than what is looked at, that is worth its bytes.

    Its blocks may take ``largest_bytes``; half of that where they hold much that isn't in view, as they do for a plane
    across the blocks.
    """
    for level in range(view.level, len(pyramid.shapes)):
        box = view.at(pyramid, level)
        cost = pyramid.size_bytes(level, box)
        shown = math.prod(box_shape(box)) * pyramid.dtype.itemsize
        if cost <= (largest_bytes if cost <= _WASTEFUL * shown else largest_bytes // 2):
            return level
    return len(pyramid.shapes) - 1


def plan(
    pyramid: Pyramid,
    view: View,
    target: int,
    motion: Motion | None,
    *,
    needs_coarse: bool,
    largest_background_bytes: int,
) -> Iterator[Want]:
    """What is worth fetching for a view, most urgent first.

    Parameters
    ----------
    pyramid, view
        What is looked at.
    target
        The level that is fetched for it.
    motion
        How it moved last; None if it is new or still.
    needs_coarse
        Whether there is nothing yet to show for it.
    largest_background_bytes
        The coarsest level is fetched as a whole if it takes no more than this.
    """
    coarsest = len(pyramid.shapes) - 1
    if needs_coarse and target != coarsest:
        yield Want(Priority.FIRST_SIGHT, coarsest, view.at(pyramid, coarsest))
    box = view.at(pyramid, target)
    yield Want(Priority.VIEW, target, box)
    if motion is not None:
        for ahead in _beyond(pyramid, target, box, motion, _BLOCKS_AHEAD):
            yield Want(Priority.AHEAD, target, ahead)
    else:
        for axis in [axis for axis, (start, stop) in enumerate(box) if stop - start == 1]:
            for sign in (1, -1):
                for around in _beyond(pyramid, target, box, Motion(axis, sign), _BLOCKS_AROUND):
                    yield Want(Priority.BACKGROUND, target, around)
    whole = tuple((0, size) for size in pyramid.shapes[coarsest])
    if pyramid.size_bytes(coarsest, whole) <= largest_background_bytes:
        yield Want(Priority.BACKGROUND, coarsest, whole)


def _beyond(pyramid: Pyramid, level: int, box: Box, motion: Motion, blocks: int) -> Iterator[Box]:
    """The boxes that a plane comes to if it moves on, nearest first, each to be fetched in one go."""
    axis = motion.axis
    if box[axis][1] - box[axis][0] > 1:
        return
    borders = pyramid.grid(level).borders[axis]
    here = int(np.searchsorted(borders, box[axis][0], side="right")) - 1
    for first in range(1, blocks + 1, _BLOCKS_A_REQUEST):
        there = [here + motion.sign * (first + i) for i in range(min(_BLOCKS_A_REQUEST, blocks + 1 - first))]
        there = [block for block in there if 0 <= block < len(borders) - 1]
        if not there:
            return
        beyond = (*box[:axis], (borders[min(there)], borders[max(there)] + 1), *box[axis + 1 :])
        if pyramid.size_bytes(level, beyond) > _LARGEST_AHEAD_BYTES:
            return
        yield beyond
