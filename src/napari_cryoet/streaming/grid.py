"""Boxes of voxels, the grid of blocks of an array, and the geometry between levels."""

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

#: Start and stop on each axis.
Box = tuple[tuple[int, int], ...]
#: The index of a block along each axis.
BlockIndex = tuple[int, ...]
#: A plane of an array: (axis, position) for each axis along which it is one voxel wide.
PlanePosition = tuple[tuple[int, int], ...]

_MOST_BLOCKS_ALONG_AN_AXIS = 2**21
_SAME_RATIO = 1e-6  # scales may be written with few digits
_NEARLY_WHOLE = 0.05


def whole_box(shape: Sequence[int]) -> Box:
    """The box of a whole array."""
    return tuple((0, size) for size in shape)


def box_shape(box: Box) -> tuple[int, ...]:
    """The shape of a box in voxels."""
    return tuple(stop - start for start, stop in box)


def box_slices(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """A box as slices, relative to the start of ``origin`` if given."""
    starts = [start for start, _ in origin] if origin else [0] * len(box)
    return tuple(
        slice(start - zero, stop - zero) for (start, stop), zero in zip(box, starts, strict=True)
    )


def intersect(box: Box, other: Box) -> Box | None:
    """The overlap of two boxes, or None."""
    common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, other, strict=True))
    return common if all(start < stop for start, stop in common) else None


def plane_of(box: Box) -> PlanePosition | None:
    """The plane that contains a box, or None."""
    return (
        tuple((axis, start) for axis, (start, stop) in enumerate(box) if stop - start == 1) or None
    )


def cut_box(box: Box, plane: PlanePosition) -> Box:
    """The part of a box that lies in a plane."""
    positions = dict(plane)
    return tuple(
        (positions[axis], positions[axis] + 1) if axis in positions else span
        for axis, span in enumerate(box)
    )


def cut_part(box: Box, kept: tuple[int, ...], index: Any) -> tuple[Box, tuple[int, ...]] | None:
    """Apply an index to a box: the smaller box, and the axes that are kept.

    None if the result is no box; IndexError if the index is out of bounds.
    """
    index = index if isinstance(index, tuple) else (index,)
    ellipses = [at for at, item in enumerate(index) if item is Ellipsis]
    if len(ellipses) == 1:
        index = (
            *index[: ellipses[0]],
            *[slice(None)] * (len(kept) + 1 - len(index)),
            *index[ellipses[0] + 1 :],
        )
    if len(index) > len(kept):
        return None
    cut, remaining = list(box), list(kept)
    for item, axis in zip(index, kept, strict=False):
        start, stop = box[axis]
        if isinstance(item, slice) and item.step in {None, 1}:
            first, last, _ = item.indices(stop - start)
            cut[axis] = (start + first, start + max(first, last))
        elif isinstance(item, int | np.integer) and not isinstance(item, bool):
            if not start - stop <= item < stop - start:
                raise IndexError(f"index {item} is out of bounds for an axis of {stop - start}")
            at = start + int(item) % (stop - start)
            cut[axis] = (at, at + 1)
            remaining.remove(axis)
        else:
            return None
    return tuple(cut), tuple(remaining)


@dataclass(frozen=True, slots=True)
class Grid:
    """The blocks of an array, the units that are fetched, decoded and cached.

    ``borders`` holds the start of each block along an axis, and the end of the last. No block spans
    two chunks. Blocks in the same box of ``run_shape`` (a chunk, or a file of small ones) may share
    a request.
    """

    borders: tuple[tuple[int, ...], ...]
    chunk_shape: tuple[int, ...]
    run_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array in voxels."""
        return tuple(borders[-1] for borders in self.borders)

    @property
    def n_chunks(self) -> int:
        """How many chunks there are, including those without a file."""
        return math.prod(
            -(-size // chunk) for size, chunk in zip(self.shape, self.chunk_shape, strict=True)
        )

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of the first block; none is larger."""
        return tuple(borders[1] for borders in self.borders)

    @property
    def block_lengths(self) -> tuple[tuple[int, ...], ...]:
        """The lengths of all blocks along each axis, which are dask's chunks."""
        return tuple(tuple(np.diff(borders).tolist()) for borders in self.borders)

    def box(self, block: BlockIndex) -> Box:
        """The voxels of a block."""
        return tuple(
            (borders[i], borders[i + 1]) for borders, i in zip(self.borders, block, strict=True)
        )

    def chunk(self, block: BlockIndex) -> tuple[int, ...]:
        """The chunk that contains a block."""
        return self._within(block, self.chunk_shape)

    def _within(self, block: BlockIndex, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            borders[i] // size for borders, i, size in zip(self.borders, block, shape, strict=True)
        )

    def span(self, box: Box) -> list[tuple[int, int]]:
        """On each axis, the first block that overlaps a box and one past the last."""
        return [
            (bisect_right(borders, start) - 1, bisect_right(borders, stop - 1))
            if start < stop
            else (0, 0)
            for (start, stop), borders in zip(box, self.borders, strict=True)
        ]

    def covering(self, box: Box) -> Iterator[BlockIndex]:
        """The blocks that overlap a box, in C order."""
        return itertools.product(*(range(first, last) for first, last in self.span(box)))

    def count(self, box: Box) -> int:
        """How many blocks overlap a box."""
        return math.prod(last - first for first, last in self.span(box))

    def enclosing(self, box: Box) -> Box:
        """The box of all blocks that overlap a box."""
        return tuple(
            (borders[first], borders[last]) if first < last else (0, 0)
            for borders, (first, last) in zip(self.borders, self.span(box), strict=True)
        )

    def chunks(self, box: Box) -> Iterator[tuple[int, ...]]:
        """The chunks that overlap a box."""
        spans = zip(box, self.chunk_shape, strict=True)
        return itertools.product(
            *(range(start // size, -(-stop // size)) for (start, stop), size in spans)
        )

    def runs(self, blocks: Iterable[BlockIndex], longest: int) -> list[tuple[BlockIndex, ...]]:
        """Group blocks that can share a request, at most ``longest`` in one."""
        by_run: dict[tuple[int, ...], list[BlockIndex]] = {}
        for block in blocks:
            by_run.setdefault(self._within(block, self.run_shape), []).append(block)
        return [
            tuple(group[start : start + longest])
            for group in by_run.values()
            for start in range(0, len(group), longest)
        ]


def make_grid(
    shape: Sequence[int],
    chunk_shape: Sequence[int],
    block_shape: Sequence[int],
    run_shape: Sequence[int],
) -> Grid:
    """Cut chunks into blocks, smaller ones at their ends; FormatError if there are too many."""
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

    Shapes are rounded, so scales take precedence if they agree with the shapes.
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
            return by_shape  # the level was resized to its shape
        is_whole = abs(scale_ratio - round(scale_ratio)) <= _NEARLY_WHOLE
        candidates.insert(0, float(round(scale_ratio)) if is_whole else scale_ratio)
    return next(
        (factor for factor in candidates if factor >= 1 and _fits(finest, coarse, factor)), by_shape
    )


def _fits(finest: int, coarse: int, factor: float) -> bool:
    """Whether ``finest / factor``, rounded up or down, is ``coarse``."""
    size = finest / factor
    return coarse in {math.floor(size * (1 + _SAME_RATIO)), math.ceil(size * (1 - _SAME_RATIO))}


def coarse_indices(
    box: Box, ratios: Sequence[float], coarse_shape: Sequence[int], offset: CoarseOffset
) -> list[npt.NDArray[np.intp]]:
    """For each voxel of a box and each axis, the index of the coarse voxel there.

    In a level of block means that is the voxel it was averaged into; in a strided level, the
    nearest one.
    """
    sizes = zip(box, ratios, coarse_shape, strict=True)
    return [
        _coarse_voxels(np.arange(start, stop), ratio, size, offset)
        for (start, stop), ratio, size in sizes
    ]


def _coarse_voxels(
    voxels: npt.NDArray[np.intp], ratio: float, coarse_size: int, offset: CoarseOffset
) -> npt.NDArray[np.intp]:
    is_mean = offset == "mean"
    nearest = np.floor((voxels + 0.5) / ratio if is_mean else voxels / ratio + 0.5)
    return np.clip(nearest, 0, coarse_size - 1).astype(np.intp)


def coarse_box(
    box: Box, ratios: Sequence[float], coarse_shape: Sequence[int], offset: CoarseOffset
) -> Box:
    """The box of a coarser level that covers a box."""
    spans = []
    for (start, stop), ratio, size in zip(box, ratios, coarse_shape, strict=True):
        ends = _coarse_voxels(np.array([start, stop - 1]), ratio, size, offset)
        first, last = ends.tolist()
        spans.append((first, last + 1))
    return tuple(spans)
