"""Open annotations to compare, from records, ids, files and URLs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.exceptions import ComparisonError, FormatError, NotFoundError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES, Context, LengthUnit, spacing_in_layout
from napari_cryoet.formats.registry import read_in_own_grid
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.picks import Picks
from napari_cryoet.portal import provenance
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import AnnotationFile
from napari_cryoet.runs import fit as fits
from napari_cryoet.runs.outline import outline_run
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import (
    MRC_SUFFIXES,
    TIFF_SUFFIXES,
    Mask,
    Volume,
    fetch_file,
    open_file,
    own_provenance,
)

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal

#: Ids of annotations and of annotation files.
ANNOTATION_ID: Final = re.compile(r"(AN|AF)-([0-9]{1,9})", re.IGNORECASE)
#: MRC headers store the rounded size of the volume, so voxel sizes are inexact.
_WIDTH_TOLERANCE: Final = 1e-3
#: Formats of picks and masks.
COMPARABLE: Final = frozenset({"ndjson", "zarr", "mrc"})


def open_annotation(
    source: AnnotationFile | PathOrUrl,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    unit: LengthUnit | None = None,
    insist: bool = False,
    task: Task = UNWATCHED,
) -> Picks | Mask:
    """Open an annotation to compare: picks are read, masks are opened lazily.

    Parameters
    ----------
    source
        A portal record; the path of a pick file (see `napari_cryoet.read_picks`); the URL of an ``.ndjson`` file; the
        path or URL of a mask (OME-Zarr, zarr, MRC; TIFF only as a local file).
    spacing_angstrom
        The voxel spacing, if the file has none. The spacing of records and pick files takes precedence.
    shape_zyx, tomogram, unit
        Required by some pick files: the size of the volume in voxels, the name of the tomogram, and the unit of columns
        x, y, z.
    insist
        Use ``spacing_angstrom`` even if a mask's file has another one.

    Raises
    ------
    ComparisonError
        If a mask's file has another voxel spacing than the given one, unless you insist.
    FormatError
        If it is neither picks nor a mask, or can't be read; `MissingContextError` if arguments are missing.
    StreamError
        If it can't be reached.
    StoppedError
        If ``task`` is set.
    """
    if isinstance(source, AnnotationFile):
        return _open_record(source, spacing_angstrom, task)
    location = Location.of(source)
    spacing = spacing_angstrom or spacing_in_layout(location)
    about = Provenance.of_file("annotation", location, spacing)
    is_folder = location.path is not None and location.path.is_dir()
    if is_folder or location.suffix in MRC_SUFFIXES | TIFF_SUFFIXES | {".zarr"}:
        volume = open_file(location, task=task)
        own = own_provenance(volume, location)
        about = replace(about.updated(own), shown_name=location.name)
        is_certain = (
            insist or spacing_angstrom is None
        )  # a spacing from a folder name is more reliable than a header
        return _mask(volume, location, spacing, about.alignment_id, about, is_certain=is_certain)
    if location.is_remote:
        return _read_points(location, spacing, None, about, task)
    picks = read_in_own_grid(location, Context(spacing_angstrom, shape_zyx, tomogram, unit))
    # the file name distinguishes an export from its source
    return picks.changed(about=replace(picks.about, shown_name=location.name))


def named_file(portal: Portal, text: str, *, task: Task = UNWATCHED) -> AnnotationFile:
    """Look up an `ANNOTATION_ID`.

    Of several formats with the same content, choose the one that streams best.
    """
    prefix, _, number = text.partition("-")
    if prefix.upper() == "AF":
        return portal.annotation_file(int(number), task=task)
    hits = [hit for hit in portal.lookup(int(number), task=task) if hit.kind == "annotation"]
    if not hits or hits[0].run_id is None:
        raise NotFoundError(f"The portal has no annotation {text}.")
    rows = outline_run(portal.run_page(hits[0].run_id, task=task), None).rows()
    files = [row.files[0] for row in rows if row.annotation.id == int(number) and row.files]
    usable = [
        file for file in files if file.format in COMPARABLE and not fits.why_not_drawable(file)
    ]
    if len(usable) != 1:
        ids = ", ".join(f"AF-{number}" for number in sorted(file.id for file in usable)) or "none"
        message = f"{text} has {len(usable)} files that can be compared: {ids}."
        raise ComparisonError(message, hint="Give the id of one file." if usable else "")
    return usable[0]


def _open_record(file: AnnotationFile, spacing: float | None, task: Task) -> Picks | Mask:
    obstacle = fits.why_not_drawable(file)
    if obstacle or file.format not in COMPARABLE:
        raise FormatError(obstacle or "Meshes can't be compared, only picks and masks.")
    known = fits.spacing_angstrom(file) or spacing
    about = provenance.of_annotation_file(file, file.https_path, known)
    location = Location.of(file.https_path)
    if file.format == "ndjson":
        return _read_points(location, known, file.alignment_id, about, task)
    volume = open_file(location, task=task)
    return _mask(volume, location, known, file.alignment_id, about)


def _read_points(
    location: Location,
    spacing: float | None,
    alignment_id: int | None,
    about: Provenance,
    task: Task,
) -> Picks:
    content = fetch_file(location, MAX_FILE_BYTES, task)
    return ndjson.read_points(
        content, location.name, spacing, alignment_id=alignment_id, about=about
    )


def _mask(
    volume: Volume,
    location: Location,
    spacing: float | None,
    alignment_id: int | None,
    about: Provenance,
    *,
    is_certain: bool = True,
) -> Mask:
    """Create a mask; a spacing that contradicts its file is accepted only if ``is_certain``."""
    about = about.with_warnings(*volume.remarks)
    widths = volume.spacing_angstrom
    chosen = spacing or (widths[0] if widths else None)
    if chosen and widths and not np.allclose(widths, chosen, rtol=_WIDTH_TOLERANCE, atol=0):
        sizes = " × ".join(f"{width:g}" for width in widths)
        if not is_certain or spacing is None:
            volume.close()
            raise ComparisonError(
                f"{location.name} states a voxel spacing of {sizes} Å, not {chosen:g} Å.",
                hint="If the file is wrong, give the voxel spacing and insist on it.",
            )
        about = about.with_warnings(
            f"Its file states a voxel spacing of {sizes} Å; {chosen:g} Å was used."
        )
    return Mask(volume.levels[0], chosen, alignment_id, about)


# what to compare


@dataclass(frozen=True, slots=True)
class Candidate:
    """An annotation that could be compared: picks or a mask, and its provenance."""

    are_picks: bool
    about: Provenance


def likely_pair(candidates: Sequence[Candidate], *, of: int | None = None) -> tuple[int, int]:
    """The numbers of the best matching A and B: same run, type and object, with a ground truth as B.

    ``of`` is the number of a candidate that takes part. Of equal pairs, it is the one with the last B.
    """
    numbers = range(len(candidates))
    pairs = [pair for pair in permutations(numbers, 2) if of is None or of in pair]
    return min(pairs, key=lambda pair: (_distance(*(candidates[each] for each in pair)), -pair[1]))


def _distance(a: Candidate, b: Candidate) -> tuple[bool, ...]:
    runs = {a.about.run_id, b.about.run_id} - {None}
    return (
        not a.are_picks and b.are_picks,  # can't be compared
        len(runs) > 1,
        a.are_picks is not b.are_picks,
        a.about.object_id != b.about.object_id,
        not b.about.is_ground_truth,
        bool(a.about.is_ground_truth),
    )
