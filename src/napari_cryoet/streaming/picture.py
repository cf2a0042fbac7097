"""Make the best picture of a part of a pyramid from what is in memory: exact where it can be, coarse where it must.

A hole is filled from the finest coarser level that covers it, each voxel with the coarse voxel that lies there: for
levels made by block mean the one it was averaged into, for levels made by taking every n-th voxel the nearest one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.geometry import Box, box_shape, box_slices, intersect
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
    holes
        The blocks of the level that are not in memory.
    """

    values: Block
    holes: tuple[BlockKey, ...]


@dataclass(frozen=True, slots=True)
class _Stack:
    """What a picture is made from."""

    pyramid: Pyramid
    memory: MemoryCache[object]

    def blocks(self, level: int, box: Box) -> Iterator[tuple[BlockKey, Box, Block | None]]:
        """The blocks of a box, each with its content if that, or as much of it as a plane needs, is in memory."""
        grid, plane = self.pyramid.grid(level), plane_of(box)
        for block in grid.covering(box):
            key, place = self.pyramid.key(level, block), grid.box(block)
            content = self.memory.get(key)
            if content is None and plane is not None:
                content = self.memory.get(thin_key(key, plane))
                place = place if content is None else cut_box(place, plane)
            yield key, place, content if isinstance(content, np.ndarray) else None


def compose(pyramid: Pyramid, memory: MemoryCache[object], level: int, box: Box, placeholder: float) -> Picture:
    """Make the picture of a box of a level; reads nothing but memory."""
    stack = _Stack(pyramid, memory)
    values = np.empty(box_shape(box), pyramid.dtype)
    blocks = list(stack.blocks(level, box))
    holes = [place for _, place, content in blocks if content is None]
    if holes:
        around = intersect(_bounds(holes), box)
        if around is not None:  # filled in one go: holes may be many and thin
            _fill(stack, level, around, values[box_slices(around, box)], placeholder)
    for _, place, content in blocks:
        common = intersect(place, box)
        if content is not None and common is not None:
            values[box_slices(common, box)] = content[box_slices(common, place)]
    return Picture(values, tuple(key for key, _, content in blocks if content is None))


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


def _bounds(boxes: list[Box]) -> Box:
    """The smallest box around some boxes."""
    return tuple(
        (min(start for start, _ in spans), max(stop for _, stop in spans)) for spans in zip(*boxes, strict=True)
    )


def _fill(stack: _Stack, level: int, box: Box, values: Block, placeholder: float) -> None:
    """Fill a box from coarser levels: the finest that covers it, and over that whatever is there of finer ones."""
    to_paint = []
    for coarse in range(level + 1, len(stack.pyramid.shapes)):
        indices = coarse_indices(stack.pyramid, level, box, coarse)
        parts = [(place, content) for _, place, content in stack.blocks(coarse, _span(indices))]
        steps = [max(1, round(_ratio(stack.pyramid, level, coarse, axis))) for axis in range(len(box))]
        to_paint.append((indices, steps, [(place, content) for place, content in parts if content is not None]))
        if all(content is not None for _, content in parts):
            break
    else:
        values[...] = placeholder
    for indices, steps, found in reversed(to_paint):
        for place, content in found:
            _paint(values, indices, steps, place, content)


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
