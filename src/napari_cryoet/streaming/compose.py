"""Compose a picture from the blocks in memory: exact where possible, from coarser levels elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.streaming.grid import (
    Box,
    box_shape,
    box_slices,
    coarse_indices,
    intersect,
    plane_of,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_cryoet.streaming.chunks import Block
    from napari_cryoet.streaming.image import SharedImage
    from napari_cryoet.streaming.memory import Key, MemoryCache

_PLANE_AXES = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """Values of a box of a level: exact but for the ``missing`` blocks, which are coarse.

    Unknown voxels hold the placeholder; ``is_blank`` if all are unknown.
    """

    values: Block
    missing: tuple[Key, ...]
    is_blank: bool


def missing_keys(image: SharedImage, memory: MemoryCache, level: int, box: Box) -> list[Key]:
    """The keys of a box's blocks that are in memory neither whole nor as the needed plane.

    Blocks that a pack left out don't count, since they can't be fetched.
    """
    owner, plane = image.owner, plane_of(box)
    chunks = image.levels[level]
    keys = ((owner, level, block) for block in chunks.grid.covering(box))
    missing = [
        key for key in keys if key not in memory and (plane is None or (*key, plane) not in memory)
    ]
    if chunks.leaves_out(box):
        return [key for key in missing if not chunks.leaves_out(chunks.grid.box(key[2]))]
    return missing


def compose(
    image: SharedImage, memory: MemoryCache, level: int, box: Box, placeholder: float
) -> Picture:
    """Compose the picture of a box of a level; never waits.

    A blank volume is a single broadcast value and read-only.
    """
    part = _Part(image, memory, level, box)
    missing = part.missing()
    if not missing:
        values = np.empty(box_shape(box), image.dtype)
        part.paint(values)
        return Picture(values, (), is_blank=False)
    around = intersect(part.around_missing(), box) or box
    coarser = _coarser_parts(part, memory, around)
    is_blank = part.is_empty and all(coarse.is_empty for coarse in coarser)
    if is_blank and sum(size > 1 for size in box_shape(box)) > _PLANE_AXES:
        return Picture(
            np.broadcast_to(np.array(placeholder, image.dtype), box_shape(box)), missing, is_blank
        )
    values = np.empty(box_shape(box), image.dtype)
    _fill(level, around, coarser, values[box_slices(around, box)], placeholder)
    part.paint(values)
    return Picture(values, missing, is_blank)


class _Part:
    """A box of a level and its blocks in memory, in the order of the grid.

    A plane across the blocks has thousands of them, and pictures are made often. So no object is
    kept per block, or Python's garbage collector would stall the viewer.
    """

    def __init__(self, image: SharedImage, memory: MemoryCache, level: int, box: Box) -> None:
        self.image, self.level, self.box = image, level, box
        self._grid, self._plane = image.levels[level].grid, plane_of(box)
        self._spans = self._grid.span(box)
        owner, covering = image.owner, self._grid.covering
        self._wholes = list(memory.get_each((owner, level, block) for block in covering(box)))
        self._cuts: list[Block | None] = [None] * len(self._wholes)
        if self._plane is not None and any(whole is None for whole in self._wholes):
            self._cuts = list(
                memory.get_each((owner, level, block, self._plane) for block in covering(box))
            )

    @property
    def is_empty(self) -> bool:
        """Whether none of its blocks is in memory."""
        return not self.present().any()

    def present(self) -> npt.NDArray[np.bool_]:
        """Which blocks are in memory, as an array over the axes."""
        found = [
            whole is not None or cut is not None
            for whole, cut in zip(self._wholes, self._cuts, strict=True)
        ]
        return np.array(found, bool).reshape([last - first for first, last in self._spans])

    def missing(self) -> tuple[Key, ...]:
        """The keys of the blocks that aren't in memory."""
        owner, level = self.image.owner, self.level
        contents = zip(self._grid.covering(self.box), self._wholes, self._cuts, strict=True)
        return tuple(
            (owner, level, block) for block, whole, cut in contents if whole is None and cut is None
        )

    def around_missing(self) -> Box:
        """The smallest box of whole blocks around all missing ones."""
        indices = np.nonzero(~self.present())
        return tuple(
            (borders[first + int(index.min())], borders[first + int(index.max()) + 1])
            for borders, (first, _), index in zip(
                self._grid.borders, self._spans, indices, strict=True
            )
        )

    def paint(self, values: Block) -> None:
        """Copy the blocks in memory into the values of the box."""
        targets, sources = [], []
        for borders, (first, last), (start, stop) in zip(
            self._grid.borders, self._spans, self.box, strict=True
        ):
            blocks = [
                (begin, max(begin, start), min(end, stop))
                for begin, end in pairwise(borders[first : last + 1])
            ]
            targets.append([slice(low - start, high - start) for _, low, high in blocks])
            sources.append([slice(low - begin, high - begin) for begin, low, high in blocks])
        plane_sources = list(sources)
        for axis, _ in self._plane or ():
            plane_sources[axis] = [slice(0, 1)] * len(sources[axis])
        positions = zip(
            product(*targets),
            product(*sources),
            product(*plane_sources),
            self._wholes,
            self._cuts,
            strict=True,
        )
        for target, source, plane_source, whole, cut in positions:
            if whole is not None:
                values[target] = whole[source]
            elif cut is not None:
                values[target] = cut[plane_source]

    def known(self, indices: list[npt.NDArray[np.intp]]) -> npt.NDArray[np.bool_]:
        """Which of the voxels at ``indices`` (one array per axis) are in memory."""
        blocks = [
            np.searchsorted(borders, index, "right") - 1 - first
            for borders, (first, _), index in zip(
                self._grid.borders, self._spans, indices, strict=True
            )
        ]
        known: npt.NDArray[np.bool_] = self.present()[np.ix_(*blocks)]
        return known


def _coarser_parts(part: _Part, memory: MemoryCache, box: Box) -> list[_Part]:
    """The box in coarser levels, up to the first that is completely in memory."""
    image, parts = part.image, []
    for coarse in range(part.level + 1, len(image.levels)):
        parts.append(_Part(image, memory, coarse, image.box_at(part.level, box, coarse)))
        if not parts[-1].missing():
            break
    return parts


def _fill(level: int, box: Box, coarser: list[_Part], values: Block, placeholder: float) -> None:
    """Fill a box from coarser levels, coarsest first, so that finer blocks end on top.

    The blocks of a level are joined before they are enlarged, since a plane may cross hundreds of
    them.
    """
    if not coarser or coarser[-1].missing():
        values[...] = placeholder
    for part in reversed(coarser):
        if part.is_empty:
            continue
        image, whole = part.image, np.empty(box_shape(part.box), values.dtype)
        part.paint(whole)
        ratios, shape = image.ratios(level, part.level), image.shapes[part.level]
        indices = coarse_indices(box, ratios, shape, image.coarse_offset)
        if part.missing():
            np.copyto(values, _enlarged(whole, indices), where=part.known(indices))
        else:
            _enlarged(whole, indices, values)


def _enlarged(
    values: npt.NDArray[Any],
    indices: list[npt.NDArray[np.intp]],
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Repeat voxels by ascending indices along each axis, counted from the first index.

    Starting with the last axis copies whole rows. Axes that stay as they are get skipped.
    """
    axes = [
        axis for axis in reversed(range(values.ndim)) if len(indices[axis]) != values.shape[axis]
    ] or [0]
    for axis in axes[:-1]:
        values = values.take(indices[axis] - indices[axis][0], axis)
    last = axes[-1]
    return values.take(
        indices[last] - indices[last][0], last, out, "clip"
    )  # "raise" would buffer the output
