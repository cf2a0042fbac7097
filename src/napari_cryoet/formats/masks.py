"""Masks in files: OME-Zarr as the portal writes it (0.4), OME-Zarr 0.5, and MRC; lazily, whole or not at all.

A mask is read twice, some planes at a time: for its largest value, so that an id that doesn't fit is refused before
anything is written, and to be written.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import SaveError, raise_if_stopped
from napari_cryoet.files import path_to_write, refuse_existing, written_whole
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.notes import ATTRIBUTE, of_export, path_beside, written_with_notes
from napari_cryoet.formats.ome_zarr import VoxelSource, slabs, write_pyramid

MaskFormat = Literal["ome-zarr-0.4", "ome-zarr-0.5", "mrc"]
Progress = Callable[[int, int | None], None]

FORMATS: Final[tuple[MaskFormat, ...]] = get_args(MaskFormat)
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
_PLANES: Final = 64  # looked through at a time


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """What was written: where, as what, and in which type of numbers."""

    path: Path
    format: MaskFormat
    dtype: str
    is_instances: bool  # or just 0 and 1
    provenance_path: Path | None  # the file beside it that says where it comes from, unless the file itself does


def write_mask(
    mask_zyx: VoxelSource,
    path: str | Path,
    *,
    spacing_angstrom: float,
    format: MaskFormat | None = None,  # noqa: A002
    about: Mapping[str, Any] | None = None,
    alignment_id: int | None = None,
    edits: Iterable[str] = (),
    who: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> WrittenMask:
    """Write a mask or instances, with where they come from.

    Parameters
    ----------
    mask_zyx
        Whole numbers from 0, or truth values. Only some planes, and an eighth of it all, are ever in memory.
    path
        Ending in ``.zarr`` or ``.mrc``.
    spacing_angstrom
        The voxel size.
    format
        By default MRC for ``.mrc``, and for ``.zarr`` OME-Zarr 0.4, or 0.5 if ids don't fit 16 bits.
    about, alignment_id, edits, who
        For the record: its provenance, its alignment, what was done to it, and who exports it.
    overwrite
        Whether to replace what is there.
    progress
        Called with how many bytes are done, of how many.
    stop
        Set it to give up; then nothing is written.

    Raises
    ------
    ExistsError
        If there is something at ``path``, and ``overwrite`` isn't set.
    SaveError
        If a value doesn't fit the format, or the disk refuses.
    StoppedError
        When ``stop`` is set.
    """
    path = path_to_write(path)
    name = _format_to_write(path, format)
    refuse_existing(path, overwrite=overwrite)
    if not 0 < spacing_angstrom < math.inf:
        raise SaveError(f"A voxel can't be {spacing_angstrom} Å wide.")
    source = _Source(mask_zyx, progress)
    largest = source.largest(stop)
    if format is None and name == "ome-zarr-0.4" and largest > np.iinfo(np.uint16).max:
        name = "ome-zarr-0.5"
    source.dtype = _dtype_for(largest, name)
    notes = of_export(
        "mask",
        about or {},
        spacing_angstrom=float(spacing_angstrom),
        shape_zyx=source.shape,
        alignment_id=alignment_id,
        edits=edits,
        who=who,
    )
    if name == "mrc":
        with written_with_notes(path, notes, overwrite=overwrite) as unfinished:
            write_mrc(unfinished, source, spacing_angstrom, stop)
            raise_if_stopped(stop)
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
                stop=stop,
            )
            raise_if_stopped(stop)
    return WrittenMask(path, name, source.dtype.name, largest > 1, path_beside(path) if name == "mrc" else None)


class _Source:
    """A mask that is read some planes at a time, the second time as the type that it is written in."""

    def __init__(self, voxels: VoxelSource, progress: Progress | None) -> None:
        self.dtype = np.dtype(voxels.dtype)
        if len(voxels.shape) != 3 or 0 in voxels.shape:
            raise SaveError(f"A mask has three axes, none of them empty; this one has the shape {tuple(voxels.shape)}.")
        if self.dtype.kind not in "biu":
            raise SaveError(
                f"A mask holds whole numbers, and this one holds {voxels.dtype}.",
                hint="Decide first which values belong to the mask, with a threshold.",
            )
        size_z, size_y, size_x = voxels.shape
        self.shape = (int(size_z), int(size_y), int(size_x))
        self._voxels, self._progress = voxels, progress
        self._bytes_done, self._bytes = 0, 2 * math.prod(self.shape) * self.dtype.itemsize

    def largest(self, stop: threading.Event | None) -> int:
        """The largest value; the smallest must be 0 or more."""
        largest = 0
        for _, slab in slabs(self, _PLANES, stop):
            if slab.dtype.kind == "i" and int(slab.min()) < 0:
                raise SaveError(f"A mask has no values below 0, and this one has {int(slab.min())}.")
            largest = max(largest, int(slab.max()))
        return largest

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> NDArray[Any]:
        block = np.asarray(self._voxels[region])
        self._bytes_done += block.nbytes
        if self._progress is not None:
            self._progress(self._bytes_done, self._bytes)
        typed = block.astype(self.dtype)
        if not np.array_equal(typed, block):
            raise SaveError(f"The mask changed while it was written: a value doesn't fit {self.dtype}.")
        return typed


def _format_to_write(path: Path, wanted: MaskFormat | None) -> MaskFormat:
    if wanted is not None and wanted not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {wanted!r}")
    of_suffix = _OF_SUFFIX.get(path.suffix.lower())
    name = wanted or of_suffix
    if name is None:
        raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .zarr or .mrc.")
    if of_suffix is not None and (of_suffix == "mrc") != (name == "mrc"):
        raise SaveError(f"{path.name} has the name of another format than {TITLES[name]}.", hint="Choose another name.")
    return name


def _dtype_for(largest: int, name: MaskFormat) -> np.dtype[Any]:
    """The smallest type of the format that holds all values; int8 for a plain mask, as the portal has it."""
    for dtype in map(np.dtype, ("int8",) if largest <= 1 else _TYPES[name]):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise SaveError(
        f"Its largest id, {largest:,}, doesn't fit the 16 bits that {TITLES[name]} has for one.",
        hint=f"Choose {TITLES['ome-zarr-0.5']}, or number the instances anew.",
    )
