"""Write masks as OME-Zarr 0.4 (like the portal), OME-Zarr 0.5 or MRC. Writing is lazy and atomic.

A mask is read twice, a few planes at a time. The first pass finds the largest value, so that ids
that don't fit are refused before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import SaveError
from napari_cryoet.files import refuse_existing, written_whole
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.notes import ATTRIBUTE, of_export, path_beside, written_with_notes
from napari_cryoet.formats.ome_zarr import VoxelSource, slabs, write_pyramid
from napari_cryoet.locations import path_to_write
from napari_cryoet.provenance import Provenance
from napari_cryoet.task import UNWATCHED, Task

MaskFormat = Literal["ome-zarr-0.4", "ome-zarr-0.5", "mrc"]

TITLES: Final[dict[MaskFormat, str]] = {
    "ome-zarr-0.4": "OME-Zarr 0.4 (as the portal)",
    "ome-zarr-0.5": "OME-Zarr 0.5",
    "mrc": "MRC",
}
_TYPES: Final[dict[MaskFormat, tuple[str, ...]]] = {
    "ome-zarr-0.4": ("uint16",),
    "ome-zarr-0.5": ("uint8", "uint16", "uint32", "uint64"),
    "mrc": ("int8", "int16", "uint16"),
}
_OF_SUFFIX: Final[dict[str, MaskFormat]] = {".zarr": "ome-zarr-0.4", ".mrc": "mrc"}
_PLANES: Final = 64  # read at a time


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """A mask file that was written: its path, format and data type."""

    path: Path
    format: MaskFormat
    dtype: str
    is_instances: bool  # False if it has only 0 and 1
    provenance_path: (
        Path | None
    )  # the provenance file beside it; None if the mask itself has the provenance


def write_mask(
    mask_zyx: VoxelSource,
    path: str | Path,
    *,
    spacing_angstrom: float,
    format: MaskFormat | None = None,  # noqa: A002
    about: Provenance | Mapping[str, Any] | None = None,
    alignment_id: int | None = None,
    edits: Iterable[str] = (),
    who: str = "",
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> WrittenMask:
    """Write a mask or instances with their provenance.

    Parameters
    ----------
    mask_zyx
        Non-negative integers or booleans. Only a few planes and an eighth of the volume are in memory at once.
    path
        Ends in ``.zarr`` or ``.mrc``.
    spacing_angstrom
        The voxel size.
    format
        By default MRC for ``.mrc``. For ``.zarr``, OME-Zarr 0.4, or 0.5 if ids don't fit 16 bits.
    about, alignment_id, edits, who
        Recorded with the mask: its provenance, its alignment, its edits, and the person who exports it.
    overwrite
        Whether to replace an existing file or folder.
    task
        Its progress, and Stop; nothing is written then.

    Raises
    ------
    ExistsError
        If ``path`` exists and ``overwrite`` isn't set.
    SaveError
        If a value doesn't fit the format, or writing fails.
    StoppedError
        If ``task`` is stopped.
    """
    path = path_to_write(path)
    name = _format_to_write(path, format)
    refuse_existing(path, overwrite=overwrite)
    if not 0 < spacing_angstrom < math.inf:
        raise SaveError(f"A voxel can't be {spacing_angstrom} Å wide.")
    source = _Source(mask_zyx, task)
    largest = source.largest()
    if format is None and name == "ome-zarr-0.4" and largest > np.iinfo(np.uint16).max:
        name = "ome-zarr-0.5"
    source.dtype = _dtype_for(largest, name)
    notes = of_export(
        "mask",
        Provenance.of(about),
        spacing_angstrom=float(spacing_angstrom),
        shape_zyx=source.shape,
        alignment_id=alignment_id,
        edits=edits,
        who=who,
    )
    if name == "mrc":
        with written_with_notes(path, notes, overwrite=overwrite) as unfinished:
            write_mrc(unfinished, source, spacing_angstrom, task)
            task.check()
    else:
        with written_whole(path, overwrite=overwrite) as unfinished:
            write_pyramid(
                unfinished,
                source,
                float(spacing_angstrom),
                "instances" if largest > 1 else "mask",
                version="0.4" if name == "ome-zarr-0.4" else "0.5",
                is_labels=True,
                attributes={ATTRIBUTE: notes},
                task=task,
            )
            task.check()
    return WrittenMask(
        path, name, source.dtype.name, largest > 1, path_beside(path) if name == "mrc" else None
    )


class _Source:
    """A mask that is read a few planes at a time.

    Set ``dtype`` to the type to write before the second pass.
    """

    def __init__(self, voxels: VoxelSource, task: Task) -> None:
        self.dtype = np.dtype(voxels.dtype)
        if len(voxels.shape) != 3 or 0 in voxels.shape:
            raise SaveError(
                f"A mask needs three axes that aren't empty; this one has the shape {tuple(voxels.shape)}."
            )
        if self.dtype.kind not in "biu":
            raise SaveError(
                f"A mask needs whole numbers; this one has {voxels.dtype} values.",
                hint="Apply a threshold first.",
            )
        size_z, size_y, size_x = voxels.shape
        self.shape = (int(size_z), int(size_y), int(size_x))
        self._voxels = voxels
        self._task = task
        self._bytes_done = 0
        self._bytes = 2 * math.prod(self.shape) * self.dtype.itemsize

    def largest(self) -> int:
        """The largest value. Negative values raise `SaveError`."""
        largest = 0
        for _, slab in slabs(self, _PLANES, self._task):
            if slab.dtype.kind == "i" and int(slab.min()) < 0:
                raise SaveError(
                    f"A mask can't have values below 0; this one has {int(slab.min())}."
                )
            largest = max(largest, int(slab.max()))
        return largest

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> NDArray[Any]:
        block = np.asarray(self._voxels[region])
        self._bytes_done += block.nbytes
        self._task.step_bytes(self._bytes_done, self._bytes)
        typed = block.astype(self.dtype)
        if not np.array_equal(typed, block):
            raise SaveError(
                f"The mask changed while it was written: a value doesn't fit {self.dtype}."
            )
        return typed


def _format_to_write(path: Path, wanted: MaskFormat | None) -> MaskFormat:
    of_suffix = _OF_SUFFIX.get(path.suffix.lower())
    name = wanted or of_suffix
    if name is None:
        raise SaveError(
            f"The name {path.name} doesn't tell the format.",
            hint="Use a name that ends in .zarr or .mrc.",
        )
    if of_suffix is not None and (of_suffix == "mrc") != (name == "mrc"):
        raise SaveError(
            f"The suffix of {path.name} doesn't fit {TITLES[name]}.", hint="Choose another name."
        )
    return name


def _dtype_for(largest: int, name: MaskFormat) -> np.dtype[Any]:
    """The smallest type of the format that fits all values.

    Int8 for a plain mask, like the portal's.
    """
    for dtype in map(np.dtype, ("int8",) if largest <= 1 else _TYPES[name]):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise SaveError(
        f"The mask's largest id, {largest:,}, doesn't fit the 16 bits of {TITLES[name]}.",
        hint=f"Choose {TITLES['ome-zarr-0.5']}, or renumber the instances.",
    )
