"""What to fetch for a view, and in which order: pure decisions, without fetching anything.

First something coarse, then what is looked at, then what comes into view next, in the direction of motion or on both
sides of a still plane, then the whole coarsest level, so that whatever is looked at later is never empty. If you move
faster than the line can bring the finest level, you get the finest that keeps up, and the rest once you slow down.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_cryoet.streaming.engine import Priority
from napari_cryoet.streaming.grid import Box, box_shape, cut_box, plane_of, whole_box
from napari_cryoet.streaming.memory import OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryoet.streaming.pyramid import Image, Pyramid

_WASTEFUL = 16  # so many bytes fetched for one shown
_LARGEST_AHEAD_BYTES = 32 * 2**20  # a plane that costs more is not fetched before you want to see it
_LARGEST_BACKGROUND_BYTES = 96 * 2**20
_LEAD_S, _COARSE_LEAD_S = 0.6, 1.5  # what comes into view so soon is fetched ahead
_FEWEST_BLOCKS_AHEAD, _MOST_BLOCKS_AHEAD = 3, 8
_BENEFIT_OF_DOUBT = 2  # what is known of a line is rough
_MOST_TABLES = 256
_PAUSE_S = 0.5  # steps farther apart are no motion at a pace
_LONGEST_STEP = 3  # planes; after a farther jump you are as likely to turn back as to go on


@dataclass(frozen=True, slots=True)
class View:
    """A part of a level that is looked at."""

    level: int
    box: Box


@dataclass(frozen=True, slots=True)
class Motion:
    """How a plane moves along its axis: ``sign`` is 1 or -1; 0 planes a second after a single step."""

    axis: int
    sign: int
    planes_per_s: float = 0.0

    @property
    def still_after_s(self) -> float:
        """How long after a step the view counts as still."""
        return min(0.15, max(0.05, 1.5 / self.planes_per_s)) if self.planes_per_s else 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a level that is worth fetching, and why; where ``is_table`` only the tables of its chunks."""

    priority: Priority
    level: int
    box: Box
    is_table: bool = False


def motion_between(before: View | None, now: View, motion: Motion | None, after_s: float) -> Motion | None:
    """How a view moves, if it is a plane that moved along one axis; None for a jump to a plane far away.

    ``motion`` is how it moved until then, and ``after_s`` for how long it had been where it was.
    """
    if before is None or before.level != now.level:
        return None
    moved = [axis for axis, (a, b) in enumerate(zip(before.box, now.box, strict=True)) if a != b]
    if len(moved) != 1 or any(stop - start != 1 for start, stop in (before.box[moved[0]], now.box[moved[0]])):
        return None
    axis, planes = moved[0], now.box[moved[0]][0] - before.box[moved[0]][0]
    sign = 1 if planes > 0 else -1
    if after_s > _PAUSE_S:
        return Motion(axis, sign) if abs(planes) <= _LONGEST_STEP else None
    pace = abs(planes) / max(after_s, 0.01)
    if motion is not None and (motion.axis, motion.sign) == (axis, sign) and motion.planes_per_s:
        pace = (pace + motion.planes_per_s) / 2  # steps of a slider come unevenly
    return Motion(axis, sign, pace)


def affordable_level(image: Image, view: View, largest_bytes: int) -> int:
    """The finest level, not finer than what is looked at, whose blocks take at most so many bytes for the view.

    Half of that where they hold much that isn't in view, as they do for a plane across the blocks.
    """
    for level in range(view.level, image.coarsest):
        box = image.box_at(view.level, view.box, level)
        cost = image.size_bytes(level, box)
        is_wasteful = cost > _WASTEFUL * math.prod(box_shape(box)) * image.dtype.itemsize
        if cost <= (largest_bytes // 2 if is_wasteful else largest_bytes):
            return level
    return image.coarsest


def kept_bytes(image: Image, level: int, box: Box, *, is_thin: bool) -> int:
    """What a box takes in memory: its blocks, or where ``is_thin`` what it cuts out of them."""
    outer = image.levels[level].grid.enclosing(box)
    outer = cut_box(outer, plane_of(box) or ()) if is_thin else outer
    return math.prod(box_shape(outer)) * image.dtype.itemsize + image.levels[level].grid.count(box) * OVERHEAD_BYTES


def level_that_keeps_up(image: Image, view: View, target: int, motion: Motion | None, bytes_per_s: float) -> int:
    """The finest level, not finer than ``target``, whose planes come as fast as they are passed."""
    if motion is None or not motion.planes_per_s or math.isinf(bytes_per_s):
        return target
    for level in range(target, image.coarsest):
        box = image.box_at(view.level, view.box, level)
        wire_bytes = image.wire_bytes(level, image.size_bytes(level, box))
        bytes_a_step = wire_bytes / max(1.0, _planes_a_block(image, view, level, motion.axis))
        if motion.planes_per_s * bytes_a_step <= _BENEFIT_OF_DOUBT * bytes_per_s:
            return level
    return image.coarsest


def _planes_a_block(image: Image, view: View, level: int, axis: int) -> float:
    """How many planes of the view its blocks at a level hold along an axis."""
    start, stop = image.levels[level].grid.enclosing(image.box_at(view.level, view.box, level))[axis]
    return (stop - start) * image.ratios(view.level, level)[axis]


def plan(
    image: Image,
    view: View,
    target: int,
    motion: Motion | None,
    bytes_per_s: float,
    *,
    axes: tuple[int, ...],
    needs_coarse: bool,
    memory_bytes: int,
) -> Iterator[Part]:
    """What is worth fetching for a view that may move along some axes, most urgent first.

    ``target`` is the level that is fetched for it, and ``needs_coarse`` says that there is nothing yet to show.
    """
    coarsest = image.coarsest
    pace = level_that_keeps_up(image, view, target, motion, bytes_per_s)
    if needs_coarse and pace != coarsest:
        yield Part(Priority.COARSE, coarsest, image.box_at(view.level, view.box, coarsest))
    yield Part(Priority.VIEW, pace, image.box_at(view.level, view.box, pace))
    if motion is not None:
        if motion.planes_per_s and pace != coarsest:
            yield from _coarse_ahead(image, view, motion)
        needed = motion.planes_per_s * _LEAD_S / max(1.0, _planes_a_block(image, view, pace, motion.axis))
        blocks = max(_FEWEST_BLOCKS_AHEAD, min(_MOST_BLOCKS_AHEAD, math.ceil(needed) + 1))
        box = image.box_at(view.level, view.box, pace)
        for beyond in _beyond(image, pace, box, motion, blocks):
            yield Part(Priority.AHEAD, pace, beyond)
        if motion.planes_per_s:
            return
    box = image.box_at(view.level, view.box, target)
    for way in [Motion(axis, sign) for axis in axes for sign in (1, -1) if motion is None]:
        for beyond in _beyond(image, target, box, way, 1):
            yield Part(Priority.BACKGROUND, target, beyond)
    if image.size_bytes(coarsest) <= min(_LARGEST_BACKGROUND_BYTES, memory_bytes // 4):
        yield Part(Priority.BACKGROUND, coarsest, whole_box(image.shapes[coarsest]))
    if image.levels[target].grid.n_chunks <= _MOST_TABLES:
        yield Part(Priority.BACKGROUND, target, whole_box(image.shapes[target]), is_table=True)


def _coarse_ahead(image: Image, view: View, motion: Motion) -> Iterator[Part]:
    """What stands in for the planes of the next moments, so that none of them is empty."""
    axis, coarsest = motion.axis, image.coarsest
    here, reach = view.box[axis][0], math.ceil(motion.planes_per_s * _COARSE_LEAD_S)
    last = max(0, min(image.shapes[view.level][axis] - 1, here + motion.sign * reach))
    beyond = (*view.box[:axis], (min(here, last), max(here, last) + 1), *view.box[axis + 1 :])
    box = image.box_at(view.level, beyond, coarsest)
    if image.size_bytes(coarsest, box) <= _LARGEST_AHEAD_BYTES:
        yield Part(Priority.AHEAD, coarsest, box)


def _beyond(image: Image, level: int, box: Box, motion: Motion, blocks: int) -> Iterator[Box]:
    """The blocks that a plane comes to if it moves on, nearest first."""
    axis = motion.axis
    if box[axis][1] - box[axis][0] > 1:
        return
    borders = image.levels[level].grid.borders[axis]
    here = bisect_right(borders, box[axis][0]) - 1
    for there in range(here + motion.sign, here + motion.sign * (blocks + 1), motion.sign):
        if not 0 <= there < len(borders) - 1:
            return
        beyond = (*box[:axis], (borders[there], borders[there + 1]), *box[axis + 1 :])
        if image.size_bytes(level, beyond) > _LARGEST_AHEAD_BYTES:
            return
        yield beyond


@dataclass(frozen=True, slots=True)
class LevelCost:
    """What it costs to show all of a level at once, as in three dimensions.

    ``wire_bytes`` cross the line for it if nothing of it is kept, ``largest_side`` is in voxels, and ``obstacle`` is
    what it is too large for.
    """

    level: int
    wire_bytes: int
    memory_bytes: int
    largest_side: int
    obstacle: Literal["graphics card", "memory"] | None


def level_costs(pyramid: Pyramid, *, largest_side: int | None, largest_bytes: int) -> list[LevelCost]:
    """What the levels of a pyramid cost, coarsest first.

    A volume can be drawn if its longest side is at most ``largest_side`` voxels (None: nobody knows), and may take
    ``largest_bytes`` of memory.
    """
    costs: list[LevelCost] = []
    for level in reversed(range(len(pyramid.shapes))):
        memory_bytes, side, wire_bytes = (
            pyramid.size_bytes(level),
            max(pyramid.shapes[level]),
            pyramid.wire_bytes(level),
        )
        if costs:  # what was met of a fine level may be an empty corner; surfaces take half as much of each voxel
            wire_bytes = max(wire_bytes, round(costs[-1].wire_bytes * memory_bytes / costs[-1].memory_bytes / 2))
        obstacle: Literal["graphics card", "memory"] | None = None
        if largest_side is not None and side > largest_side:
            obstacle = "graphics card"
        elif costs and memory_bytes > largest_bytes:
            obstacle = "memory"
        costs.append(LevelCost(level, wire_bytes, memory_bytes, side, obstacle))
    return costs
