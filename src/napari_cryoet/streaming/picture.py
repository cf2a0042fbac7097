"""Make the best picture of a part of a pyramid from what is in memory: exact where it can be, coarse where it must.

A hole is filled from the finest coarser level that covers it, each voxel with the coarse voxel that lies there: for
levels made by block mean the one it was averaged into, for levels made by taking every n-th voxel the nearest one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.geometry import BlockIndex, Box, box_shape, box_slices, intersect
from napari_cryoet.streaming.thin import cut_box, plane_of, thin_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.pyramid import BlockKey, Pyramid


@dataclass(frozen=True, slots=True)
class Picture:
    """Values of a box, and which blocks of its level they still lack.

    Attributes
    ----------
    values
        Exact outside the holes; coarse inside, or the placeholder where nothing is known.
    """

    values: Block
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
    """

    pyramid: Pyramid
    level: int
    box: Box
    contents: list[Block | None]
    lacks: bool

    def blocks(self) -> Iterator[tuple[BlockIndex, Block | None]]:
        """Each block with its content, or as much of it as a plane needs."""
        return zip(self.pyramid.grid(self.level).covering(self.box), self.contents, strict=True)

    def place(self, block: BlockIndex, content: Block) -> Box:
        """Where the content of a block lies."""
        place, plane = self.pyramid.grid(self.level).box(block), plane_of(self.box)
        if plane is None or content.shape[plane[0]] == place[plane[0]][1] - place[plane[0]][0]:
            return place
        return cut_box(place, plane)

    def around_holes(self) -> Box:
        """The smallest box of whole blocks around all that are not in memory."""
        grid = self.pyramid.grid(self.level)
        first, last = list(grid.shape), [0] * len(grid.shape)
        for block, content in self.blocks():
            if content is None:
                for axis, at in enumerate(block):
                    first[axis], last[axis] = min(first[axis], at), max(last[axis], at)
        return tuple(
            (borders[start], borders[stop + 1]) for borders, start, stop in zip(grid.borders, first, last, strict=True)
        )


def _look_up(pyramid: Pyramid, memory: MemoryCache[object], level: int, box: Box) -> _Part:
    plane = plane_of(box)
    contents: list[Block | None] = []
    for block in pyramid.grid(level).covering(box):
        key = pyramid.key(level, block)
        content = memory.get(key)
        if content is None and plane is not None:
            content = memory.get(thin_key(key, plane))
        contents.append(content if isinstance(content, np.ndarray) else None)
    return _Part(pyramid, level, box, contents, any(content is None for content in contents))


def compose(pyramid: Pyramid, memory: MemoryCache[object], level: int, box: Box, placeholder: float) -> Picture:
    """Make the picture of a box of a level; reads nothing but memory."""
    part = _look_up(pyramid, memory, level, box)
    values = np.empty(box_shape(box), pyramid.dtype)
    if part.lacks:
        around = intersect(part.around_holes(), box)
        if around is not None:  # filled in one go: holes may be many and thin
            _fill(part, memory, around, values[box_slices(around, box)], placeholder)
    for block, content in part.blocks():
        if content is None:
            continue
        place = part.place(block, content)
        common = intersect(place, box)
        if common is not None:
            values[box_slices(common, box)] = content[box_slices(common, place)]
    return Picture(values, part)


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


def _fill(part: _Part, memory: MemoryCache[object], box: Box, values: Block, placeholder: float) -> None:
    """Fill a box from coarser levels: the finest that covers it, and over that whatever is there of finer ones."""
    pyramid, to_paint = part.pyramid, []
    for coarse in range(part.level + 1, len(pyramid.shapes)):
        indices = coarse_indices(pyramid, part.level, box, coarse)
        steps = [max(1, round(_ratio(pyramid, part.level, coarse, axis))) for axis in range(len(box))]
        found = _look_up(pyramid, memory, coarse, _span(indices))
        to_paint.append((indices, steps, found))
        if not found.lacks:
            break
    else:
        values[...] = placeholder
    for indices, steps, found in reversed(to_paint):
        for block, content in found.blocks():
            if content is not None:
                _paint(values, indices, steps, found.place(block, content), content)


def _span(indices: list[npt.NDArray[np.intp]]) -> Box:
    return tuple((int(index[0]), int(index[-1]) + 1) for index in indices)


def _paint(values: Block, indices: list[npt.NDArray[np.intp]], steps: list[int], place: Box, content: Block) -> None:
    """Copy the voxels of one coarse block to wherever the indices want them; indices ascend along each axis."""
    copies = []
    for index, step, (start, stop) in zip(indices, steps, place, strict=True):
        first, last = (int(at) for at in np.searchsorted(index, (start, stop)))
        copies.append(list(_copies_along(index[first:last] - start, first, step)))
    for along in itertools.product(*copies):
        part = content
        for axis, (_, source) in enumerate(along):
            part = part[(slice(None),) * axis + (source,)]
        values[tuple(target for target, _ in along)] = part


def _copies_along(
    index: npt.NDArray[np.intp], first: int, step: int
) -> Iterator[tuple[slice, slice | npt.NDArray[np.intp]]]:
    """Where to put which voxels along one axis: as few strided copies as do it, which cost least, else one by index."""
    phases = [index[phase::step] for phase in range(min(step, len(index)))]
    if not all(phase[-1] - phase[0] == len(phase) - 1 for phase in phases):
        yield slice(first, first + len(index)), index
        return
    for number, phase in enumerate(phases):
        target = slice(first + number, first + len(index), step)
        yield target, slice(int(phase[0]), int(phase[-1]) + 1)
