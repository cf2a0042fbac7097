"""Annotations to compare, from records, files and addresses."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any, Final

from napari_cryoet import overlay, provenance
from napari_cryoet.comparison.mask import Mask
from napari_cryoet.exceptions import ComparisonError, FormatError
from napari_cryoet.formats import ndjson
from napari_cryoet.picks import Picks
from napari_cryoet.records import AnnotationFile
from napari_cryoet.volumes import MRC_SUFFIXES, Volume, open_volume, spacing_in_layout, suffix_of

#: Of the widths of a voxel along its axes, which headers keep as rounded lengths of the whole volume.
_WIDTHS_TOLERANCE: Final = 1e-3


def open_annotation(
    source: AnnotationFile | str | Path,
    *,
    spacing_angstrom: float | None = None,
    stop: threading.Event | None = None,
) -> Picks | Mask:
    """An annotation as something that can be compared: picks are read, masks only opened.

    Parameters
    ----------
    source
        A record of the portal, or the path or address of an ``.ndjson`` file, or of a mask (OME-Zarr, zarr or MRC).
    spacing_angstrom
        The voxel spacing of a file that doesn't say it, or if you know better. A record has its own.

    Raises
    ------
    FormatError
        If it is neither picks nor a mask, or can't be read.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if isinstance(source, AnnotationFile):
        obstacle = overlay.why_not_drawable(source)
        if obstacle:
            raise FormatError(obstacle)
        known = overlay.spacing_angstrom(source)
        spacing = known if known is not None else spacing_angstrom
        about = provenance.of_annotation_file(source, source.https_path, spacing)
        is_points = source.format == "ndjson"
        return _open(source.https_path, spacing, source.alignment_id, about, is_points=is_points, stop=stop)
    address = os.fspath(source)
    suffix = suffix_of(address)
    if suffix != ".ndjson" and suffix not in MRC_SUFFIXES | {".zarr"}:
        raise FormatError(
            f"{Path(address).name!r} is no annotation that can be compared.",
            hint="Picks are .ndjson files; masks are .zarr, .mrc, .map or .rec.",
        )
    spacing = spacing_angstrom if spacing_angstrom is not None else spacing_in_layout(address)
    about = provenance.of_bare_file("annotation", address, spacing)
    return _open(address, spacing, None, about, is_points=suffix == ".ndjson", stop=stop)


def _open(
    address: str,
    spacing: float | None,
    alignment_id: int | None,
    about: dict[str, Any],
    *,
    is_points: bool,
    stop: threading.Event | None,
) -> Picks | Mask:
    if is_points:
        points = ndjson.read_points(_fetch(address, stop))
        if len(points) == 0 and points.skipped:
            raise FormatError(f"None of the {len(points.skipped):,} lines of {address} is a point.")
        return points.to_picks(spacing, alignment_id=alignment_id, about=about)
    volume = open_volume(address, stop=stop)
    return Mask(
        volume.levels[0],
        spacing if spacing is not None else _own_spacing(volume),
        shape_zyx=volume.shape_zyx,
        alignment_id=alignment_id,
        about=about,
    )


def _own_spacing(volume: Volume) -> float | None:
    """What the file says, if voxels are as wide along all axes."""
    widths = volume.spacing_angstrom
    if widths is None:
        return None
    if not all(math.isclose(width, widths[0], rel_tol=_WIDTHS_TOLERANCE) for width in widths):
        raise ComparisonError("The voxels of this mask aren't as wide along all axes, so it can't be compared.")
    return widths[0]


def _fetch(address: str, stop: threading.Event | None) -> bytes:
    from napari_cryoet.streaming.sources import open_source

    piece = open_source(address).read("", length=ndjson.MAX_FILE_BYTES + 1, stop=stop)
    if piece is None:
        raise FormatError(f"There is no file at {address}.")
    return piece.content
