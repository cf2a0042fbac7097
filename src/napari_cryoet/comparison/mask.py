"""A mask as comparisons read it: slab by slab, so that no volume has to fit into the memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.expecting import expect_number, expect_volume
from napari_cryoet.stopping import raise_if_stopped

#: A slab of int8 has as many bytes, and what is computed of it some times more.
_VOXELS_AT_ONCE: Final = 2**23
#: Portal masks are stored two planes a block.
_PLANES_A_BLOCK: Final = 2
#: Whole numbers of 64 bits go so far, and those among floating-point numbers that are all told apart.
MAX_LABEL: Final = 2**63 - 1
_MAX_FLOAT_LABEL: Final = 2**53


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A segmentation: 0 is background, any other whole number an object; nothing is read before it is asked for.

    Attributes
    ----------
    data
        Whatever gives its planes by ``data[start:stop]``, such as a dask, zarr or numpy array in z, y, x.
    spacing_angstrom
        The width of a voxel; None where nobody said it.
    shape_zyx
        In voxels; that of the data, without what was added to a layer's levels to make them fit each other.
    alignment_id
        Of the portal's alignment that it belongs to, where it is known.
    about
        Where it comes from: plain data, as `provenance` makes it.
    """

    data: Any
    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] = (0, 0, 0)
    alignment_id: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from napari_cryoet.streaming.own_levels import unpadded_shape

        expect_volume(self.data, "data")
        shape = unpadded_shape(self.data)
        if len(shape) != 3:
            raise ValueError(f"a mask has three dimensions, and this has {len(shape)}")
        spacing = self.spacing_angstrom
        if spacing is not None:
            expect_number(spacing, "spacing_angstrom")
        if spacing is not None and not 0 < spacing < np.inf:
            raise ValueError(f"a voxel can't be {spacing} Å wide")
        object.__setattr__(self, "shape_zyx", self.shape_zyx if any(self.shape_zyx) else shape)
        object.__setattr__(self, "about", MappingProxyType(dict(self.about)))

    def planes_at_once(self, multiple: int = 1) -> int:
        """How many planes a slab has, so that it stays small; a multiple of a number."""
        step = _PLANES_A_BLOCK * multiple
        return max(1, _VOXELS_AT_ONCE // (self.shape_zyx[1] * self.shape_zyx[2] * step or 1)) * step

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Planes from ``start`` to before ``stop`` as whole numbers, without padding.

        Raises
        ------
        FormatError
            If they hold other numbers than whole ones from 0 to 2⁶³ - 1.
        """
        _, size_y, size_x = self.shape_zyx
        return _labels(np.asarray(self.data[start:stop])[:, :size_y, :size_x])

    def slabs(
        self,
        planes: int,
        *,
        progress: Callable[[float], None] = lambda _share: None,
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """All of it, in slabs of so many planes: where each starts, and its labels.

        Raises
        ------
        StoppedError
            When ``stop`` is set.
        """
        size_z = self.shape_zyx[0]
        for start in range(0, size_z, planes):
            raise_if_stopped(stop)
            progress(start / size_z)
            yield start, self.read(start, min(start + planes, size_z))


def _labels(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        raise FormatError(f"This mask holds {values.dtype} values, so it isn't a mask.")
    if values.size and values.dtype not in (np.uint8, np.uint16):
        smallest, largest = values.min().item(), values.max().item()  # float16 has no number as large as the limit
        if not smallest >= 0 or (values.dtype.kind == "f" and not largest <= _MAX_FLOAT_LABEL):  # NaN compares false
            raise FormatError("This mask holds negative or very large numbers, so it isn't a mask.")
        if values.dtype.kind == "f" and not (values == np.rint(values)).all():
            raise FormatError("This mask holds other values than whole numbers.")
        if largest > MAX_LABEL:
            raise FormatError(
                f"This mask holds the label {largest:,}; labels that can be compared go to {MAX_LABEL:,}.",
                hint="Number its objects anew.",
            )
    # beside signed numbers, numpy makes floating-point ones of unsigned ones of 64 bits, which lose digits
    return values if values.dtype.kind in "iu" and values.dtype != np.uint64 else values.astype(np.int64)
