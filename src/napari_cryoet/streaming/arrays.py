"""The levels of a pyramid as dask arrays that compute exact values, in any thread and in other processes.

dask reads block by block and then copies all blocks into one array, on one core and with twice the
memory. So an unmodified box of a level is read straight into one array. Everything derived from it
is an ordinary dask array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import dask
import dask.array as da
import numpy as np
from dask.callbacks import Callback

from napari_cryoet.streaming.grid import Box, Grid, cut_part, whole_box

if TYPE_CHECKING:
    from napari_cryoet.streaming.chunks import Block

_CONSECUTIVE_BLOCKS = 3  # fewer consecutive blocks may be a coincidence
_BLOCKS_AHEAD = 8


class Levels(Protocol):
    """What the arrays need of a pyramid; see `Pyramid`."""

    name: str
    server: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype[Any]

    def grid(self, level: int) -> Grid:
        """The grid of blocks of a level."""

    def has(self, level: int, box: Box) -> bool:
        """Whether all of a box is in memory."""

    def read(self, level: int, box: Box) -> Block:
        """Exact values of a box."""

    def fetch(self, level: int, box: Box) -> None:
        """Fetch a box into memory."""


class ExactLevel:
    """One level of a pyramid as dask reads it, one block per task.

    dask runs as many tasks as there are cores, far fewer than the requests that a connection can
    carry. So if blocks of a chunk are read in sequence, the next ones are prefetched together.
    """

    def __init__(self, pyramid: Levels, level: int) -> None:
        self._pyramid, self._level = pyramid, level
        self.shape, self.dtype, self.ndim = (
            pyramid.shapes[level],
            pyramid.dtype,
            len(pyramid.shapes[level]),
        )
        self._grid = grid = pyramid.grid(level)
        self.chunks = grid.block_lengths
        sizes = zip(grid.block_shape, grid.chunk_shape, self.shape, strict=True)
        cut = (axis for axis, (block, chunk, size) in enumerate(sizes) if block < min(chunk, size))
        self._axis = (
            next(cut, None) if pyramid.server else None
        )  # the axis along which chunks are cut into blocks
        self._rows: dict[
            tuple[int, ...], tuple[int, int]
        ] = {}  # chunk: last block, and how many in sequence

    def __reduce__(self) -> tuple[Any, ...]:
        return ExactLevel, (self._pyramid, self._level)

    def __getitem__(self, index: tuple[int | slice, ...]) -> Block:
        """Read the part selected by integers and slices."""
        ranges = [
            range(*each.indices(size)) if isinstance(each, slice) else range(each, each + 1)
            for each, size in zip(index, self.shape, strict=True)
        ]
        box = tuple((min(r[0], r[-1]), max(r[0], r[-1]) + 1) if r else (0, 0) for r in ranges)
        self._fetch_ahead(box)
        values = self._pyramid.read(self._level, box)
        return values[
            tuple(slice(None, None, each.step) if isinstance(each, slice) else 0 for each in index)
        ]

    def _fetch_ahead(self, box: Box) -> None:
        if self._axis is None or self._grid.count(box) != 1 or self._pyramid.has(self._level, box):
            return
        block = next(self._grid.covering(box))
        chunk, position = self._grid.chunk(block), block[self._axis]
        last, consecutive = self._rows.get(chunk, (-2, 0))
        consecutive = consecutive + 1 if position > last >= position - _BLOCKS_AHEAD else 1
        self._rows[chunk] = position, consecutive
        if consecutive < _CONSECUTIVE_BLOCKS:
            return
        start, end = (
            box[self._axis][0],
            (chunk[self._axis] + 1) * self._grid.chunk_shape[self._axis],
        )
        stop = min(
            start + _BLOCKS_AHEAD * self._grid.block_shape[self._axis], end, self.shape[self._axis]
        )
        self._pyramid.fetch(
            self._level, (*box[: self._axis], (start, stop), *box[self._axis + 1 :])
        )


def exact_array(pyramid: Levels, level: int, name: str) -> ExactArray:
    """A level as a dask array with the given name."""
    exact = ExactLevel(pyramid, level)
    meta = np.empty((0,) * exact.ndim, exact.dtype)
    array = da.from_array(exact, exact.chunks, name, asarray=False, inline_array=True, meta=meta)  # type: ignore[no-untyped-call]
    return ExactArray.of(array, pyramid, level, whole_box(exact.shape), tuple(range(exact.ndim)))


class ExactArray(da.Array):
    """A level of a pyramid, or a box of it.

    The box is one voxel wide along axes that aren't ``kept``.
    """

    pyramid: Levels
    level: int
    box: Box
    kept: tuple[int, ...]
    _original_name: str

    @classmethod
    def of(
        cls, array: da.Array, pyramid: Levels, level: int, box: Box, kept: tuple[int, ...]
    ) -> Self:
        """Wrap a dask array whose values are a box of a level."""
        exact: Self = cls(array.dask, array.name, array.chunks, meta=array._meta)
        exact.pyramid, exact.level, exact.box, exact.kept = pyramid, level, box, kept
        exact._original_name = array.name
        return exact

    @property
    def _is_unmodified(self) -> bool:
        """Whether the array is unmodified; writing into it changes its dask name."""
        return bool(self.name == self._original_name)

    def __getitem__(self, index: Any) -> da.Array:
        """A part of the array."""
        plain = da.Array(self.dask, self.name, self.chunks, meta=self._meta)  # type: ignore[no-untyped-call]
        array: da.Array = plain[index]
        part = cut_part(self.box, self.kept, index) if self._is_unmodified else None
        return array if part is None else ExactArray.of(array, self.pyramid, self.level, *part)

    def compute(self, **options: Any) -> Any:
        """Compute the values, read at once unless a dask scheduler or callback is set."""
        uses_dask = (
            "scheduler" in options
            or dask.config.get("scheduler", None) is not None
            or Callback.active
        )
        if uses_dask or not self._is_unmodified:
            return super().compute(**options)  # type: ignore[no-untyped-call]
        values = self.pyramid.read(self.level, self.box)
        return values.reshape(
            [stop - start for axis, (start, stop) in enumerate(self.box) if axis in self.kept]
        )
