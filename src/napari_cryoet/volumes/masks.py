"""Masks: labelled volumes, read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A segmentation, read lazily: 0 is background, other integers are objects.

    Attributes
    ----------
    data
        An array in z, y, x whose planes are ``data[start:stop]``: NumPy, dask or zarr.
    spacing_angstrom
        The voxel size; None if unknown.
    alignment_id
        The portal's alignment that it belongs to, if known.
    about
        Provenance, as plain data.
    """

    data: Any
    spacing_angstrom: float | None = None
    alignment_id: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.data.shape) != 3:
            raise ValueError(f"a mask must have three dimensions, not {len(self.data.shape)}")
        if self.spacing_angstrom is not None and not 0 < self.spacing_angstrom < np.inf:
            raise ValueError(f"a voxel can't be {self.spacing_angstrom} Å wide")

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Size in voxels."""
        size_z, size_y, size_x = map(int, self.data.shape)
        return size_z, size_y, size_x

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read planes ``start`` to ``stop`` (exclusive) as integers from 0 to 2³¹ - 1."""
        values = np.asarray(self.data[start:stop])
        if values.dtype in (np.uint8, np.uint16):
            return values
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.int32) if values.dtype.kind in "biuf" else None
        if labels is None or (labels != values).any() or labels.min(initial=0) < 0:
            raise FormatError(
                "This isn't a mask: its values must be whole numbers from 0 to 2,147,483,647.",
                hint="Number its objects 1, 2, 3, …",
            )
        return labels
