"""Annotations to compare, from records, files and addresses."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any, Final

from napari_cryoet import provenance
from napari_cryoet.comparison.mask import Mask
from napari_cryoet.comparison.sides import SHOWN_NAME
from napari_cryoet.exceptions import ComparisonError, FormatError
from napari_cryoet.expecting import path_text
from napari_cryoet.export_notes import source_of_mask
from napari_cryoet.files import without_login
from napari_cryoet.formats import ndjson
from napari_cryoet.pick_files import read_in_own_grid
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import ORIGIN_KEY
from napari_cryoet.records import AnnotationFile
from napari_cryoet.run import fit as fits
from napari_cryoet.volumes import (
    MRC_SUFFIXES,
    TIFF_SUFFIXES,
    Volume,
    is_packed_volume,
    name_of,
    open_volume,
    spacing_in_layout,
    suffix_of,
)

#: Of the widths of a voxel along its axes, which headers keep as rounded lengths of the whole volume.
_WIDTHS_TOLERANCE: Final = 1e-3
_ZARR_DOCUMENTS: Final = (".zattrs", ".zarray", "zarr.json")
#: In which annotations come that can be compared.
COMPARABLE_FORMATS: Final = frozenset({"ndjson", "zarr", "mrc"})


def open_annotation(
    source: AnnotationFile | str | Path,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    insist: bool = False,
    stop: threading.Event | None = None,
) -> Picks | Mask:
    """An annotation as something that can be compared: picks are read, masks only opened.

    Parameters
    ----------
    source
        A record of the portal; the path of a file of picks (see `napari_cryoet.pick_files`); the address of an
        ``.ndjson`` file; the path or address of a mask (OME-Zarr, zarr, MRC or, on this computer, TIFF).
    spacing_angstrom
        The voxel spacing of a file that doesn't say it. A record has its own, and picks whose file says it stay at the
        places that it says.
    shape_zyx, tomogram
        What else some files of picks need: the size of the volume from whose centre they count, in voxels, and which
        one of several tomograms.
    insist
        Take ``spacing_angstrom`` for a mask whose file says another one, as headers may be wrong.

    Raises
    ------
    ComparisonError
        If a mask's file says another voxel spacing than the given one, unless somebody insists.
    FormatError
        If it is neither picks nor a mask, or can't be read; a `MissingContextError` if it needs more to be said.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if isinstance(source, AnnotationFile):
        obstacle = fits.why_not_drawable(source)
        if not obstacle and source.format not in COMPARABLE_FORMATS:
            obstacle = "A mesh can't be compared, only picks and masks can."
        if obstacle:
            raise FormatError(obstacle)
        known = fits.spacing_angstrom(source)
        spacing = known if known is not None else spacing_angstrom
        about = provenance.of_annotation_file(source, source.https_path, spacing)
        read = _read_points if source.format == "ndjson" else _open_mask
        return read(source.https_path, spacing, source.alignment_id, about, stop)
    address = path_text(source, "source", or_else="an AnnotationFile of a portal")
    if is_volume(address):
        of_layout = spacing_in_layout(address)
        known = spacing_angstrom if spacing_angstrom is not None else of_layout
        about = provenance.of_bare_file("annotation", address, known)
        must_agree = known != of_layout and not insist  # a header is wrong sooner than the folder
        return _open_mask(address, known, None, about, stop, is_own=True, must_agree=must_agree)
    if "://" not in address:
        picks = read_in_own_grid(address, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx, tomogram=tomogram)
        # not by what it was exported from: it may be compared with that
        return picks.changed(about=dict(picks.about) | {SHOWN_NAME: Path(address).name})
    known = spacing_angstrom if spacing_angstrom is not None else spacing_in_layout(address)
    return _read_points(address, known, None, provenance.of_bare_file("annotation", address, known), stop)


def is_volume(address: str) -> bool:
    """Whether it is a volume, by its name, or by what a folder holds, such as ``labels/name`` of an image."""
    if suffix_of(address) in MRC_SUFFIXES | TIFF_SUFFIXES | {".zarr"} or is_packed_volume(address):
        return True
    return "://" not in address and any(os.path.isfile(os.path.join(address, name)) for name in _ZARR_DOCUMENTS)


def _read_points(
    address: str, spacing: float | None, alignment_id: int | None, about: dict[str, Any], stop: threading.Event | None
) -> Picks:
    points = _fetch_points(address, stop)
    if len(points) == 0 and points.skipped:
        raise FormatError(f"None of the {len(points.skipped):,} lines of {without_login(address)} is a point.")
    said = {"warnings": list(points.warnings)} if points.warnings else {}
    return points.to_picks(spacing, alignment_id=alignment_id, about=about | said)


def _open_mask(
    address: str,
    spacing: float | None,
    alignment_id: int | None,
    about: dict[str, Any],
    stop: threading.Event | None,
    *,
    is_own: bool = False,
    must_agree: bool = False,
) -> Mask:
    """A mask; one's own file may be an export of ours, which says where it comes from."""
    volume = open_volume(address, stop=stop)
    if is_own:
        about = about | source_of_mask(volume, address) | {SHOWN_NAME: name_of(address)}
        own_alignment = about.get("alignment_id")
        alignment_id = own_alignment if isinstance(own_alignment, int) else None
    if volume.origin_angstrom is not None:
        about = about | {ORIGIN_KEY: list(volume.origin_angstrom)}
    said_otherwise = _said_otherwise(volume, spacing)
    if said_otherwise and must_agree:
        volume.close()
        raise ComparisonError(
            f"{name_of(address)} says that its voxels are {said_otherwise} Å wide, and {spacing:g} Å was given.",
            hint="Give none, or insist on it if the file is wrong.",
        )
    told = (
        [f"Its file says that voxels are {said_otherwise} Å wide; {spacing:g} Å was taken."] if said_otherwise else []
    )
    said = [*about.get("warnings", ()), *volume.remarks, *told]
    return Mask(
        volume.levels[0],
        spacing if spacing is not None else _own_spacing(volume),
        shape_zyx=volume.shape_zyx,
        alignment_id=alignment_id,
        about=about | ({"warnings": said} if said else {}),
    )


def _said_otherwise(volume: Volume, taken: float | None) -> str:
    """How wide a file says that its voxels are, in ångström, if that isn't what is taken; else empty."""
    own = volume.spacing_angstrom
    if taken is None or own is None or all(math.isclose(width, taken, rel_tol=_WIDTHS_TOLERANCE) for width in own):
        return ""
    return ", ".join(f"{width:g}" for width in (own if len(set(own)) > 1 else own[:1]))


def _own_spacing(volume: Volume) -> float | None:
    """What the file says, if voxels are as wide along all axes."""
    widths = volume.spacing_angstrom
    if widths is None:
        return None
    if not all(math.isclose(width, widths[0], rel_tol=_WIDTHS_TOLERANCE) for width in widths):
        said = ", ".join(f"{width:g}" for width in widths)
        raise ComparisonError(
            f"The voxels of this mask aren't as wide along all axes ({said} Å along z, y, x), so it can't be compared.",
            hint="If the file is wrong, give the width of its voxels and insist on it.",
        )
    return widths[0]


def _fetch_points(address: str, stop: threading.Event | None) -> ndjson.Points:
    from napari_cryoet.streaming.documents import read_parsed
    from napari_cryoet.streaming.sources import open_source

    length = ndjson.MAX_FILE_BYTES + 1
    points = read_parsed(open_source(address), "", ndjson.read_points, length=length, stop=stop)
    if points is None:
        raise FormatError(f"There is no file at {without_login(address)}.")
    return points
