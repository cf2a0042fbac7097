"""Every eighth block of a coarsest level that takes long, and for how much of the rest they stand in.

A plane across the blocks cuts all of them. While they come over a narrow line, some that are spread evenly show more
of it than as many side by side, if each is seen in place of its neighbours, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from napari_cryoet.streaming.geometry import Box, Grid
    from napari_cryoet.streaming.pyramid import Pyramid

_SPACING = 8
#: So many blocks away one still stands in for another. What lies farther is not made up.
REACH = _SPACING // 2
_FEWEST_BLOCKS = 2 * _SPACING
_PLANE_AXES = 2


def may_stand_in(pyramid: Pyramid) -> bool:
    """Whether blocks may be seen in place of their neighbours: those of labels may not.

    An image that is drawn out looks coarse. An object that is drawn out looks like a longer one, and the name under the
    mouse is of something that isn't there. Where coarse voxels are every n-th one, values may be labels though the file
    doesn't say so.
    """
    are_labels = pyramid.is_labels or pyramid.is_shown_as_labels or pyramid.dtype.kind == "b"
    return not are_labels and pyramid.coarse_offset == "mean"


def plane_axes(box: Box) -> tuple[int, ...]:
    """The axes along which a plane has voxels side by side; none of a volume, which nothing is made up in."""
    axes = tuple(axis for axis, (start, stop) in enumerate(box) if stop - start > 1)
    return axes if len(axes) <= _PLANE_AXES else ()


def long_axis(grid: Grid, axes: Iterable[int]) -> int | None:
    """Along which of some axes there are most blocks; None where there are few."""
    counts = {axis: len(grid.borders[axis]) - 1 for axis in axes}
    axis = max(counts, key=lambda each: counts[each], default=None)
    return axis if axis is not None and counts[axis] >= _FEWEST_BLOCKS else None


def skeleton(grid: Grid, box: Box, axes: Iterable[int]) -> list[Box]:
    """Every eighth block of a box along one of some axes, nearest to its middle first; none where it has few.

    They are counted from the start of the grid, so that boxes beside each other have the same ones. No block of the box
    is farther than `REACH` from one.
    """
    axis = long_axis(grid, axes)
    if axis is None:
        return []
    first, last = list(grid.span(box))[axis]
    if last - first < _FEWEST_BLOCKS:
        return []
    places = [place for place in range(first, last) if place % _SPACING == REACH]
    if places[0] - first > REACH:
        places.insert(0, first)
    if last - 1 - places[-1] > REACH:
        places.append(last - 1)
    borders, (start, stop), middle = grid.borders[axis], box[axis], (first + last - 1) / 2
    places.sort(key=lambda place: abs(place - middle))
    spans = [(max(start, borders[place]), min(stop, borders[place + 1])) for place in places]
    return [(*box[:axis], span, *box[axis + 1 :]) for span in spans]


def with_what_is_near(grid: Grid, box: Box, axis: int) -> Box:
    """A box with the blocks beyond its ends that may stand in for some of its own."""
    first, last = list(grid.span(box))[axis]
    borders = grid.borders[axis]
    near = (borders[max(0, first - REACH)], borders[min(len(borders) - 1, last + REACH)])
    return (*box[:axis], near, *box[axis + 1 :])


def nearest_planes(present: npt.NDArray[np.bool_], blocks: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Which plane is seen at each place along the first axis: the nearest that is there, or -1 where none is near.

    Parameters
    ----------
    present
        Which blocks are there: one after the other along the first axis, and of several columns.
    blocks
        Which of them each plane belongs to, ascending.
    """
    count, here, there = len(blocks), blocks[:, None], present[blocks]
    places = np.arange(count)[:, None]
    before = np.maximum.accumulate(np.where(there, places, -1))
    after = np.minimum.accumulate(np.where(there, places, count)[::-1])[::-1]
    has_before = (before >= 0) & (here - blocks[before] <= REACH)
    has_after = (after < count) & (blocks[np.minimum(after, count - 1)] - here <= REACH)
    is_before = has_before & (~has_after | (places - before <= after - places))
    return np.where(is_before, before, np.where(has_after, after, -1))
