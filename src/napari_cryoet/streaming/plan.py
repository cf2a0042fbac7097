"""Decide what to fetch for a view and in which order; nothing is fetched here.

The order: a coarse picture, the view itself, the planes that come next (ahead of the motion, or on
both sides of a still plane), then the whole coarsest level, so that no later view is empty. If you
scrub faster than the connection, you see the finest level that keeps up.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from napari_cryoet.streaming.engine import Priority
from napari_cryoet.streaming.grid import Box, box_shape, cut_box, plane_of, whole_box
from napari_cryoet.streaming.memory import OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryoet.streaming.image import SharedImage
    from napari_cryoet.streaming.pyramid import Pyramid

_WASTEFUL = 16  # bytes fetched for each byte shown
RUN_BYTES = 2**20  # decoded bytes in one request; larger ones would delay the next view
_LARGEST_AHEAD_BYTES = 32 * 2**20  # larger planes aren't prefetched
_LARGEST_BACKGROUND_BYTES = 96 * 2**20
_LEAD_S, _COARSE_LEAD_S = 0.6, 1.5  # how far ahead of the motion to prefetch
_FEWEST_BLOCKS_AHEAD, _MOST_BLOCKS_AHEAD = 3, 8
_BENEFIT_OF_DOUBT = 2  # the bandwidth is a rough estimate
_MOST_TABLES = 256
_PAUSE_S = 0.5  # after a longer pause, a step starts a new motion
_LONGEST_STEP = 3  # planes; a longer step is a jump without direction


@dataclass(frozen=True, slots=True)
class View:
    """The box of a level that the viewer shows."""

    level: int
    box: Box


@dataclass(frozen=True, slots=True)
class Motion:
    """How a plane moves along its axis: ``sign`` is 1 or -1.

    ``planes_per_s`` is 0 after a single step.
    """

    axis: int
    sign: int
    planes_per_s: float = 0.0

    @property
    def still_after_s(self) -> float:
        """Seconds after a step until the view counts as still."""
        return min(0.15, max(0.05, 1.5 / self.planes_per_s)) if self.planes_per_s else 0.0


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A box of a level to fetch, and why; with ``is_table`` only the Blosc tables of its chunks."""

    priority: Priority
    level: int
    box: Box
    is_table: bool = False


def motion_between(
    before: View | None, now: View, motion: Motion | None, after_s: float
) -> Motion | None:
    """The motion of a plane along one axis; None for a jump.

    ``motion`` is the motion so far; ``after_s`` is the time since the last step.
    """
    if before is None or before.level != now.level:
        return None
    moved = [axis for axis, (a, b) in enumerate(zip(before.box, now.box, strict=True)) if a != b]
    if len(moved) != 1 or any(
        stop - start != 1 for start, stop in (before.box[moved[0]], now.box[moved[0]])
    ):
        return None
    axis, planes = moved[0], now.box[moved[0]][0] - before.box[moved[0]][0]
    sign = 1 if planes > 0 else -1
    if after_s > _PAUSE_S:
        return Motion(axis, sign) if abs(planes) <= _LONGEST_STEP else None
    pace = abs(planes) / max(after_s, 0.01)
    if motion is not None and (motion.axis, motion.sign) == (axis, sign) and motion.planes_per_s:
        pace = (pace + motion.planes_per_s) / 2  # slider steps come unevenly
    return Motion(axis, sign, pace)


def affordable_level(image: SharedImage, view: View, largest_bytes: int) -> int:
    """The finest level, starting at the view's, whose blocks take at most ``largest_bytes`` for the view.

    The limit is half of that if most of these bytes aren't in view, as for a plane across the
    blocks.
    """
    for level in range(view.level, image.coarsest):
        box = image.box_at(view.level, view.box, level)
        cost = image.size_bytes(level, box)
        is_wasteful = cost > _WASTEFUL * math.prod(box_shape(box)) * image.dtype.itemsize
        if cost <= (largest_bytes // 2 if is_wasteful else largest_bytes):
            return level
    return image.coarsest


def kept_bytes(image: SharedImage, level: int, box: Box, *, is_cut: bool) -> int:
    """Bytes of memory for a box: whole blocks, or only a plane of each if ``is_cut``."""
    outer = image.levels[level].grid.enclosing(box)
    outer = cut_box(outer, plane_of(box) or ()) if is_cut else outer
    return (
        math.prod(box_shape(outer)) * image.dtype.itemsize
        + image.levels[level].grid.count(box) * OVERHEAD_BYTES
    )


def level_that_keeps_up(
    image: SharedImage, view: View, target: int, motion: Motion | None, bytes_per_s: float
) -> int:
    """The finest level, starting at ``target``, that arrives as fast as the view moves."""
    if motion is None or not motion.planes_per_s or math.isinf(bytes_per_s):
        return target
    for level in range(target, image.coarsest):
        box = image.box_at(view.level, view.box, level)
        wire_bytes = image.wire_bytes(level, image.size_bytes(level, box))
        bytes_a_step = wire_bytes / max(1.0, _planes_a_block(image, view, level, motion.axis))
        if motion.planes_per_s * bytes_a_step <= _BENEFIT_OF_DOUBT * bytes_per_s:
            return level
    return image.coarsest


def _planes_a_block(image: SharedImage, view: View, level: int, axis: int) -> float:
    """How many planes of the view one block spans along an axis."""
    start, stop = image.levels[level].grid.enclosing(image.box_at(view.level, view.box, level))[
        axis
    ]
    return (stop - start) * image.ratios(view.level, level)[axis]


def plan(
    image: SharedImage,
    view: View,
    target: int,
    motion: Motion | None,
    bytes_per_s: float,
    *,
    axes: tuple[int, ...],
    needs_coarse: bool,
    memory_bytes: int,
    answer_s: float = 0.0,
) -> Iterator[PlannedPart]:
    """The parts to fetch for a view that may move along ``axes``, most urgent first.

    ``target`` is the level to fetch; ``needs_coarse`` means that nothing can be shown yet. Blocks
    that the view will have passed when they arrive, ``answer_s`` later, aren't prefetched.
    """
    coarsest = image.coarsest
    pace = level_that_keeps_up(image, view, target, motion, bytes_per_s)
    if needs_coarse and pace != coarsest:
        yield PlannedPart(Priority.COARSE, coarsest, image.box_at(view.level, view.box, coarsest))
    for level, box in image.shown_boxes(pace, image.box_at(view.level, view.box, pace)):
        yield PlannedPart(Priority.VIEW, level, box)
    if motion is not None:
        if motion.planes_per_s and pace != coarsest:
            yield from _coarse_ahead(image, view, motion)
        planes_a_block = max(1.0, _planes_a_block(image, view, pace, motion.axis))
        blocks_per_s = motion.planes_per_s / planes_a_block
        passed = max(0, blocks_passed(image, view, pace, motion, answer_s) - 1)
        passed = min(passed, _MOST_BLOCKS_AHEAD)
        needed = math.ceil(blocks_per_s * _LEAD_S) + 1
        blocks = passed + max(_FEWEST_BLOCKS_AHEAD, min(_MOST_BLOCKS_AHEAD, needed))
        box = image.box_at(view.level, view.box, pace)
        for ahead in _boxes_ahead(image, pace, box, motion, blocks, passed=passed):
            yield PlannedPart(Priority.AHEAD, pace, ahead)
        if motion.planes_per_s:
            return
    box = image.box_at(view.level, view.box, target)
    for direction in [Motion(axis, sign) for axis in axes for sign in (1, -1) if motion is None]:
        # two: blocks requested after the first step come too late for the next ones
        for ahead in _boxes_ahead(image, target, box, direction, 2):
            yield PlannedPart(Priority.BACKGROUND, target, ahead)
    if image.size_bytes(coarsest) <= min(_LARGEST_BACKGROUND_BYTES, memory_bytes // 4):
        yield PlannedPart(Priority.BACKGROUND, coarsest, whole_box(image.shapes[coarsest]))
    if image.levels[target].grid.n_chunks <= _MOST_TABLES:
        yield PlannedPart(
            Priority.BACKGROUND, target, whole_box(image.shapes[target]), is_table=True
        )


def _coarse_ahead(image: SharedImage, view: View, motion: Motion) -> Iterator[PlannedPart]:
    """Coarse blocks for the planes that come next, so that none is shown empty."""
    axis, coarsest = motion.axis, image.coarsest
    here, reach = view.box[axis][0], math.ceil(motion.planes_per_s * _COARSE_LEAD_S)
    last = max(0, min(image.shapes[view.level][axis] - 1, here + motion.sign * reach))
    ahead = (*view.box[:axis], (min(here, last), max(here, last) + 1), *view.box[axis + 1 :])
    box = image.box_at(view.level, ahead, coarsest)
    if image.size_bytes(coarsest, box) <= _LARGEST_AHEAD_BYTES:
        yield PlannedPart(Priority.AHEAD, coarsest, box)


def blocks_passed(
    image: SharedImage, view: View, level: int, motion: Motion, answer_s: float
) -> int:
    """How many blocks, its own first, a moving view will have left when they come ``answer_s`` later."""
    axis = motion.axis
    here = image.box_at(view.level, view.box, level)
    start, stop = image.levels[level].grid.enclosing(here)[axis]
    left = stop - here[axis][0] if motion.sign > 0 else here[axis][1] - start
    ratio = image.ratios(view.level, level)[axis]
    beyond = motion.planes_per_s * answer_s - left * ratio
    return 0 if beyond <= 0 else 1 + math.floor(beyond / ((stop - start) * ratio))


def _boxes_ahead(
    image: SharedImage, level: int, box: Box, motion: Motion, blocks: int, *, passed: int = 0
) -> Iterator[Box]:
    """The boxes of blocks that a moving plane reaches next, nearest first.

    Small blocks are joined, so that a request brings several. Groups start at multiples of their
    size: the next plan joins the same blocks.
    """
    axis = motion.axis
    if box[axis][1] - box[axis][0] > 1:
        return
    borders = image.levels[level].grid.borders[axis]
    here = bisect_right(borders, box[axis][0]) - 1
    joined = max(1, RUN_BYTES // image.block_bytes(level))
    reached = range(
        here + motion.sign * (passed + 1), here + motion.sign * (blocks + 1), motion.sign
    )
    inside = [block for block in reached if 0 <= block < len(borders) - 1]
    for _, group in groupby(inside, lambda block: block // joined):
        members = sorted(group)
        along = (borders[members[0]], borders[members[-1] + 1])
        ahead = (*box[:axis], along, *box[axis + 1 :])
        if image.size_bytes(level, ahead) > _LARGEST_AHEAD_BYTES:
            return
        yield ahead


@dataclass(frozen=True, slots=True)
class LevelCost:
    """The cost of showing a whole level, as in 3D.

    ``wire_bytes`` is the estimated download if nothing is cached, ``largest_side`` is in voxels,
    and ``obstacle`` names what the level is too large for.
    """

    level: int
    wire_bytes: int
    memory_bytes: int
    largest_side: int
    obstacle: Literal["graphics card", "memory"] | None


def level_costs(
    pyramid: Pyramid, *, largest_side: int | None, largest_bytes: int
) -> list[LevelCost]:
    """The cost of each level of a pyramid, coarsest first.

    ``largest_side`` is the largest 3D texture in voxels (None: unknown), ``largest_bytes`` the
    memory for a volume.
    """
    costs: list[LevelCost] = []
    for level in reversed(range(len(pyramid.shapes))):
        memory_bytes, side, wire_bytes = (
            pyramid.size_bytes(level),
            max(pyramid.shapes[level]),
            pyramid.wire_bytes(level),
        )
        # chunks read so far may be an empty corner: assume at least half the coarser bytes per
        # voxel
        if costs:
            wire_bytes = max(
                wire_bytes, round(costs[-1].wire_bytes * memory_bytes / costs[-1].memory_bytes / 2)
            )
        obstacle: Literal["graphics card", "memory"] | None = None
        if largest_side is not None and side > largest_side:
            obstacle = "graphics card"
        elif costs and memory_bytes > largest_bytes:
            obstacle = "memory"
        costs.append(LevelCost(level, wire_bytes, memory_bytes, side, obstacle))
    return costs
