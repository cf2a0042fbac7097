"""A level of a pyramid: it knows its shape at once, and everything else makes it a dask array.

A picture needs no dask array, and importing ``dask.array`` takes a quarter of a second.
"""

from __future__ import annotations

import math
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.lib.mixins import NDArrayOperatorsMixin

if TYPE_CHECKING:
    from napari_cryoet.streaming.arrays import Levels


class Level(NDArrayOperatorsMixin):
    """One level of a pyramid, with the shape that is stored.

    Whoever imported ``dask.array`` can't tell it from a dask array of exact values. A dask chunk is
    a block.
    """

    def __init__(self, pyramid: Levels, number: int) -> None:
        self._pyramid, self._number = pyramid, number
        self.shape = pyramid.shapes[number]
        self.dtype = pyramid.dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize

    @property
    def name(self) -> str:
        """The name of the dask array, by which `pyramid_of` finds the pyramid; writing changes it."""
        if "_array" in vars(self):
            return str(self._array.name)
        return f"{self._pyramid.name}-{self._number}"

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The lengths of the blocks along each axis."""
        return self._pyramid.grid(self._number).block_lengths

    @cached_property
    def _array(self) -> Any:
        from napari_cryoet.streaming.arrays import exact_array

        return exact_array(self._pyramid, self._number, self.name)

    @property  # type: ignore[misc] # Python allows a read-only property here
    def __class__(self) -> type:
        if not _has_dask_arrays():  # so nobody compares with them
            return Level
        from napari_cryoet.streaming.arrays import ExactArray

        return ExactArray

    def __getattr__(self, name: str) -> Any:
        # napari asks whether its data are dask's before anybody computes with them
        if name.startswith("__") and not _has_dask_arrays():
            raise AttributeError(name)
        return getattr(self._array, name)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __setitem__(self, index: Any, values: Any) -> None:
        self._array[index] = values

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *options: Any, **more: Any) -> Any:
        return self._array.__array__(*options, **more)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [each._array if type(each) is Level else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __array_function__(self, function: Any, _types: Any, inputs: Any, options: Any) -> Any:
        array = self._array
        return array.__array_function__(function, [type(array)], inputs, options)

    def __reduce__(self) -> Any:
        return self._array.__reduce__()

    def __repr__(self) -> str:
        return f"<Level {self._number} of {self._pyramid!r}>"


def _has_dask_arrays() -> bool:
    """Whether anybody has imported ``dask.array`` in this process."""
    return hasattr(sys.modules.get("dask"), "array")
