"""What was painted over a level: values that are put over whatever is read of it, tile by tile.

It never changes: who paints gets another one, which shares all tiles but those that were painted on. So whoever read
before goes on to see what was there then, and no thread waits for another one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_cryoet.streaming.geometry import Box, box_shape, box_slices, intersect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.geometry import BlockIndex

Mask = npt.NDArray[np.bool_]
_ALL: Mask = np.array(True)

_ALONG_A_PLANE, _ALONG_OTHERS = 64, 8  # one paints in planes, most of all across the first axis


@dataclass(frozen=True, slots=True)
class _Tile:
    """Values, and which of them were painted; it never changes, so it may be in several places."""

    values: Block
    is_painted: Mask

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> _Tile:
        return cls(np.zeros(shape, dtype), np.zeros(shape, bool))

    def __reduce__(self) -> tuple[Any, ...]:
        """Packed, since each of dask's tasks in other processes takes all tiles along, and most hold a few dabs."""
        packed = (zlib.compress(array.tobytes(), 1) for array in (self.values, self.is_painted))
        return _unpacked, (self.values.shape, self.values.dtype, *packed)

    def with_values(self, box: Box, values: Block, where: Mask) -> _Tile:
        """The same, but for the wanted voxels of a box, which is counted from its own first voxel."""
        tile = _Tile(self.values.copy(), self.is_painted.copy())
        here = tuple(slice(*span) for span in box)
        np.copyto(tile.values[here], values, where=where)
        tile.is_painted[here] |= where
        return tile


def _unpacked(shape: tuple[int, ...], dtype: np.dtype[np.generic], values: bytes, is_painted: bytes) -> _Tile:
    arrays = (np.frombuffer(zlib.decompress(packed), kind) for packed, kind in ((values, dtype), (is_painted, bool)))
    return _Tile(*(array.reshape(shape) for array in arrays))


@dataclass(frozen=True, slots=True)
class Paint:
    """Values of some voxels of an array; may be used from any thread."""

    _tiles: Mapping[BlockIndex, _Tile] = field(default_factory=dict)

    def with_values(self, box: Box, values: Block, where: Mask | None = None) -> Paint:
        """What is painted once a box, too, has these values, or has them in some places only.

        Parameters
        ----------
        box
            The voxels.
        values
            Of its shape, and of the array's type.
        where
            Which of them count, of the same shape; by default all.
        """
        tiles, shape = dict(self._tiles), _tile_shape(len(box))
        is_one = where is None and _is_one(values)
        alike: dict[Box, _Tile] = {}  # where one value stands for all, much of a volume takes a few tiles
        for index in _indices(box):
            place = _place(index)
            common = intersect(box, place)
            if common is None:
                continue
            within = box_slices(common, box)
            chosen = _ALL if where is None else where[within]
            if not chosen.any():
                continue
            before = None if where is None and common == place else tiles.get(index)
            here = tuple(
                (start - origin, stop - origin) for (start, stop), (origin, _) in zip(common, place, strict=True)
            )
            tile = alike.get(here) if before is None else None
            if tile is None:
                tile = (before or _Tile.empty(shape, values.dtype)).with_values(here, values[within], chosen)
                if is_one and before is None:
                    alike[here] = tile
            tiles[index] = tile
        return Paint(tiles)

    def is_in(self, box: Box) -> bool:
        """Whether a box has voxels of a tile that was painted on."""
        return any(True for _ in self._within(box))

    def all_of(self, box: Box, dtype: np.dtype[np.generic]) -> Block | None:
        """The values of a box; None where some of it wasn't painted."""
        if not all(index in self._tiles for index in _indices(box)):
            return None
        values, is_painted = np.empty(box_shape(box), dtype), np.zeros(box_shape(box), bool)
        for index in _indices(box):
            tile, place = self._tiles[index], _place(index)
            if (common := intersect(box, place)) is not None:
                values[box_slices(common, box)] = tile.values[box_slices(common, place)]
                is_painted[box_slices(common, box)] = tile.is_painted[box_slices(common, place)]
        return values if is_painted.all() else None

    def put_over(self, box: Box, values: Block) -> None:
        """Overwrite what was painted in the values of a box."""
        for index in self._within(box):
            tile, place = self._tiles[index], _place(index)
            if (common := intersect(box, place)) is not None:
                here = box_slices(common, place)
                np.copyto(values[box_slices(common, box)], tile.values[here], where=tile.is_painted[here])

    def _within(self, box: Box) -> Iterator[BlockIndex]:
        """The tiles that a box may have voxels of, found by whichever are fewer."""
        spans = _spans(box)
        if np.prod([len(span) for span in spans], dtype=float) < len(self._tiles):
            return (index for index in product(*spans) if index in self._tiles)
        return (index for index in self._tiles if all(at in span for at, span in zip(index, spans, strict=True)))


def paint_on(data: Any) -> Paint | None:
    """What was painted over data, where these are a level that knows it: see `exact_array`."""
    paint = getattr(data, "paint", None)
    return paint if isinstance(paint, Paint) else None


def _is_one(values: Block) -> bool:
    """Whether all values are the very same one, put in many places."""
    return not any(step for step, size in zip(values.strides, values.shape, strict=True) if size > 1)


def _tile_shape(ndim: int) -> tuple[int, ...]:
    return (_ALONG_OTHERS,) * (ndim - 2) + (_ALONG_A_PLANE,) * min(ndim, 2)


def _place(index: BlockIndex) -> Box:
    """The voxels of a tile."""
    return tuple((at * size, (at + 1) * size) for at, size in zip(index, _tile_shape(len(index)), strict=True))


def _spans(box: Box) -> list[range]:
    """On each axis, which tiles have voxels in a box."""
    sizes = _tile_shape(len(box))
    return [
        range(start // size, -(-stop // size)) if start < stop else range(0)
        for (start, stop), size in zip(box, sizes, strict=True)
    ]


def _indices(box: Box) -> Iterator[BlockIndex]:
    return product(*_spans(box))
