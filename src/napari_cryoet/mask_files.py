"""Masks into files: OME-Zarr as the portal has them (0.4), OME-Zarr 0.5, and MRC; lazily, whole or not at all.

A mask is looked through twice, a slab of planes at a time: first for its values, so that a number that doesn't fit is
refused before anything is written, then to be written. `napari_cryoet.volumes.open_volume` reads all of these.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from napari_cryoet import provenance
from napari_cryoet.exceptions import SaveError
from napari_cryoet.expecting import expect_choice, expect_number, expect_texts, expect_volume
from napari_cryoet.files import path_to_write, refuse_existing, written_whole
from napari_cryoet.mask_layouts import Grid, write_mrc, write_portal_zarr, write_zarr
from napari_cryoet.mask_voxels import CheckedVoxels, Progress, Voxels
from napari_cryoet.provenance_beside import path_beside, written_with_provenance
from napari_cryoet.stopping import raise_if_stopped

MaskFormat = Literal["ome-zarr-0.4", "ome-zarr-0.5", "mrc"]
FORMATS: Final[tuple[MaskFormat, ...]] = get_args(MaskFormat)
TITLES: Final[dict[MaskFormat, str]] = {
    "ome-zarr-0.4": "OME-Zarr 0.4 (as the portal)",
    "ome-zarr-0.5": "OME-Zarr 0.5",
    "mrc": "MRC",
}

_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "ome-zarr-0.5": ("uint8", "uint16", "uint32", "uint64"),
    "mrc": ("int8", "int16", "uint16"),
}


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """What was written.

    Attributes
    ----------
    path, format
        Where, and as what.
    dtype
        In which type of numbers.
    is_instances
        Whether its values are ids of instances, or just 0 and 1.
    provenance_path
        The file beside it that says where it comes from; None where the file itself does.
    """

    path: Path
    format: MaskFormat
    dtype: str
    is_instances: bool
    provenance_path: Path | None


def write_mask(
    mask_zyx: Voxels,
    path: str | Path,
    *,
    spacing_angstrom: float,
    format: MaskFormat | None = None,  # noqa: A002 - what everybody calls it
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
        Whole numbers from 0, or truth values. Only a slab of planes, and an eighth of it all, is ever in memory. Of a
        level of a layer of ours, what was added to make levels fit each other isn't written.
    path
        Ending in ``.zarr`` or ``.mrc``.
    spacing_angstrom
        The width of a voxel.
    format
        By default MRC for ``.mrc``, OME-Zarr 0.4 for ``.zarr``, or 0.5 if there are ids that only that can hold.
    about, alignment_id, edits, who
        For the record: where it comes from, on which alignment it lies, what was done to it, and who exports it. Where
        the file that it comes from has an origin, and voxels of the same width, the mask gets that origin too.
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
        If a value doesn't fit the format, in words that say which and what does; or if the disk doesn't take it.
    StoppedError
        When ``stop`` is set.
    ValueError
        If there is no such ``format``.
    """
    expect_volume(mask_zyx, "mask_zyx")
    expect_number(spacing_angstrom, "spacing_angstrom")
    edits = expect_texts(edits, "edits")
    path = path_to_write(path)
    name = _checked_format(path, format, overwrite=overwrite)
    if not 0 < spacing_angstrom < math.inf:
        raise SaveError(f"A voxel can't be {spacing_angstrom} Å wide.")
    voxels = CheckedVoxels(mask_zyx, progress, stop)
    largest = voxels.largest()
    if format is None and name == "ome-zarr-0.4" and largest > np.iinfo(np.uint16).max:
        name = "ome-zarr-0.5"
    dtype = _dtype_for(largest, name)
    notes = provenance.of_export(
        "mask",
        about or {},
        spacing_angstrom=float(spacing_angstrom),
        shape_zyx=voxels.shape,
        alignment_id=alignment_id,
        edits=edits,
        who=who,
        when=datetime.now(UTC),
    )
    source = voxels.as_type(dtype)
    grid = Grid.of(spacing_angstrom, about or {})
    written = written_whole(path, overwrite=overwrite)
    if name == "mrc":
        written = written_with_provenance(path, notes, overwrite=overwrite)
    with written as unfinished:
        match name:
            case "ome-zarr-0.4":
                write_portal_zarr(source, unfinished, grid, largest > 1, notes)
            case "ome-zarr-0.5":
                write_zarr(source, unfinished, grid, largest > 1, notes)
            case "mrc":
                write_mrc(source, unfinished, grid, notes)
        raise_if_stopped(stop)
    return WrittenMask(path, name, dtype.name, largest > 1, path_beside(path) if name == "mrc" else None)


def _checked_format(path: Path, wanted: MaskFormat | None, *, overwrite: bool) -> MaskFormat:
    """In which format to write, once it is sure that the place may have such a file."""
    if wanted is not None:
        expect_choice(wanted, FORMATS, "format")
    name = wanted or _format_of(path)
    if path.suffix.lower() == (".zarr" if name == "mrc" else ".mrc"):
        raise SaveError(f"{path.name} has the name of another format than {TITLES[name]}.", hint="Choose another name.")
    refuse_existing(path, overwrite=overwrite)
    if name == "mrc":
        refuse_existing(path_beside(path), overwrite=overwrite)
    return name


def _format_of(path: Path) -> MaskFormat:
    match path.suffix.lower():
        case ".zarr":
            return "ome-zarr-0.4"
        case ".mrc":
            return "mrc"
    raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .zarr or .mrc.")


def _dtype_for(largest: int, name: MaskFormat) -> np.dtype[Any]:
    """The numbers in which all values up to the largest fit, of those that the format has."""
    names = ("int8",) if largest <= 1 else ("uint16",) if name == "ome-zarr-0.4" else _TYPES[name]
    for dtype in map(np.dtype, names):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise SaveError(
        f"Its largest id, {largest:,}, doesn't fit the 16 bits that {TITLES[name]} has for one.",
        hint=f"Choose {TITLES['ome-zarr-0.5']}, or number the instances anew.",
    )
