"""Annotations to compare, from records, ids, files and addresses."""

from __future__ import annotations

import math
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from napari_cryoet import provenance
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.comparison.sides import SHOWN_NAME
from napari_cryoet.exceptions import ComparisonError, FormatError, NotFoundError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES, Unit, spacing_in_layout
from napari_cryoet.formats.notes import ORIGIN_KEY, of_bare_file
from napari_cryoet.formats.registry import read_in_own_grid
from napari_cryoet.picks import Picks
from napari_cryoet.records import AnnotationFile
from napari_cryoet.run import fit as fits
from napari_cryoet.run.outline import outline_run
from napari_cryoet.volumes import (
    MRC_SUFFIXES,
    TIFF_SUFFIXES,
    is_packed_volume,
    name_of,
    open_volume,
    own_provenance,
    suffix_of,
)
from napari_cryoet.wording import joined, plain, spacing_text

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal

#: Headers keep the width of a voxel as a rounded length of the whole volume.
_WIDTH_TOLERANCE: Final = 1e-3
_ZARR_DOCUMENTS: Final = (".zattrs", ".zarray", "zarr.json")
_COMPARABLE: Final = frozenset({"ndjson", "zarr", "mrc"})
_ID: Final = re.compile(r"(?:(AN|AF)-)?([0-9]{1,9})", re.IGNORECASE)


def open_annotation(
    source: AnnotationFile | str | Path,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    unit: Unit | None = None,
    insist: bool = False,
    stop: threading.Event | None = None,
) -> Picks | Mask:
    """Open an annotation to compare it: picks are read, masks only opened.

    Parameters
    ----------
    source
        A record of the portal; the path of a file of picks (see `napari_cryoet.read_picks`); the address of an
        ``.ndjson`` file; the path or address of a mask (OME-Zarr, zarr, MRC; TIFF on this computer).
    spacing_angstrom
        The voxel spacing of a file that doesn't say it. Records, and files of picks that say it, keep their own.
    shape_zyx, tomogram, unit
        What some files of picks need as well: the size of the volume in voxels, which of several tomograms, and what
        the columns x, y, z of a table count.
    insist
        Take ``spacing_angstrom`` for a mask whose file says another one.

    Raises
    ------
    ComparisonError
        If a mask's file says another voxel spacing than the given one, unless you insist.
    FormatError
        If it is neither picks nor a mask, or can't be read; a `MissingContextError` if something must be given.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if isinstance(source, AnnotationFile):
        return _open_record(source, spacing_angstrom, stop)
    address = str(source)
    of_layout = spacing_in_layout(address)
    spacing = spacing_angstrom if spacing_angstrom is not None else of_layout
    about = of_bare_file("annotation", address, spacing)
    if is_volume(address):
        may_differ = insist or spacing == of_layout  # a folder is more reliable than a header
        return _open_mask(address, spacing, None, about, stop, is_own=True, may_differ=may_differ)
    if "://" in address:
        return _read_points(address, spacing, None, about, stop)
    picks = read_in_own_grid(
        address, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx, tomogram=tomogram, unit=unit
    )
    # the file's own name, for it may be compared with what it was exported from
    return picks.changed(about=dict(picks.about) | {SHOWN_NAME: Path(address).name})


def is_volume(address: str) -> bool:
    """Whether it is a volume, by its name or by what the folder holds."""
    if suffix_of(address) in MRC_SUFFIXES | TIFF_SUFFIXES | {".zarr"} or is_packed_volume(address):
        return True
    return "://" not in address and any(os.path.isfile(os.path.join(address, name)) for name in _ZARR_DOCUMENTS)


def is_annotation_id(text: str) -> bool:
    """Whether a text is an id: ``AN-9003`` of an annotation, ``AF-9004`` of a file, ``9004`` of either."""
    return _ID.fullmatch(text) is not None


def named_file(portal: Portal, text: str, *, stop: threading.Event | None = None) -> AnnotationFile:
    """The annotation file that an id means; of one content in several formats, the one that streams best.

    Raises
    ------
    ComparisonError
        If it may mean several: an annotation with several shapes, spacings or alignments, or a bare number that both
        an annotation and another file have.
    NotFoundError
        If the portal has no such record.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no id of an annotation or of its file")
    prefix, number = (match[1] or "").upper(), int(match[2])
    files = _files_of(portal, number, stop) if prefix != "AF" else []
    if prefix != "AN":
        try:
            files += [file for file in [portal.annotation_file(number, stop=stop)] if file not in files]
        except NotFoundError:
            if prefix or not files:
                raise
    if not files:
        raise NotFoundError(f"The portal has no annotation {number} with a file.")
    usable = [file for file in files if file.format in _COMPARABLE and not fits.why_not_drawable(file)] or files
    if len(usable) > 1:
        raise ComparisonError(
            f"{text} may mean {len(usable)} files: {'; '.join(map(_described, usable))}.",
            hint=f"Which one? Give its id, such as AF-{usable[0].id}.",
        )
    return usable[0]


def _files_of(portal: Portal, annotation_id: int, stop: threading.Event | None) -> list[AnnotationFile]:
    """One file for each content that an annotation has."""
    hits = [hit for hit in portal.lookup(annotation_id, stop=stop) if hit.kind == "annotation"]
    if not hits or hits[0].run_id is None:
        return []
    rows = outline_run(portal.run_page(hits[0].run_id, stop=stop), None).rows()
    files = [row.files[0] for row in rows if row.annotation.id == annotation_id and row.files]
    return sorted(files, key=lambda file: file.id)


def _described(file: AnnotationFile) -> str:
    shape = plain(str(file.shape.shape_type)) if file.shape is not None and file.shape.shape_type is not None else ""
    spacing = spacing_text(file.voxel_spacing.voxel_spacing) if file.voxel_spacing is not None else ""
    alignment = "" if file.alignment_id is None else f"AL-{file.alignment_id}"
    return f"AF-{file.id} ({joined(shape, plain(file.format), spacing, alignment)})"


def _open_record(file: AnnotationFile, spacing: float | None, stop: threading.Event | None) -> Picks | Mask:
    obstacle = fits.why_not_drawable(file)
    if obstacle or file.format not in _COMPARABLE:
        raise FormatError(obstacle or "A mesh can't be compared, only picks and masks can.")
    known = fits.spacing_angstrom(file)
    spacing = known if known is not None else spacing
    about = provenance.of_annotation_file(file, file.https_path, spacing)
    read = _read_points if file.format == "ndjson" else _open_mask
    return read(file.https_path, spacing, file.alignment_id, about, stop)


def _read_points(
    address: str, spacing: float | None, alignment_id: int | None, about: dict[str, Any], stop: threading.Event | None
) -> Picks:
    from napari_cryoet.streaming.sources import read_file

    piece = read_file(address, limit_bytes=MAX_FILE_BYTES, stop=stop)
    if piece is None:
        raise FormatError(f"There is no file at {about['source_url']}.")
    return ndjson.read_points(
        piece.content, where=name_of(address), spacing_angstrom=spacing, alignment_id=alignment_id, about=about
    )


def _open_mask(
    address: str,
    spacing: float | None,
    alignment_id: int | None,
    about: dict[str, Any],
    stop: threading.Event | None,
    *,
    is_own: bool = False,
    may_differ: bool = True,
) -> Mask:
    """A mask. One of your own files may be an export of ours, which says where it comes from."""
    volume = open_volume(address, stop=stop)
    if is_own:
        about = about | own_provenance(volume, address) | {SHOWN_NAME: name_of(address)}
        alignment_id = about.get("alignment_id")
    if volume.origin_angstrom is not None:
        about = about | {ORIGIN_KEY: list(volume.origin_angstrom)}
    widths = volume.spacing_angstrom
    taken = spacing if spacing is not None else widths[0] if widths else None
    warnings = [*about.get("warnings", ()), *volume.remarks]
    if taken and widths and not all(math.isclose(width, taken, rel_tol=_WIDTH_TOLERANCE) for width in widths):
        said = f"{widths[0]:g}" if len(set(widths)) == 1 else ", ".join(f"{width:g}" for width in widths)
        if spacing is None or not may_differ:
            volume.close()
            raise ComparisonError(
                f"{name_of(address)} says that its voxels are {said} Å wide, not {taken:g} Å.",
                hint="If the file is wrong, give the voxel spacing and insist on it.",
            )
        warnings.append(f"Its file says that voxels are {said} Å wide; {taken:g} Å was taken.")
    about = about | ({"warnings": warnings} if warnings else {})
    return Mask(volume.levels[0], taken, shape_zyx=volume.shape_zyx, alignment_id=alignment_id, about=about)
