"""Make the best picture of a part of a pyramid from what is in memory: exact where it can be, coarse where it must.

A hole is filled from the finest coarser level that covers it, each voxel with the coarse voxel that lies there: for
levels made by block mean the one it was averaged into, for levels made by taking every n-th voxel the nearest one.
Where the coarsest level itself has holes, a plane across many blocks has in them what is nearest; see `skeleton`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.streaming.geometry import BlockIndex, Box, box_shape, box_slices, intersect
from napari_cryoet.streaming.skeleton import long_axis, may_stand_in, nearest_planes, plane_axes, with_what_is_near
from napari_cryoet.streaming.thin import plane_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_cryoet.streaming.block_keys import BlockKey
    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.paint import Paint
    from napari_cryoet.streaming.pyramid import Pyramid

_PLANE_AXES = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """Values of a box, and which blocks of its level they still lack.

    Attributes
    ----------
    values
        Exact outside the holes; coarse inside, or the placeholder where nothing is known.
    is_blank
        Whether nothing at all is known.
    """

    values: Block
    is_blank: bool
    _part: _Part

    @property
    def is_whole(self) -> bool:
        """Whether there are no holes."""
        return not self._part.lacks

    @property
    def holes(self) -> tuple[BlockKey, ...]:
        """The blocks of the level that are not in memory."""
        part = self._part
        return tuple(part.pyramid.key(part.level, block) for block, content in part.blocks() if content is None)


@dataclass(frozen=True, slots=True)
class _Part:
    """A box of a level and what is in memory of its blocks, in the order in which the grid counts them.

    There may be thousands of them in a plane across the blocks, and pictures are made often. So no more objects are
    made for them than live for a moment: else Python's garbage collector comes by, and holds up the viewer.

    Where it has an ``axis``, what it lacks is filled along that from what is near.
    """

    pyramid: Pyramid
    level: int
    box: Box
    contents: list[Block | None]
    lacks: bool
    axis: int | None = None

    def blocks(self) -> Iterator[tuple[BlockIndex, Block | None]]:
        """Each block with its content, or as much of it as a plane needs."""
        return zip(self.pyramid.grid(self.level).covering(self.box), self.contents, strict=True)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is in memory."""
        return all(content is None for content in self.contents)

    def paint(self, values: Block) -> None:
        """Copy whatever there is into the values of the box."""
        targets, sources = zip(*self._along(), strict=True)
        cuts, axis = list(sources), self._thick_axis()
        for each, _ in plane_of(self.box) or ():  # what has one layer there has the right one: block or cut
            cuts[each] = [slice(0, 1)] * len(cuts[each])
        for target, source, cut, content in zip(
            product(*targets), product(*sources), product(*cuts), self.contents, strict=True
        ):
            if content is not None:
                values[target] = content[source if content.shape[axis] > 1 else cut]

    def _thick_axis(self) -> int:
        """Where whole blocks have several layers of which a plane needs one, if they have: cuts are told by that."""
        borders, spans = self.pyramid.grid(self.level).borders, self.pyramid.grid(self.level).span(self.box)
        firsts = [first for first, _ in spans]
        axes = [axis for axis, _ in plane_of(self.box) or ()]
        thick = (axis for axis in axes if borders[axis][firsts[axis] + 1] - borders[axis][firsts[axis]] > 1)
        return next(thick, axes[0] if axes else 0)

    def _along(self) -> Iterator[tuple[list[slice], list[slice]]]:
        """On each axis, where what each block brings belongs in the box, and where that is in the block."""
        grid = self.pyramid.grid(self.level)
        for borders, (first, last), (start, stop) in zip(grid.borders, grid.span(self.box), self.box, strict=True):
            blocks = [(begin, max(begin, start), min(end, stop)) for begin, end in pairwise(borders[first : last + 1])]
            yield (
                [slice(from_ - start, to - start) for _, from_, to in blocks],
                [slice(from_ - begin, to - begin) for begin, from_, to in blocks],
            )

    def present(self) -> npt.NDArray[np.bool_]:
        """Which blocks there are, along each axis."""
        counts = [last - first for first, last in self.pyramid.grid(self.level).span(self.box)]
        return np.array([content is not None for content in self.contents]).reshape(counts)

    def fill_holes(self, values: Block) -> npt.NDArray[np.bool_]:
        """Fill what is lacking in the values of the box with the nearest planes along its axis, if it has one.

        Which blocks have something then is returned. What lies too far from all that is there stays as it is.
        """
        present, axis = self.present(), self.axis
        if axis is None:
            return present
        targets = [along for along, _ in self._along()]
        sizes = [target.stop - target.start for target in targets[axis]]
        targets[axis] = [slice(None)]
        turned = np.moveaxis(present, axis, 0)
        nearest = nearest_planes(turned.reshape(len(sizes), -1), np.repeat(np.arange(len(sizes)), sizes))
        for target, planes in zip(product(*targets), nearest.T, strict=True):
            column = np.moveaxis(values[target], axis, 0)
            filled = np.flatnonzero((planes >= 0) & (planes != np.arange(len(planes))))
            column[filled] = column[planes[filled]]
        firsts = np.cumsum([0, *sizes[:-1]])
        return np.moveaxis((nearest[firsts] >= 0).reshape(turned.shape), 0, axis)

    def known(self, there: npt.NDArray[np.bool_], indices: list[npt.NDArray[np.intp]]) -> npt.NDArray[np.bool_]:
        """At which of some voxels of the box, given along each axis, there is something, if it is in some blocks."""
        grid, blocks, cut = self.pyramid.grid(self.level), [], []
        for borders, (first, _), index in zip(grid.borders, grid.span(self.box), indices, strict=True):
            block = np.searchsorted(borders, index, "right") - 1
            blocks.append(block)
            cut.append(slice(int(block[0]) - first, int(block[-1]) + 1 - first))
        return _enlarge(there[tuple(cut)], blocks)

    def around_holes(self) -> Box:
        """The smallest box of whole blocks around all that are not in memory."""
        grid, box = self.pyramid.grid(self.level), []
        places = np.nonzero(~self.present())
        for borders, (first, _), at in zip(grid.borders, grid.span(self.box), places, strict=True):
            box.append((borders[first + int(at.min())], borders[first + int(at.max()) + 1]))
        return tuple(box)


def _look_up(pyramid: Pyramid, memory: MemoryCache[object], level: int, box: Box, *, axis: int | None = None) -> _Part:
    owner, plane = pyramid.owner, plane_of(box)
    blocks = pyramid.grid(level).covering
    contents = _arrays(memory.get_each((owner, level, block) for block in blocks(box)))
    lacks = any(content is None for content in contents)
    if lacks and plane is not None:
        cuts = _arrays(memory.get_each((owner, level, block, plane) for block in blocks(box)))
        contents = [cut if content is None else content for content, cut in zip(contents, cuts, strict=True)]
        lacks = any(content is None for content in contents)
    return _Part(pyramid, level, box, contents, lacks, axis)


def _arrays(found: Iterator[object]) -> list[Block | None]:
    return [content if isinstance(content, np.ndarray) else None for content in found]


def compose(
    pyramid: Pyramid,
    memory: MemoryCache[object],
    level: int,
    box: Box,
    placeholder: float,
    *,
    paint: Paint | None = None,
    fills_holes: bool = True,
) -> Picture:
    """Make the picture of a box of a level, with what was painted over the finest one; reads nothing but memory.

    A volume of which nothing is known takes no memory: it is one value, seen everywhere, that can't be written to.
    Holes of the coarsest level are to be filled only while what belongs there is expected to come.
    """
    part = _look_up(pyramid, memory, level, box)
    around = intersect(part.around_holes(), box) if part.lacks else None
    stand_ins = list(_stand_ins(part, memory, around, fills_holes=fills_holes)) if around is not None else []
    is_painted = paint is not None and not level and paint.is_in(box)
    is_blank = part.is_empty and all(found.is_empty for _, found in stand_ins) and not is_painted
    if is_blank and sum(size > 1 for size in box_shape(box)) > _PLANE_AXES:
        return Picture(np.broadcast_to(np.array(placeholder, pyramid.dtype), box_shape(box)), is_blank, part)
    values = np.empty(box_shape(box), pyramid.dtype)
    if around is not None:  # filled in one go: holes may be many and thin
        _fill(stand_ins, values[box_slices(around, box)], placeholder)
    part.paint(values)
    if paint is not None and is_painted:
        paint.put_over(box, values)
    return Picture(values, is_blank, part)


def coarse_box(pyramid: Pyramid, level: int, box: Box, coarse: int) -> Box:
    """The voxels of a coarser level that a box of a level is shown with while it loads."""
    return _span(coarse_indices(pyramid, level, box, coarse))


def coarse_indices(pyramid: Pyramid, level: int, box: Box, coarse: int) -> list[npt.NDArray[np.intp]]:
    """On each axis, which voxel of a coarser level lies at each voxel of a box."""
    indices = []
    for axis, (start, stop) in enumerate(box):
        ratio = _ratio(pyramid, level, coarse, axis)
        centres = np.arange(start, stop)
        if pyramid.coarse_offset == "mean":
            index = np.floor((centres + 0.5) / ratio)
        else:
            index = np.floor(centres / ratio + 0.5)
        indices.append(np.clip(index, 0, pyramid.shapes[coarse][axis] - 1).astype(np.intp))
    return indices


def _ratio(pyramid: Pyramid, level: int, coarse: int, axis: int) -> float:
    return pyramid.factors[coarse][axis] / pyramid.factors[level][axis]


_StandIn = tuple[list["npt.NDArray[np.intp]"], _Part]


def _stand_ins(part: _Part, memory: MemoryCache[object], box: Box, *, fills_holes: bool) -> Iterator[_StandIn]:
    """What there is of coarser levels in a box, and which voxel of it lies where, up to the first that covers it.

    Where none does, and holes of the coarsest level can be filled, also what is near of that.
    """
    pyramid, coarsest = part.pyramid, len(part.pyramid.shapes) - 1
    may_fill = fills_holes and may_stand_in(pyramid)
    axis = long_axis(pyramid.grid(coarsest), plane_axes(part.box)) if may_fill else None
    for coarse in range(part.level + 1 if axis is None else min(part.level + 1, coarsest), coarsest + 1):
        indices = coarse_indices(pyramid, part.level, box, coarse)
        found = _look_up(pyramid, memory, coarse, _span(indices))
        if found.lacks and coarse == coarsest and axis is not None:
            near = with_what_is_near(pyramid.grid(coarse), found.box, axis)
            found = _look_up(pyramid, memory, coarse, near, axis=axis)
        yield indices, found
        if not found.lacks:
            return


def _fill(stand_ins: list[_StandIn], values: Block, placeholder: float) -> None:
    """Fill a box from coarser levels: the finest that covers it, and over that whatever is there of finer ones.

    A level's blocks are put together first and enlarged then, since a plane may cross hundreds of them.
    """
    if not stand_ins or stand_ins[-1][1].lacks:
        values[...] = placeholder
    for indices, found in reversed(stand_ins):
        if found.is_empty:
            continue
        whole = np.empty(box_shape(found.box), values.dtype)
        found.paint(whole)
        within = whole[box_slices(_span(indices), found.box)]  # also where what was near has all come meanwhile
        if found.lacks:
            there = found.fill_holes(whole)
            np.copyto(values, _enlarge(within, indices), where=found.known(there, indices))
        else:
            _enlarge(within, indices, values)


def _span(indices: list[npt.NDArray[np.intp]]) -> Box:
    return tuple((int(index[0]), int(index[-1]) + 1) for index in indices)


def _enlarge(
    values: npt.NDArray[Any], indices: list[npt.NDArray[np.intp]], out: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """The voxel of an array at each of some indices that ascend along each axis, from where the first of them is.

    The last axis comes first: then most is copied as whole rows. An axis on which nothing changes is passed over, since
    a picture that is copied once more costs most of all that is done here.
    """
    axes = [axis for axis in reversed(range(values.ndim)) if len(indices[axis]) != values.shape[axis]] or [0]
    for axis in axes[:-1]:
        values = values.take(indices[axis] - indices[axis][0], axis)
    first = indices[axes[-1]][0]
    return values.take(indices[axes[-1]] - first, axes[-1], out, "clip")  # which needs no copy of all
