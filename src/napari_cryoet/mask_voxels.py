"""The voxels of a mask, looked at a slab of planes at a time: their values checked, and what was read counted."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import SaveError
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.own_levels import unpadded_shape

Progress = Callable[[int, int | None], None]

_SLAB_PLANES: Final = 128


class Voxels(Protocol):
    """Anything in z, y, x that gives boxes of voxels: a numpy, dask or zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any:
        """The voxels of a box, or what computes them."""


class CheckedVoxels:
    """A mask that is read a slab at a time, checks its values, and counts what was read."""

    def __init__(self, source: Voxels, progress: Progress | None, stop: threading.Event | None) -> None:
        if len(source.shape) != 3 or 0 in source.shape:
            raise SaveError(f"A mask has three axes, none of them empty; this one has the shape {tuple(source.shape)}.")
        if np.dtype(source.dtype).kind not in "biu":
            raise SaveError(
                f"A mask holds whole numbers, and this one holds {source.dtype}.",
                hint="Decide first which values belong to the mask, with a threshold.",
            )
        size_z, size_y, size_x = (int(size) for size in unpadded_shape(source))
        self.shape = (size_z, size_y, size_x)
        source = source[:size_z, :size_y, :size_x] if self.shape != tuple(source.shape) else source
        self.dtype = np.dtype(source.dtype)
        self.stop = stop
        self._source, self._progress = source, progress
        self._total_bytes = 2 * math.prod(self.shape) * self.dtype.itemsize
        self._done_bytes = 0

    def largest(self) -> int:
        """The largest value; the smallest must be 0 or more."""
        largest = 0
        for planes in self.slabs():
            block = self._read((planes, slice(None), slice(None)))
            if self.dtype.kind == "i" and int(block.min()) < 0:
                raise SaveError(f"A mask has no values below 0, and this one has {int(block.min())}.")
            largest = max(largest, int(block.max()))
        return largest

    def slabs(self) -> Iterator[slice]:
        """The planes that are read at a time."""
        for start in range(0, self.shape[0], _SLAB_PLANES):
            yield slice(start, min(start + _SLAB_PLANES, self.shape[0]))

    def as_type(self, dtype: np.dtype[Any]) -> CheckedVoxels:
        """The same voxels as numbers of another type, in which all of them fit."""
        self.dtype = dtype
        return self

    def __getitem__(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        block = self._read(region)
        typed = block.astype(self.dtype)
        if not np.array_equal(typed, block):  # a source that changed since its values were looked at
            raise SaveError(f"The mask changed while it was written: a value doesn't fit {self.dtype}.")
        return typed

    def _read(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        raise_if_stopped(self.stop)
        block = np.asarray(self._source[region])
        self._done_bytes += block.size * self._total_bytes // (2 * math.prod(self.shape))
        if self._progress is not None:
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)
        return block
