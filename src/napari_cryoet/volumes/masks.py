"""Masks: labelled volumes, read slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, require_positive
from napari_cryoet.provenance import Provenance
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes.volume import Volume

#: The number of voxels that are read at a time.
SLAB_VOXELS: Final = 2**23


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mask:
    """A segmentation, read lazily: 0 is background, other integers are objects.

    Attributes
    ----------
    data
        An array in z, y, x: NumPy, dask or zarr.
    spacing_angstrom
        The voxel size; None if unknown.
    alignment_id
        The portal's alignment that it belongs to, if known.
    about
        Provenance, or its plain data.
    """

    data: Any
    spacing_angstrom: float | None = None
    alignment_id: int | None = None
    about: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", Provenance.of(self.about))
        if len(self.data.shape) != 3:
            raise ValueError(f"a mask must have three dimensions, not {len(self.data.shape)}")
        if self.spacing_angstrom is not None:
            require_positive("spacing_angstrom", self.spacing_angstrom)

    def __repr__(self) -> str:
        return f"<Mask of {self.volume!r}>"

    @property
    def volume(self) -> Volume:
        """The mask as a volume of one level."""
        width = self.spacing_angstrom
        return Volume([self.data], None if width is None else (width, width, width))

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Size in voxels."""
        return self.volume.shape_zyx

    def read(self, start: int, end: int, *, task: Task = UNWATCHED) -> NDArray[Any]:
        """Read planes ``start`` to ``end`` (exclusive) as integers from 0 to 2³¹ - 1."""
        values = self.volume.read_planes(slice(start, end), task=task)
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

    def slabs(self, task: Task = UNWATCHED) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read all planes in slabs of bounded size, each with the number of its first plane."""
        for start, end in slabs(self.shape_zyx, task):
            yield start, self.read(start, end, task=task)


def slabs(shape_zyx: tuple[int, int, int], task: Task) -> Iterator[tuple[int, int]]:
    """Divide a volume into ranges of planes; ``task`` gets the fraction done."""
    size_z, size_y, size_x = shape_zyx
    planes = max(1, SLAB_VOXELS // max(1, size_y * size_x))
    for start in range(0, size_z, planes):
        task.step(start / size_z)
        yield start, min(start + planes, size_z)
