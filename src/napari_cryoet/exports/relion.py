"""Export to RELION 5: tomograms, aligned tilt series, and the particles of each object.

::

    FOLDER/tomograms.star               one row a tomogram: optics, pixel size, size in unbinned pixels
    FOLDER/tilt_series/RUN.star         alignment, defocus and dose of each tilt, if the portal has them
    FOLDER/OBJECT/particles.star        optics and particles of all tomograms
    FOLDER/OBJECT/import.star           for *Import coordinates*: tomograms and their particle files
    FOLDER/OBJECT/coordinates/RUN.star  the files that ``import.star`` names

Start RELION in FOLDER: paths are relative to it. Positions are in ångström from the centre of the
tomogram, which is half its size (see `formats.relion`).

The portal stores alignments, including IMOD's, in AreTomo's convention: a rotation ROT, and shifts
t = (TX, TY) in pixels of the tilt series (although documented as ångström). RELION's ZRot, X and Y
shift are the same. Older IMOD records, whose rotations are four numbers in a row, follow its
``.xf`` file: a point p of an image, relative to the centre, maps to A p + d in the aligned image,
with A = Rz(-ROT) and d = -A t.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from napari_cryoet.exceptions import CryoETError, FormatError, StreamError
from napari_cryoet.exports.selection import (
    ExportReport,
    SelectedAnnotation,
    Selection,
    best_particles,
    folder_to_write,
    map_concurrently,
    read_points,
)
from napari_cryoet.files import cache_path, written_whole
from napari_cryoet.formats.relion import (
    TOMOGRAM_NAME,
    tables_of,
    tomogram_word,
    write_blocks,
)
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.tables.database import Rows
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import fetch_file
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    import pandas as pd

#: RELION's usual value for cryo-EM; the portal has none.
_AMPLITUDE_CONTRAST: Final = 0.1
#: RELION's default: the handedness of the tilt geometry of most microscopes.
_HAND: Final = -1
_NONE: Final = "none"
_MAX_METADATA_BYTES: Final = 16 << 20
_OPTICS: Final = (
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnTomoTiltSeriesPixelSize",
)
_POSITIONS: Final = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
_ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


class _Section(msgspec.Struct):
    """One tilt in ``alignment_metadata.json``."""

    z_index: int
    tilt_angle: float
    in_plane_rotation: list[Any]  # four numbers, or two rows of two
    x_offset: float
    y_offset: float
    volume_x_rotation: float = 0.0


class _Alignment(msgspec.Struct):
    format: str = ""
    per_section_alignment_parameters: list[_Section] = []


def export_relion5(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write the particles of each object and their tomograms as STAR files for RELION 5, without images.

    Of several annotations of an object in a run, one is exported: the ground truth, or else the one
    that the curators recommend. For parameters and errors see `export_copick`.
    """
    import pandas as pd

    folder = folder_to_write(folder, "tomograms.star", overwrite=overwrite)
    left_out = list(selection.left_out)
    remarks = list(selection.remarks)
    tomograms: dict[str, dict[str, Any]] = {}
    by_object: dict[str, list[Picks]] = defaultdict(list)
    particles = best_particles(selection.annotations, remarks)
    for each, picks in map_concurrently(read_points, particles, task):
        if picks.shape_zyx is None:
            left_out.append(f"{each.label}: the size of its grid isn't known.")
            continue
        name = tomogram_word(each.run.name)
        if name not in tomograms:
            tomograms[name], tilts = _tomogram(name, each, picks.shape_zyx, selection.rows, task)
            if tilts is not None:
                tomograms[name]["rlnTomoTiltSeriesStarFile"] = f"tilt_series/{name}.star"
                _write(folder / "tilt_series" / f"{name}.star", {name: tilts})
        by_object[each.object].append(_in_pixels(picks, tomograms[name]))
    if not tomograms:
        raise CryoETError("RELION needs the sizes of tomograms, and none is known.")
    if unaligned := sum("rlnTomoTiltSeriesStarFile" not in row for row in tomograms.values()):
        count = count_text(unaligned, "tilt series", "tilt series")
        left_out.append(f"{count}: the portal has no alignment for RELION.")
    unfetched = sum(row["rlnTomoReconstructedTomogram"] == _NONE for row in tomograms.values())
    if unfetched:
        count = count_text(unfetched, "tomogram")
        left_out.append(
            f"{count}: not downloaded as MRC. Download it, and export from that folder."
        )
    table = pd.DataFrame(list(tomograms.values())).fillna(_NONE)
    groups = table.groupby(list(_OPTICS), sort=False).ngroup() + 1
    table["rlnOpticsGroupName"] = "opticsGroup" + groups.astype(str)
    optics = table[["rlnOpticsGroupName", *_OPTICS]].assign(rlnOpticsGroup=groups).drop_duplicates()
    for name, several in by_object.items():
        _, particles = tables_of(several, "relion5")
        particles["rlnOpticsGroup"] = particles["rlnTomoName"].map(
            dict(zip(tomograms, groups, strict=True))
        )
        _write_object(folder, name, optics, particles.drop(columns=["napariCryoetPickId"]))
    _write(
        folder / "tomograms.star", {"global": table}
    )  # written last, so that an export with this file is complete
    n_picks = sum(len(picks) for several in by_object.values() for picks in several)
    return ExportReport(
        path=folder,
        n_runs=len(tomograms),
        n_picks=n_picks,
        left_out=tuple(left_out),
        remarks=tuple(remarks),
    )


def _tomogram(
    name: str,
    each: SelectedAnnotation,
    size_zyx: tuple[int, int, int],
    rows: Rows,
    task: Task,
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """The row of a tomogram, and the table of its tilts if they are aligned."""
    alignment = next(
        (row for row in rows["alignments"] if row["id"] == each.file.alignment_id), None
    )
    # if the alignment doesn't name its tilt series, use the run's only one
    own = [row for row in rows["tiltseries"] if row["runId"] == each.run.run.id]
    only = own[0] if len(own) == 1 else {}
    series = next(
        (row for row in own if alignment and row["id"] == alignment["tiltseriesId"]), only
    )
    pixel = series.get("pixelSpacing") or each.spacing_angstrom
    size_z, size_y, size_x = (round(n * each.spacing_angstrom / pixel) for n in size_zyx)
    voltage = float(series.get("accelerationVoltage") or 300.0)
    volumes = [
        tomogram
        for tomogram in each.run.all_tomograms
        if tomogram.alignment_id == each.file.alignment_id
    ]
    files = [_downloaded(tomogram.https_mrc_file) for tomogram in volumes]
    row = {
        "rlnTomoName": name,
        "rlnVoltage": voltage / 1000
        if voltage > 10_000
        else voltage,  # in volts, but some depositions have kilovolts
        "rlnSphericalAberration": series.get("sphericalAberrationConstant") or 2.7,
        "rlnAmplitudeContrast": _AMPLITUDE_CONTRAST,
        "rlnMicrographOriginalPixelSize": pixel,
        "rlnTomoHand": _HAND,
        "rlnTomoTiltSeriesPixelSize": pixel,
        "rlnTomoSizeX": size_x,
        "rlnTomoSizeY": size_y,
        "rlnTomoSizeZ": size_z,
        "rlnTomoTomogramBinning": each.spacing_angstrom / pixel,
        "rlnTomoReconstructedTomogram": next(filter(None, files), _NONE),
    }
    return row, _tilts(series, alignment, rows, task) if series and alignment is not None else None


def _downloaded(url: str | None) -> str | None:
    """The path of a file that was downloaded; None for one on a server or in a cache."""
    path = Location.of(url).path if url else None
    is_kept = path is not None and path.is_file() and not path.is_relative_to(cache_path())
    return str(path) if is_kept else None


def _in_pixels(picks: Picks, tomogram: Mapping[str, Any]) -> Picks:
    """The picks with positions in pixels of the tilt series."""
    pixel = tomogram["rlnTomoTiltSeriesPixelSize"]
    return Picks(
        picks.positions_angstrom_zyx / pixel,
        pixel,
        rotations_zyx=picks.rotations_zyx,
        shape_zyx=(tomogram["rlnTomoSizeZ"], tomogram["rlnTomoSizeY"], tomogram["rlnTomoSizeX"]),
        about=Provenance(more={TOMOGRAM_NAME: tomogram["rlnTomoName"]}),
    )


def _write_object(folder: Path, name: str, optics: pd.DataFrame, particles: pd.DataFrame) -> None:
    """Write the files of one object."""
    import pandas as pd

    _write(folder / name / "particles.star", {"optics": optics, "particles": particles})
    # RELION appends these files to each other and refuses files with different columns
    columns = [label for label in (*_POSITIONS, *_ANGLES) if label in particles]
    files = []
    for tomogram, table in particles.groupby("rlnTomoName", sort=False):
        files.append((tomogram, f"{name}/coordinates/{tomogram}.star"))
        _write(folder / files[-1][1], {"particles": table[columns]})
    listed = pd.DataFrame(files, columns=["rlnTomoName", "rlnTomoImportParticleFile"])
    _write(folder / name / "import.star", {"particles": listed})


def _write(path: Path, blocks: Mapping[str, Any]) -> None:
    with written_whole(path, overwrite=True, flush=False) as unfinished:
        write_blocks(unfinished, blocks, "relion5")


# tilts


def _tilts(
    series: Mapping[str, Any],
    alignment: Mapping[str, Any],
    rows: Rows,
    task: Task,
) -> pd.DataFrame | None:
    """The table of a tilt series; None if the portal has no supported alignment."""
    import pandas as pd

    read = _read_alignment(alignment["httpsAlignmentMetadata"], task)
    is_moved = any(alignment[f"volume{axis}Offset"] for axis in "XYZ")
    is_known = read.format.upper() in {"IMOD", "ARETOMO3"} and not is_moved
    if not read.per_section_alignment_parameters or not is_known or series["isAligned"]:
        return None  # for an aligned series, the shifts refer to the original images
    frames = {row["id"]: row for row in rows["frames"]}
    measured = {
        row["zIndex"]: row
        for row in rows["perSectionParameters"]
        if row["tiltseriesId"] == series["id"]
    }
    stack = _downloaded(series["httpsMrcFile"]) or "tilt_series.mrcs"
    found = []
    for section in sorted(read.per_section_alignment_parameters, key=lambda each: each.z_index):
        rotation, shift_x, shift_y = in_plane(
            section.in_plane_rotation, section.x_offset, section.y_offset, read.format
        )
        facts = measured.get(section.z_index, {})
        found.append(
            {
                "rlnMicrographName": f"{section.z_index + 1:06d}@{stack}",
                "rlnTomoXTilt": section.volume_x_rotation,
                "rlnTomoYTilt": section.tilt_angle,
                "rlnTomoZRot": rotation,
                "rlnTomoXShiftAngst": shift_x * series["pixelSpacing"],
                "rlnTomoYShiftAngst": shift_y * series["pixelSpacing"],
                "rlnTomoNominalStageTiltAngle": facts.get("rawAngle", section.tilt_angle),
                "rlnCtfScalefactor": math.cos(math.radians(section.tilt_angle)),
                "rlnMicrographPreExposure": frames.get(facts.get("frameId"), {}).get(
                    "accumulatedDose"
                ),
                "rlnDefocusU": facts.get("majorDefocus"),
                "rlnDefocusV": facts.get("minorDefocus"),
                "rlnDefocusAngle": facts.get("astigmaticAngle"),
            }
        )
    return pd.DataFrame(found).dropna(axis=1)  # RELION can't use a column that some tilts lack


def in_plane(
    rotation: Sequence[Any], x_offset: float, y_offset: float, written_by: str
) -> tuple[float, float, float]:
    """Convert a section's alignment to AreTomo's and RELION's rotation in degrees and x, y shift in pixels."""
    matrix = np.array(rotation, dtype=np.float64).reshape(2, 2)
    shift = np.array([x_offset, y_offset])
    if written_by.upper() == "IMOD" and len(rotation) == 4:
        matrix, shift = matrix.T, -matrix.T @ shift
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return angle, float(shift[0]), float(shift[1])


def _read_alignment(url: str | None, task: Task) -> _Alignment:
    """Read the portal's alignment file; an empty alignment if it is missing or invalid."""
    if not url:
        return _Alignment()
    try:
        return msgspec.convert(json.loads(fetch_file(url, _MAX_METADATA_BYTES, task)), _Alignment)
    except (FormatError, StreamError, ValueError):
        return _Alignment()
