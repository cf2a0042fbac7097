"""How the voxels of an array are cut into blocks, and how the levels of a pyramid lie over each other."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Where an array is read: a start and a stop on each axis.
Box = tuple[tuple[int, int], ...]
#: Which block of an array, counted along each axis.
BlockIndex = tuple[int, ...]

_LARGEST_PADDING_FACTOR = 8
_MOST_BLOCKS_ALONG_AN_AXIS = 2**21
_SAME_RATIO = 1e-6  # scales may be written with few digits
_NEARLY_WHOLE = 0.05


def box_shape(box: Box) -> tuple[int, ...]:
    """How many voxels a box has along each axis."""
    return tuple(stop - start for start, stop in box)


def box_slices(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """A box as slices, counted from the start of ``origin`` if that is given."""
    starts = [start for start, _ in origin] if origin else [0] * len(box)
    return tuple(slice(start - zero, stop - zero) for (start, stop), zero in zip(box, starts, strict=True))


def require_within(box: Box, shape: Sequence[int]) -> None:
    """Raise ValueError unless all of a box lies in an array of a shape."""
    is_within = len(box) == len(shape) and all(
        0 <= start <= stop <= n for (start, stop), n in zip(box, shape, strict=True)
    )
    if not is_within:
        raise ValueError(f"{box} is no box within {tuple(shape)}")


def intersect(box: Box, other: Box) -> Box | None:
    """What two boxes have in common, or None."""
    common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, other, strict=True))
    return common if all(start < stop for start, stop in common) else None


@dataclass(frozen=True, slots=True)
class Grid:
    """The blocks of an array: what is fetched, decoded and kept as one.

    Attributes
    ----------
    borders
        On each axis where blocks start, and where the last one stops.
    chunk_shape
        Shape of the chunks; a block lies in one chunk.
    run_shape
        Shape of what blocks are fetched together from, where that is more than a chunk.
    """

    borders: tuple[tuple[int, ...], ...]
    chunk_shape: tuple[int, ...]
    run_shape: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """In voxels."""
        return tuple(borders[-1] for borders in self.borders)

    def box(self, block: BlockIndex) -> Box:
        """The voxels of a block."""
        return tuple((borders[i], borders[i + 1]) for borders, i in zip(self.borders, block, strict=True))

    def chunk(self, block: BlockIndex) -> tuple[int, ...]:
        """The chunk that a block lies in."""
        return self._within(block, self.chunk_shape)

    def _within(self, block: BlockIndex, shape: tuple[int, ...]) -> tuple[int, ...]:
        starts = (borders[i] for borders, i in zip(self.borders, block, strict=True))
        return tuple(start // size for start, size in zip(starts, shape, strict=True))

    def chunks(self, box: Box) -> Iterator[tuple[int, ...]]:
        """The chunks that have voxels in a box."""
        spans = zip(box, self.chunk_shape, strict=True)
        yield from itertools.product(*(range(start // size, -(-stop // size)) for (start, stop), size in spans))

    def place(self, block: BlockIndex) -> tuple[tuple[int, ...], int]:
        """The chunk that a block lies in, and how many of its blocks come before in the order of its voxels."""
        chunk, position = self.chunk(block), 0
        for index, (first, last) in zip(block, self._spans_of(chunk), strict=True):
            position = position * (last - first) + index - first
        return chunk, position

    def at_place(self, chunk: tuple[int, ...], position: int) -> BlockIndex | None:
        """The block of a chunk before which so many come; None where it has fewer."""
        block: list[int] = []
        for first, last in reversed(list(self._spans_of(chunk))):
            position, index = divmod(position, last - first)
            block.append(first + index)
        return None if position else tuple(reversed(block))

    def _spans_of(self, chunk: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """On each axis the first block of a chunk, and the one after its last."""
        spans = zip(chunk, self.chunk_shape, self.shape, strict=True)
        return self.span(tuple((index * n, min((index + 1) * n, size)) for index, n, size in spans))

    @property
    def n_chunks(self) -> int:
        """How many chunks there are, those that have no file included."""
        return math.prod(-(-size // chunk) for size, chunk in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def largest_block(self) -> int:
        """How many voxels the first block has; none has more."""
        return math.prod(borders[1] for borders in self.borders)

    def covering(self, box: Box) -> Iterator[BlockIndex]:
        """The blocks that have voxels in a box."""
        yield from itertools.product(*(range(first, last) for first, last in self.span(box)))

    def enclosing(self, box: Box) -> Box:
        """The box that these blocks make together."""
        return tuple(
            (borders[first], borders[last]) if first < last else (0, 0)
            for borders, (first, last) in zip(self.borders, self.span(box), strict=True)
        )

    def span(self, box: Box) -> Iterator[tuple[int, int]]:
        """On each axis the first block with voxels in a box, and the one after the last."""
        for (start, stop), borders in zip(box, self.borders, strict=True):
            yield (bisect_right(borders, start) - 1, bisect_right(borders, stop - 1)) if start < stop else (0, 0)

    def count(self, box: Box) -> int:
        """How many blocks have voxels in a box."""
        return math.prod(last - first for first, last in self.span(box))

    def taken_together(self, n_blocks: int) -> tuple[tuple[int, ...], ...]:
        """Borders of so many blocks each, along the first axis on which chunks are cut; none crosses a chunk's end."""
        borders = list(self.borders)
        for axis, (along, size) in enumerate(zip(self.borders, self.chunk_shape, strict=True)):
            if along[1] < min(size, along[-1]):
                per_chunk = bisect_right(along, min(size, along[-1]) - 1)
                starts = [start for i, start in enumerate(along[:-1]) if i % per_chunk % n_blocks == 0]
                borders[axis] = (*starts, along[-1])
                break
        return tuple(borders)

    def runs(
        self, blocks: Iterable[BlockIndex], longest: int, *, in_turn: bool = False
    ) -> list[tuple[BlockIndex, ...]]:
        """Group blocks that are fetched together, by chunks as a rule, at most ``longest``; the order is kept.

        With ``in_turn`` it is not: the first groups are of different chunks and of all lengths, then the second ones,
        and so on. Where many are fetched, what must be known of each chunk then comes early, and requests that began
        at once and share a line don't all end at once, which would leave it empty until the next ones are answered.
        """
        by_place: dict[tuple[int, ...], list[BlockIndex]] = {}
        for block in blocks:
            by_place.setdefault(self._within(block, self.run_shape or self.chunk_shape), []).append(block)
        first = itertools.cycle(range(1, longest + 1)) if in_turn else itertools.repeat(longest)
        groups = [_cut(group, next(first), longest) for group in by_place.values()]
        if in_turn:
            return [part for parts in itertools.zip_longest(*groups) for part in parts if part]
        return [part for parts in groups for part in parts]


def _cut(group: list[BlockIndex], first: int, longest: int) -> list[tuple[BlockIndex, ...]]:
    """Cut a list into parts of at most ``longest``, of which the first one is at most ``first``."""
    starts = [0, *range(first, len(group), longest)]
    return [tuple(group[start:stop]) for start, stop in itertools.pairwise([*starts, len(group)])]


def make_grid(
    shape: Sequence[int],
    chunk_shape: Sequence[int],
    block_shape: Sequence[int],
    *,
    run_shape: tuple[int, ...] | None = None,
) -> Grid:
    """Cut each chunk into blocks of a shape, smaller ones at the far end of a chunk where they don't fit in evenly.

    FormatError where there would be more than anybody needs: chunks may say to be of any size.
    """
    borders = []
    for size, chunk, block in zip(shape, chunk_shape, block_shape, strict=True):
        within = range(0, min(chunk, size), block)
        if -(-size // chunk) * len(within) > _MOST_BLOCKS_ALONG_AN_AXIS:
            raise FormatError(f"An axis of {size:,} voxels, to be read {block:,} at a time, is too long.")
        starts = [start + inner for start in range(0, size, chunk) for inner in within]
        borders.append((*(start for start in starts if start < size), size))
    return Grid(tuple(borders), tuple(chunk_shape), run_shape)


def level_factors(
    shapes: Sequence[Sequence[int]], scales: Sequence[Sequence[float] | None]
) -> tuple[tuple[float, ...], ...]:
    """How many finest voxels one voxel of each level spans along each axis.

    Shapes are rounded up or down when a level is made, so that their ratio is only nearly right. The scales decide
    between the whole numbers that the shapes allow, or say another one that these allow, such as 2.5; where nothing
    fits, the ratio of the shapes is taken. So it is where the scales say just that: then the level was stretched to its
    shape, and whole numbers would shift it.
    """
    finest_shape, finest_scale = shapes[0], scales[0]
    factors = []
    for shape, scale in zip(shapes, scales, strict=True):
        ratios = (
            [a / b for a, b in zip(scale, finest_scale, strict=True)] if scale and finest_scale else [None] * len(shape)
        )
        factors.append(tuple(_factor(n0, n, ratio) for n0, n, ratio in zip(finest_shape, shape, ratios, strict=True)))
    return tuple(factors)


def _factor(finest: int, coarse: int, scale_ratio: float | None) -> float:
    if finest == 0 or coarse == 0:
        return 1.0
    by_shape = finest / coarse
    if scale_ratio is not None and math.isclose(scale_ratio, by_shape, rel_tol=_SAME_RATIO) and scale_ratio % 1:
        return by_shape
    if scale_ratio is not None and scale_ratio > 1 and abs(scale_ratio - round(scale_ratio)) > _NEARLY_WHOLE:
        size = finest / scale_ratio
        if coarse in {math.floor(size * (1 + _SAME_RATIO)), math.ceil(size * (1 - _SAME_RATIO))}:
            return scale_ratio
    candidates = {round(by_shape), math.ceil(by_shape), math.floor(by_shape)}
    if coarse > 1 or scale_ratio is None:
        candidates.add(2 ** round(math.log2(by_shape)))
    if scale_ratio is not None:
        candidates.add(round(scale_ratio))
    fitting = [f for f in candidates if f >= 1 and coarse in {-(-finest // f), finest // f}]
    if not fitting:
        return by_shape
    wanted = scale_ratio if scale_ratio is not None else 2.0 ** round(math.log2(by_shape))
    return float(min(fitting, key=lambda f: (abs(f - wanted), abs(f - by_shape))))


def padded_shapes(shapes: Sequence[Sequence[int]], factors: Sequence[Sequence[float]]) -> tuple[tuple[int, ...], ...]:
    """The smallest shapes that hold the levels and whose ratios are exactly the factors.

    An axis is left as it is where the factors aren't whole numbers, or so large that the padding would be seen.
    """
    padded = [list(shape) for shape in shapes]
    for axis in range(len(shapes[0])):
        along = [level[axis] for level in factors]
        if not all(float(factor).is_integer() for factor in along):
            continue
        unit = math.lcm(*(int(factor) for factor in along))
        if unit > _LARGEST_PADDING_FACTOR:
            continue
        needed = max(int(shape[axis] * factor) for shape, factor in zip(shapes, along, strict=True))
        finest = -(-needed // unit) * unit
        for level, factor in zip(padded, along, strict=True):
            level[axis] = finest // int(factor)
    return tuple(tuple(shape) for shape in padded)
