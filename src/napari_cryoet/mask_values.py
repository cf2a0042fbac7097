"""Masks that are kept as other numbers than whole ones, brought into memory as labels."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_cryoet.exceptions import FormatError
from napari_cryoet.stopping import raise_if_stopped

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from napari_cryoet.volumes import Volume

#: A tomogram of the portal has half of this; more would not fit into the memory of a usual computer.
MAX_VOXELS: Final = 2**30
_PLANES_AT_ONCE: Final = 16


def labels_in_memory(volume: Volume, *, stop: threading.Event | None = None) -> da.Array:
    """Read the finest level of a mask of float numbers or truth values, as uint16.

    Some masks of the portal have only a float32 MRC file. Converting lazily would read it again for every plane.

    Raises
    ------
    FormatError
        If its values aren't whole numbers from 0 to 65535, or there are too many.
    StoppedError
        When ``stop`` is set.
    """
    from dask.array import from_array

    size_z, size_y, size_x = volume.shape_zyx
    if size_z * size_y * size_x > MAX_VOXELS:
        raise FormatError("This mask is kept as float numbers and too large for the memory; its OME-Zarr can be shown.")
    labels = np.empty(volume.shape_zyx, np.uint16)
    for start in range(0, size_z, _PLANES_AT_ONCE):
        raise_if_stopped(stop)
        planes = slice(start, min(start + _PLANES_AT_ONCE, size_z))
        labels[planes] = _whole_numbers(volume.read_planes(planes, stop=stop))
    array: da.Array = from_array(labels, chunks=(_PLANES_AT_ONCE, size_y, size_x))  # type: ignore[no-untyped-call]
    return array


def _whole_numbers(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.dtype.kind != "b":
        is_label = (values >= 0) & (values <= np.iinfo(np.uint16).max) & (values == np.rint(values))
        if not is_label.all():
            raise FormatError("This mask holds other values than whole numbers from 0 to 65535.")
    return values.astype(np.uint16)
