"""Boxes of voxels, the blocks that an array is read in, and how the levels of a pyramid lie over each other."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.exceptions import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from napari_cryoet.formats.ome_zarr import CoarseOffset

#: Where an array is read: a start and a stop on each axis.
Box = tuple[tuple[int, int], ...]
#: Which block of an array, counted along each axis.
BlockIndex = tuple[int, ...]
#: A plane of an array: the axes along which it has but one voxel, and where.
Plane = tuple[tuple[int, int], ...]

_MOST_BLOCKS_ALONG_AN_AXIS = 2**21
_SAME_RATIO = 1e-6  # scales may be written with few digits
_NEARLY_WHOLE = 0.05


def whole_box(shape: Sequence[int]) -> Box:
    """All of an array."""
    return tuple((0, size) for size in shape)


def box_shape(box: Box) -> tuple[int, ...]:
    """How many voxels a box has along each axis."""
    return tuple(stop - start for start, stop in box)


def box_slices(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """A box as slices, counted from the start of ``origin`` if that is given."""
    starts = [start for start, _ in origin] if origin else [0] * len(box)
    return tuple(slice(start - zero, stop - zero) for (start, stop), zero in zip(box, starts, strict=True))


def intersect(box: Box, other: Box) -> Box | None:
    """What two boxes have in common, or None."""
    common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, other, strict=True))
    return common if all(start < stop for start, stop in common) else None


def plane_of(box: Box) -> Plane | None:
    """The plane that a box lies in, or None."""
    return tuple((axis, start) for axis, (start, stop) in enumerate(box) if stop - start == 1) or None


def cut_box(box: Box, plane: Plane) -> Box:
    """What a plane cuts out of a box that it passes through."""
    places = dict(plane)
    return tuple((places[axis], places[axis] + 1) if axis in places else span for axis, span in enumerate(box))


def cut_part(box: Box, kept: tuple[int, ...], index: Any) -> tuple[Box, tuple[int, ...]] | None:
    """What an index leaves of a box of an array: the smaller box, and which of its axes are kept.

    None where that is no box, or has more axes; IndexError where it lies outside.
    """
    index = index if isinstance(index, tuple) else (index,)
    dots = [at for at, each in enumerate(index) if each is Ellipsis]
    if len(dots) == 1:
        index = (*index[: dots[0]], *[slice(None)] * (len(kept) + 1 - len(index)), *index[dots[0] + 1 :])
    if len(index) > len(kept):
        return None
    cut, left = list(box), list(kept)
    for each, axis in zip(index, kept, strict=False):
        start, stop = box[axis]
        if isinstance(each, slice) and each.step in {None, 1}:
            first, last, _ = each.indices(stop - start)
            cut[axis] = (start + first, start + max(first, last))
        elif isinstance(each, int | np.integer) and not isinstance(each, bool):
            if not start - stop <= each < stop - start:
                raise IndexError(f"index {each} is out of bounds for an axis of {stop - start}")
            at = start + int(each) % (stop - start)
            cut[axis] = (at, at + 1)
            left.remove(axis)
        else:
            return None
    return tuple(cut), tuple(left)


@dataclass(frozen=True, slots=True)
class Grid:
    """The blocks of an array: what is fetched, decoded and kept as one.

    ``borders`` holds the start of each block on an axis, and the end of the last one. A block lies in one chunk, and
    blocks are requested together from boxes of ``run_shape``: a chunk, or a whole file of small ones.
    """

    borders: tuple[tuple[int, ...], ...]
    chunk_shape: tuple[int, ...]
    run_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array, in voxels."""
        return tuple(borders[-1] for borders in self.borders)

    @property
    def n_chunks(self) -> int:
        """How many chunks there are, including those without a file."""
        return math.prod(-(-size // chunk) for size, chunk in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of the first block; none is larger."""
        return tuple(borders[1] for borders in self.borders)

    def box(self, block: BlockIndex) -> Box:
        """The voxels of a block."""
        return tuple((borders[i], borders[i + 1]) for borders, i in zip(self.borders, block, strict=True))

    def chunk(self, block: BlockIndex) -> tuple[int, ...]:
        """The chunk that a block lies in."""
        return self._within(block, self.chunk_shape)

    def _within(self, block: BlockIndex, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(borders[i] // size for borders, i, size in zip(self.borders, block, shape, strict=True))

    def span(self, box: Box) -> list[tuple[int, int]]:
        """On each axis the first block with voxels in a box, and the one after the last."""
        return [
            (bisect_right(borders, start) - 1, bisect_right(borders, stop - 1)) if start < stop else (0, 0)
            for (start, stop), borders in zip(box, self.borders, strict=True)
        ]

    def covering(self, box: Box) -> Iterator[BlockIndex]:
        """The blocks that have voxels in a box, in C order."""
        return itertools.product(*(range(first, last) for first, last in self.span(box)))

    def count(self, box: Box) -> int:
        """How many blocks have voxels in a box."""
        return math.prod(last - first for first, last in self.span(box))

    def enclosing(self, box: Box) -> Box:
        """The box that these blocks make together."""
        return tuple(
            (borders[first], borders[last]) if first < last else (0, 0)
            for borders, (first, last) in zip(self.borders, self.span(box), strict=True)
        )

    def chunks(self, box: Box) -> Iterator[tuple[int, ...]]:
        """The chunks that have voxels in a box."""
        spans = zip(box, self.chunk_shape, strict=True)
        return itertools.product(*(range(start // size, -(-stop // size)) for (start, stop), size in spans))

    def runs(self, blocks: Iterable[BlockIndex], longest: int) -> list[tuple[BlockIndex, ...]]:
        """Group blocks that are requested together, at most ``longest``."""
        by_place: dict[tuple[int, ...], list[BlockIndex]] = {}
        for block in blocks:
            by_place.setdefault(self._within(block, self.run_shape), []).append(block)
        return [
            tuple(group[start : start + longest])
            for group in by_place.values()
            for start in range(0, len(group), longest)
        ]


def make_grid(
    shape: Sequence[int], chunk_shape: Sequence[int], block_shape: Sequence[int], run_shape: Sequence[int]
) -> Grid:
    """Cut each chunk into blocks of a shape, smaller ones at its end; FormatError if that makes too many."""
    borders = []
    for size, chunk, block in zip(shape, chunk_shape, block_shape, strict=True):
        within = range(0, min(chunk, size), block)
        if -(-size // chunk) * len(within) > _MOST_BLOCKS_ALONG_AN_AXIS:
            raise FormatError(f"An axis of {size:,} voxels, read {block:,} at a time, is too long.")
        starts = (start + inner for start in range(0, size, chunk) for inner in within)
        borders.append((*(start for start in starts if start < size), size))
    return Grid(tuple(borders), tuple(chunk_shape), tuple(run_shape))


def level_factors(
    shapes: Sequence[Sequence[int]], scales: Sequence[Sequence[float] | None]
) -> tuple[tuple[float, ...], ...]:
    """How many finest voxels one voxel of each level spans along each axis.

    Shapes were rounded when a level was made, so their ratio is only nearly right; scales say what was meant.
    """
    factors = []
    for shape, scale in zip(shapes, scales, strict=True):
        ratios: Iterable[float | None] = itertools.repeat(None, len(shape))
        if scale and scales[0]:
            ratios = [a / b for a, b in zip(scale, scales[0], strict=True)]
        factors.append(tuple(map(_factor, shapes[0], shape, ratios)))
    return tuple(factors)


def _factor(finest: int, coarse: int, scale_ratio: float | None) -> float:
    by_shape = finest / coarse
    candidates = [2.0 ** round(math.log2(by_shape)), float(round(by_shape))]
    if scale_ratio is not None:
        if scale_ratio % 1 and math.isclose(scale_ratio, by_shape, rel_tol=_SAME_RATIO):
            return by_shape  # the level was stretched to its shape
        is_whole = abs(scale_ratio - round(scale_ratio)) <= _NEARLY_WHOLE
        candidates.insert(0, float(round(scale_ratio)) if is_whole else scale_ratio)
    return next((factor for factor in candidates if factor >= 1 and _fits(finest, coarse, factor)), by_shape)


def _fits(finest: int, coarse: int, factor: float) -> bool:
    """Whether so many voxels make so many coarse ones, rounded up or down."""
    size = finest / factor
    return coarse in {math.floor(size * (1 + _SAME_RATIO)), math.ceil(size * (1 - _SAME_RATIO))}


def coarse_indices(
    box: Box, ratios: Sequence[float], coarse_shape: Sequence[int], offset: CoarseOffset
) -> list[npt.NDArray[np.intp]]:
    """On each axis, which voxel of a coarser level lies at each voxel of a box.

    Of a level made by block mean that is the voxel it was averaged into, of one made by taking every n-th voxel the
    nearest one.
    """
    indices = []
    for (start, stop), ratio, size in zip(box, ratios, coarse_shape, strict=True):
        voxels = np.arange(start, stop)
        found = np.floor((voxels + 0.5) / ratio) if offset == "mean" else np.floor(voxels / ratio + 0.5)
        indices.append(np.clip(found, 0, size - 1).astype(np.intp))
    return indices


def coarse_box(box: Box, ratios: Sequence[float], coarse_shape: Sequence[int], offset: CoarseOffset) -> Box:
    """The voxels of a coarser level that lie in a box."""
    ends = [(start, stop - 1) for start, stop in box]
    found = []
    for (first, last), ratio, size in zip(ends, ratios, coarse_shape, strict=True):
        shift = (0.5, 0.0) if offset == "mean" else (0.0, 0.5)
        low, high = (math.floor((voxel + shift[0]) / ratio + shift[1]) for voxel in (first, last))
        found.append((min(max(low, 0), size - 1), min(max(high, 0), size - 1) + 1))
    return tuple(found)
