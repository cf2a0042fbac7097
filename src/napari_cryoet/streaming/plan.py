"""What to fetch for a view, and in which order: pure decisions, without fetching anything.

First something coarse, on a narrow line beside the view too, then what is looked at, then what comes into view next, in
the direction of motion or on both sides of a still plane, then the whole coarsest level, so that whatever is looked at
later is never empty. What is coarse and takes long all the same comes with every eighth block first. Who moves faster
than the line can bring the finest level gets the finest that keeps up, and the rest once they slow down.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.cache import OVERHEAD_BYTES
from napari_cryoet.streaming.geometry import Box, box_shape
from napari_cryoet.streaming.picture import coarse_box
from napari_cryoet.streaming.skeleton import may_stand_in, plane_axes, skeleton
from napari_cryoet.streaming.wishes import Priority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_cryoet.streaming.pyramid import Pyramid

_WASTEFUL = 16  # so many bytes fetched for one shown
_LARGEST_AHEAD_BYTES = 32 * 2**20  # a plane that costs more is not fetched before somebody wants to see it
_LEAD_S = 0.6  # what comes into view so soon is fetched ahead
_COARSE_LEAD_S = 1.5
_FEWEST_BLOCKS_AHEAD, _MOST_BLOCKS_AHEAD = 3, 8
_BLOCKS_AROUND, _BLOCKS_AROUND_FAR = 2, 1
_SOON_S = 1.0
_BENEFIT_OF_DOUBT = 2  # what is known of a line is rough, as long as all comes in time
_USABLE_SHARE = 0.9  # of what the line can carry
_MOST_TABLES = 256
_LIKELY_PLANES_PER_S = 10.0  # of who took one step, and may go on
_PAUSE_S = 0.5  # steps farther apart are no motion at a pace
_SPACE_AXES = 3
_COARSE_BLOCKS_BESIDE, _COARSE_BLOCKS_TOGETHER = 5, 3  # of which the first is there already, as a rule
_LONGEST_STEP = 3  # planes; who goes farther at once has jumped, and is as likely to turn back as to go on


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
    """How a plane moves along its axis: ``sign`` is 1 or -1; 0 planes a second where it took a single step."""

    axis: int
    sign: int
    planes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """A part of a level that is worth fetching, and why; where ``is_table`` only what is needed to find it there."""

    priority: Priority
    level: int
    box: Box
    is_table: bool = False


def motion_between(
    before: View | None, now: View, motion: Motion | None = None, after_s: float = math.inf
) -> Motion | None:
    """How the view moves, if it is a plane that moved along one axis; None for a jump to a plane far away.

    Parameters
    ----------
    before, now
        The views.
    motion
        How it moved until then.
    after_s
        How long it had been where it was.
    """
    moved = _moved(before, now)
    if moved is None:
        return None
    axis, planes = moved
    sign = 1 if planes > 0 else -1
    if after_s > _PAUSE_S:
        return Motion(axis, sign) if abs(planes) <= _LONGEST_STEP else None
    pace = abs(planes) / max(after_s, 0.01)
    if motion is not None and (motion.axis, motion.sign) == (axis, sign) and motion.planes_per_s:
        pace = (pace + motion.planes_per_s) / 2  # steps of a slider come unevenly
    return Motion(axis, sign, pace)


def went_far(before: View | None, now: View) -> bool:
    """Whether the view is a plane that was far away until now: who looks here and there comes to few planes between."""
    moved = _moved(before, now)
    return moved is not None and abs(moved[1]) > _LONGEST_STEP


def _moved(before: View | None, now: View) -> tuple[int, int] | None:
    """Along which axis a plane moved, and by how many planes; None where it is another view altogether."""
    if before is None or before.level != now.level:
        return None
    moved = [axis for axis, (a, b) in enumerate(zip(before.box, now.box, strict=True)) if a != b]
    if len(moved) != 1:
        return None
    (start, stop), (next_start, next_stop) = before.box[moved[0]], now.box[moved[0]]
    return (moved[0], next_start - start) if stop - start == next_stop - next_start == 1 else None


def affordable_level(pyramid: Pyramid, view: View, largest_bytes: int) -> int:
    """The finest level, not finer than what is looked at, that is worth its bytes.

    Its blocks may take ``largest_bytes``; half of that where they hold much that isn't in view, as they do for a plane
    across the blocks. To remember that there are so many blocks must not take more than that, either.
    """
    for level in range(view.level, len(pyramid.shapes)):
        box = view.at(pyramid, level)
        cost = pyramid.size_bytes(level, box)
        shown = math.prod(box_shape(box)) * pyramid.dtype.itemsize
        is_too_finely_cut = pyramid.grid(level).count(box) * OVERHEAD_BYTES > largest_bytes
        limit_bytes = largest_bytes if cost <= _WASTEFUL * shown else largest_bytes // 2
        if cost <= limit_bytes and not is_too_finely_cut:
            return level
    return len(pyramid.shapes) - 1


def level_that_keeps_up(pyramid: Pyramid, view: View, target: int, motion: Motion | None, bytes_per_s: float) -> int:
    """The finest level, not finer than ``target``, whose planes come as fast as they are passed."""
    if motion is None or not motion.planes_per_s or math.isinf(bytes_per_s):
        return target
    for level in range(target, len(pyramid.shapes)):
        if motion.planes_per_s * _bytes_a_step(pyramid, view, level, motion.axis) <= _USABLE_SHARE * bytes_per_s:
            return level
    return len(pyramid.shapes) - 1


def _bytes_a_step(pyramid: Pyramid, view: View, level: int, axis: int) -> float:
    """How many bytes cross the line for each step of the view, on average: blocks hold several planes."""
    box = view.at(pyramid, level)
    outer = pyramid.grid(level).enclosing(box)
    steps = (outer[axis][1] - outer[axis][0]) * pyramid.factors[level][axis] / pyramid.factors[view.level][axis]
    return pyramid.wire_bytes(level, pyramid.size_bytes(level, box)) / max(1.0, steps)


def blocks_ahead(motion: Motion, steps_a_block: float) -> int:
    """How many blocks are worth fetching ahead of a plane that moves, each of so many steps."""
    needed = math.ceil(motion.planes_per_s * _LEAD_S / max(1.0, steps_a_block)) + 1
    return max(_FEWEST_BLOCKS_AHEAD, min(_MOST_BLOCKS_AHEAD, needed))


def still_after_s(motion: Motion | None) -> float:
    """How long after a step the view counts as still."""
    if motion is None or not motion.planes_per_s:
        return 0.0
    return min(0.15, max(0.05, 1.5 / motion.planes_per_s))


def plan(
    pyramid: Pyramid,
    view: View,
    target: int,
    motion: Motion | None,
    *,
    needs_coarse: bool,
    largest_background_bytes: int,
    is_late: bool = False,
    is_far: bool = False,
    bytes_per_s: float = math.inf,
    request_bytes: int = 0,
) -> Iterator[Want]:
    """What is worth fetching for a view, most urgent first.

    Parameters
    ----------
    pyramid, view
        What is looked at.
    target
        The level that is fetched for it.
    motion
        How it moves; None if it is new or still.
    needs_coarse
        Whether there is nothing yet to show for it.
    largest_background_bytes
        The coarsest level is fetched as a whole if it takes no more than this.
    is_late
        Whether the target has not come in time lately.
    is_far
        Whether the view came there in a jump; then only what is nearest to it is fetched until it moves.
    bytes_per_s
        What the line can carry.
    request_bytes
        How large a request should be at least.
    """
    coarsest = len(pyramid.shapes) - 1
    line_bytes_per_s = bytes_per_s if is_late else _BENEFIT_OF_DOUBT * bytes_per_s
    pace = level_that_keeps_up(pyramid, view, target, motion, line_bytes_per_s)
    view_bytes = pyramid.wire_bytes(target, pyramid.size_bytes(target, view.at(pyramid, target)))
    is_narrow = view_bytes > bytes_per_s * _SOON_S
    if needs_coarse and (pace != coarsest or is_narrow):
        yield from _first_sight(pyramid, view, bytes_per_s)
    if is_narrow and target != coarsest:
        yield from _stand_ins(pyramid, view, motion)
    yield Want(Priority.VIEW, pace, view.at(pyramid, pace))
    if motion is not None:
        if motion.planes_per_s and pace != coarsest:
            yield from _coarse_ahead(pyramid, view, motion)
        yield from _ahead(pyramid, view, pace, motion, request_bytes)
    if motion is not None and motion.planes_per_s:
        return
    blocks = _BLOCKS_AROUND_FAR if is_far else _BLOCKS_AROUND
    around = list(_around(pyramid, target, view.at(pyramid, target), blocks)) if motion is None else []
    nearest = [want for distance, want in around if distance == 1]
    nearest_bytes = sum(pyramid.wire_bytes(target, pyramid.size_bytes(target, want.box)) for want in nearest)
    is_slow = nearest_bytes > bytes_per_s * _SOON_S  # then something coarse everywhere is worth more
    yield from [] if is_slow else nearest
    if pyramid.size_bytes(coarsest) <= largest_background_bytes:
        yield from _everything_coarse(pyramid, view, bytes_per_s)
    yield from (want for distance, want in around if distance > 1 or is_slow)
    if pyramid.grid(target).n_chunks <= _MOST_TABLES:
        yield Want(Priority.BACKGROUND, target, _whole(pyramid, target), is_table=True)


def _first_sight(pyramid: Pyramid, view: View, bytes_per_s: float) -> Iterator[Want]:
    """Something coarse for a view: at first as much as is seen everywhere, where all of it takes long."""
    coarsest = len(pyramid.shapes) - 1
    box = view.at(pyramid, coarsest)
    sparse = _sparse(pyramid, box, plane_axes(view.box), bytes_per_s)
    yield from (Want(Priority.FIRST_SIGHT, coarsest, each) for each in sparse)
    yield Want(Priority.COARSE if sparse else Priority.FIRST_SIGHT, coarsest, box)


def _everything_coarse(pyramid: Pyramid, view: View, bytes_per_s: float) -> Iterator[Want]:
    """The whole coarsest level; where it takes long first what is near, for whoever steps on, then some everywhere."""
    coarsest = len(pyramid.shapes) - 1
    box = _whole(pyramid, coarsest)
    space = range(len(box))[-_SPACE_AXES:]  # what lies along others is seen one place at a time
    sparse = _sparse(pyramid, box, space, bytes_per_s)
    near = _coarse_beside(pyramid, view) if sparse else ()
    yield from (Want(Priority.BACKGROUND, coarsest, each) for each in (*near, *sparse, box))


def _coarse_beside(pyramid: Pyramid, view: View) -> Iterator[Box]:
    """The coarse blocks on both sides of a plane in turn, those that are fetched together in one box."""
    coarsest = len(pyramid.shapes) - 1
    box, block = view.at(pyramid, coarsest), pyramid.grid(coarsest).largest_block
    together = _COARSE_BLOCKS_TOGETHER * pyramid.wire_bytes(coarsest, block * pyramid.dtype.itemsize)
    ways = [Motion(axis, sign) for axis, (a, b) in enumerate(view.box) if b - a == 1 for sign in (1, -1)]
    sides = [_beyond(pyramid, coarsest, box, way, blocks=_COARSE_BLOCKS_BESIDE, request_bytes=together) for way in ways]
    yield from (each for both in itertools.zip_longest(*sides) for each in both if each is not None)


def _sparse(pyramid: Pyramid, box: Box, axes: Iterable[int], bytes_per_s: float) -> list[Box]:
    """What comes first of a box of the coarsest level that takes long, so that it is seen everywhere soon."""
    coarsest = len(pyramid.shapes) - 1
    box_bytes = pyramid.wire_bytes(coarsest, pyramid.size_bytes(coarsest, box))
    takes_long = box_bytes > _BENEFIT_OF_DOUBT * bytes_per_s * _SOON_S
    return skeleton(pyramid.grid(coarsest), box, axes) if takes_long and may_stand_in(pyramid) else []


def _whole(pyramid: Pyramid, level: int) -> Box:
    return tuple((0, size) for size in pyramid.shapes[level])


def _ahead(pyramid: Pyramid, view: View, level: int, motion: Motion, request_bytes: int) -> Iterator[Want]:
    """What a moving plane comes to: the tables of the chunks that it enters, then block after block."""
    box = view.at(pyramid, level)
    factor = pyramid.factors[level][motion.axis] / pyramid.factors[view.level][motion.axis]
    outer = pyramid.grid(level).enclosing(box)[motion.axis]
    blocks = blocks_ahead(motion, (outer[1] - outer[0]) * factor)
    for beyond in _beyond(pyramid, level, box, motion, blocks=2 * blocks, request_bytes=0):
        if not _same_chunks(pyramid, level, box, beyond, motion.axis):
            yield Want(Priority.AHEAD, level, beyond, is_table=True)
            break
    for beyond in _beyond(pyramid, level, box, motion, blocks=blocks, request_bytes=request_bytes):
        yield Want(Priority.AHEAD, level, beyond)


def _coarse_ahead(pyramid: Pyramid, view: View, motion: Motion) -> Iterator[Want]:
    """What stands in for the planes of the next moments, so that none of them is empty."""
    coarsest, axis = len(pyramid.shapes) - 1, motion.axis
    here, reach = view.box[axis][0], math.ceil(motion.planes_per_s * _COARSE_LEAD_S)
    last = max(0, min(pyramid.shapes[view.level][axis] - 1, here + motion.sign * reach))
    beyond = (*view.box[:axis], (min(here, last), max(here, last) + 1), *view.box[axis + 1 :])
    box = View(view.level, beyond).at(pyramid, coarsest)
    if pyramid.size_bytes(coarsest, box) <= _LARGEST_AHEAD_BYTES:
        yield Want(Priority.AHEAD, coarsest, box)


def _stand_ins(pyramid: Pyramid, view: View, motion: Motion | None) -> Iterator[Want]:
    """Coarse blocks beside the view that a narrow line brings before the view itself, which it is long busy with.

    Whoever begins to move meanwhile, or moves on, comes to planes that would be empty until then, since nothing that is
    asked for only now can come in time.
    """
    coarsest = len(pyramid.shapes) - 1
    box = view.at(pyramid, coarsest)
    if motion is None:
        axes = [axis for axis, (start, stop) in enumerate(view.box) if stop - start == 1]
        ways = [Motion(axis, sign) for axis in axes for sign in (1, -1)]
    else:
        ways = [motion]
    for way in ways:
        factor = pyramid.factors[coarsest][way.axis] / pyramid.factors[view.level][way.axis]
        start, stop = pyramid.grid(coarsest).enclosing(box)[way.axis]
        planes = (way.planes_per_s or _LIKELY_PLANES_PER_S) * _COARSE_LEAD_S
        blocks = 1 if motion is None else math.ceil(planes / max(1.0, (stop - start) * factor))
        beyond = _beyond(pyramid, coarsest, box, way, blocks=min(blocks, _MOST_BLOCKS_AHEAD), request_bytes=0)
        yield from (Want(Priority.VIEW, coarsest, each) for each in beyond)


def _around(pyramid: Pyramid, level: int, box: Box, blocks: int) -> Iterator[tuple[int, Want]]:
    """What lies on both sides of a still plane, and how many blocks away."""
    for axis in [axis for axis, (start, stop) in enumerate(box) if stop - start == 1]:
        for sign in (1, -1):
            beyond = _beyond(pyramid, level, box, Motion(axis, sign), blocks=blocks, request_bytes=0)
            for distance, around in enumerate(beyond, 1):
                yield distance, Want(Priority.BACKGROUND, level, around)


def _same_chunks(pyramid: Pyramid, level: int, box: Box, other: Box, axis: int) -> bool:
    size = pyramid.grid(level).chunk_shape[axis]
    return box[axis][0] // size == other[axis][0] // size


def _beyond(
    pyramid: Pyramid, level: int, box: Box, motion: Motion, *, blocks: int, request_bytes: int
) -> Iterator[Box]:
    """The blocks that a plane comes to if it moves on, nearest first, as many as make a request in one box."""
    axis = motion.axis
    if box[axis][1] - box[axis][0] > 1:
        return
    borders = pyramid.grid(level).borders[axis]
    here = int(np.searchsorted(borders, box[axis][0], side="right")) - 1
    block_bytes = pyramid.wire_bytes(level, pyramid.grid(level).largest_block * pyramid.dtype.itemsize)
    together = max(1, round(request_bytes / max(1, block_bytes)))
    for first in range(1, blocks + 1, together):
        there = [here + motion.sign * (first + i) for i in range(min(together, blocks + 1 - first))]
        there = [block for block in there if 0 <= block < len(borders) - 1]
        if not there:
            return
        beyond = (*box[:axis], (borders[min(there)], borders[max(there) + 1]), *box[axis + 1 :])
        if pyramid.size_bytes(level, beyond) > _LARGEST_AHEAD_BYTES:
            return
        yield beyond
