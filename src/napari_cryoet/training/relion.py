"""RELION 5: particles of each object in all tomograms, the tomograms, and how their tilt series are aligned.

::

    FOLDER/tomograms.star                one row a tomogram: optics, pixel size, size in unbinned pixels
    FOLDER/tilt_series/RUN.star          alignment, defocus and dose of each tilt, where the portal has an alignment
    FOLDER/OBJECT/particles.star         optics and particles of all tomograms
    FOLDER/OBJECT/optimisation_set.star  both, for RELION's jobs
    FOLDER/OBJECT/import.star            for *Import coordinates*: rlnTomoName and rlnTomoImportParticleFile
    FOLDER/OBJECT/coordinates/RUN.star   what that one names

Start RELION in FOLDER: paths are relative to it. Positions are in ångström from the centre of the tomogram, which is
half its size (see `formats.relion`).

The portal keeps alignments as AreTomo means them, also IMOD's: a rotation by ROT, and shifts TX and TY in pixels of the
tilt series, though they are documented as ångström. RELION's ZRot, X and Y shift are the same. Older records of IMOD's,
whose rotations are four numbers in a row, are as in its ``.xf`` file: a point p of an image, from its centre, is at
A p + d in the aligned one, which is A = Rz(-ROT), d = -A t.
"""

from __future__ import annotations

import json
import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from napari_cryoet.exceptions import CryoETError, ExistsError, FormatError, StreamError, raise_if_stopped
from napari_cryoet.files import local_path, path_to_write, written_whole
from napari_cryoet.formats.relion import tables_of, tomogram_word, write_blocks
from napari_cryoet.picks import Picks
from napari_cryoet.records import Tomogram
from napari_cryoet.training.copick import ExportReport, Progress
from napari_cryoet.training.naming import NamedAnnotation, name_all, one_each
from napari_cryoet.training.selection import Selection, annotation_of, read_each, spacing_of
from napari_cryoet.volumes import fetch_file
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    import pandas as pd

#: What RELION takes for electrons in ice; the portal doesn't say it.
_AMPLITUDE_CONTRAST: Final = 0.1
#: RELION's own default: the handedness of the tilt geometry that most microscopes have.
_HAND: Final = -1
_MAX_METADATA_BYTES: Final = 16 << 20
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
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write the particles of each object, and their tomograms, for RELION 5; images stay where they are.

    An object that is annotated several times in a run is taken once: its ground truth, else what the curators
    recommend. Parameters and errors are those of `export_copick`.
    """
    folder = path_to_write(folder).expanduser().absolute()
    if (folder / "tomograms.star").exists() and not overwrite:
        raise ExistsError(f"There is a tomograms.star in {folder} already.", hint="Choose another folder.")
    names, left_out = name_all(selection), list(selection.left_out)
    chosen = one_each([named for named in names.annotations if named.is_particles], left_out)
    if not chosen:
        raise CryoETError("There are no particles to export.", hint="Choose annotations that are points.")
    tell = progress or (lambda _share, _words: None)
    tomograms = _Tomograms(selection)
    by_object: dict[str, list[Picks]] = defaultdict(list)
    read = read_each([(named.file, named.selected) for named in chosen], stop=stop)
    for number, (named, found) in enumerate(zip(chosen, read, strict=True)):
        raise_if_stopped(stop)
        tell(number / len(chosen), f"{named.object} of {named.run}")
        picks = tomograms.add(named, found, stop)
        if picks is None:
            left_out.append(f"AN-{annotation_of(named.file).id} ({named.object}): the size of its grid isn't known.")
        else:
            by_object[named.object].append(picks)
    for name, several in by_object.items():
        _write_object(folder, name, [replace(picks, about=tomograms.about(picks)) for picks in several])
    if unaligned := len(tomograms.rows.keys() - tomograms.series.keys()):
        left_out.append(
            f"{count_text(unaligned, 'tilt series', 'tilt series')}: the portal has no alignment for RELION."
        )
    for name, table in tomograms.series.items():
        _write(folder / "tilt_series" / f"{name}.star", {name: table})
    _write(folder / "tomograms.star", {"global": tomograms.table()})  # last: with it the export is whole
    return ExportReport(
        path=folder,
        n_runs=len(tomograms.rows),
        n_files=len(by_object),
        n_picks=sum(len(picks) for several in by_object.values() for picks in several),
        left_out=tuple(left_out),
    )


class _Tomograms:
    """The tomograms that particles were taken from, by name; one row each, and one table of tilts."""

    def __init__(self, selection: Selection) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.series: dict[str, pd.DataFrame] = {}
        self._selection = selection
        self._optics: dict[tuple[Any, ...], dict[str, Any]] = {}

    def add(self, named: NamedAnnotation, picks: Picks, stop: threading.Event | None) -> Picks | None:
        """The picks of an annotation, with the name and the optics group of their tomogram."""
        size, name = picks.shape_zyx, tomogram_word(named.run)
        if size is None:
            return None
        if name not in self.rows:
            self._add_row(name, named, size, stop)
        group = self._optics_of(self.rows[name])["rlnOpticsGroup"]
        return Picks(
            picks.points_zyx,
            picks.spacing_angstrom,
            rotations_zyx=picks.rotations_zyx,
            features={"rlnOpticsGroup": np.full(len(picks), group)},
            shape_zyx=size,
            about={"tomogram_name": name},
        )

    def about(self, picks: Picks) -> dict[str, Any]:
        """What `formats.relion` goes by: the tomogram's name and all optics groups."""
        return {**picks.about, "relion": {"optics": list(self._optics.values())}}

    def table(self) -> pd.DataFrame:
        """The rows of tomograms.star."""
        import pandas as pd

        table = pd.DataFrame(list(self.rows.values()))
        return table if self.series else table.drop(columns="rlnTomoTiltSeriesStarFile", errors="ignore")

    def _add_row(
        self, name: str, named: NamedAnnotation, size_zyx: tuple[int, int, int], stop: threading.Event | None
    ) -> None:
        rows, spacing = self._selection.rows, spacing_of(named.file)
        alignment = next((row for row in rows["alignments"] if row["id"] == named.file.alignment_id), None)
        series = self._series_of(named.selected.run.id, alignment)
        pixel = (series or {}).get("pixelSpacing") or spacing
        size_z, size_y, size_x = (round(n * spacing / pixel) for n in size_zyx)
        row: dict[str, Any] = {
            "rlnTomoName": name,
            "rlnVoltage": _kilovolts(series),
            "rlnSphericalAberration": (series or {}).get("sphericalAberrationConstant") or 2.7,
            "rlnAmplitudeContrast": _AMPLITUDE_CONTRAST,
            "rlnMicrographOriginalPixelSize": pixel,
            "rlnTomoHand": _HAND,
            "rlnTomoTiltSeriesPixelSize": pixel,
            "rlnTomoSizeX": size_x,
            "rlnTomoSizeY": size_y,
            "rlnTomoSizeZ": size_z,
            "rlnTomoTomogramBinning": spacing / pixel,
        }
        row["rlnOpticsGroupName"] = self._optics_of(row)["rlnOpticsGroupName"]
        if series is not None and alignment is not None:
            tilts = _tilts(series, alignment, rows, stop)
            if tilts is not None:
                self.series[name] = tilts
        row["rlnTomoTiltSeriesStarFile"] = f"tilt_series/{name}.star" if name in self.series else "none"
        row["rlnTomoReconstructedTomogram"] = _volume_of(named.selected.all_tomograms, named.file.alignment_id)
        self.rows[name] = row

    def _series_of(self, run_id: int, alignment: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The tilt series that was aligned; without a word of which, the only one of the run."""
        own = [row for row in self._selection.rows["tiltseries"] if row["runId"] == run_id]
        known = [row for row in own if alignment and row["id"] == alignment["tiltseriesId"]]
        return known[0] if known else own[0] if len(own) == 1 else None

    def _optics_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The optics group of a tomogram: one for each set of facts."""
        facts = {
            label: row[label]
            for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnTomoTiltSeriesPixelSize")
        }
        number = len(self._optics) + 1
        group = {"rlnOpticsGroup": number, "rlnOpticsGroupName": f"opticsGroup{number}", **facts}
        return self._optics.setdefault(tuple(facts.values()), group)


def _write_object(folder: Path, name: str, several: Sequence[Picks]) -> None:
    """The files of one object."""
    import pandas as pd

    optics, particles = tables_of(several, "relion5")
    particles = particles.drop(columns=["napariCryoetPickId"])
    _write(folder / name / "particles.star", {"optics": optics, "particles": particles})
    # RELION appends these files to each other and refuses files with different columns
    columns = [label for label in (*_POSITIONS, *_ANGLES) if label in particles]
    files = []
    for tomogram, table in particles.groupby("rlnTomoName", sort=False):
        files.append((tomogram, f"{name}/coordinates/{tomogram}.star"))
        _write(folder / files[-1][1], {"particles": table[columns]})
    listed = pd.DataFrame(files, columns=["rlnTomoName", "rlnTomoImportParticleFile"])
    _write(folder / name / "import.star", {"particles": listed})
    facts = {"rlnTomoParticlesFile": f"{name}/particles.star", "rlnTomoTomogramsFile": "tomograms.star"}
    _write(folder / name / "optimisation_set.star", {"optimisation_set": facts})


def _write(path: Path, blocks: Mapping[str, Any]) -> None:
    with written_whole(path, overwrite=True, flush=False) as unfinished:
        write_blocks(unfinished, blocks, "relion5")


def _kilovolts(series: Mapping[str, Any] | None) -> float:
    """The portal counts in volts, and some deposited kilovolts."""
    voltage = float((series or {}).get("accelerationVoltage") or 300.0)
    return voltage / 1000 if voltage > 10_000 else voltage


def _volume_of(tomograms: Sequence[Tomogram], alignment_id: int | None) -> str:
    """The path or address of the tomogram that is shown first."""
    own = [each for each in tomograms if each.alignment_id == alignment_id] or list(tomograms)
    url = (own[0].https_mrc_file if own else None) or "none"
    return str(local_path(url) or url)


# tilts


def _tilts(
    series: Mapping[str, Any],
    alignment: Mapping[str, Any],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    stop: threading.Event | None,
) -> pd.DataFrame | None:
    """The table of a tilt series; None where the portal has no alignment that is understood here."""
    import pandas as pd

    read = _read_alignment(alignment["httpsAlignmentMetadata"], stop)
    is_moved = any(alignment[f"volume{axis}Offset"] for axis in "XYZ")
    is_known = read.format.upper() in {"IMOD", "ARETOMO3"} and not is_moved
    if not read.per_section_alignment_parameters or not is_known or series["isAligned"]:
        return None  # shifts of an aligned series say where its images came from
    frames = {row["id"]: row for row in rows["frames"]}
    measured = {row["zIndex"]: row for row in rows["perSectionParameters"] if row["tiltseriesId"] == series["id"]}
    found = []
    for section in sorted(read.per_section_alignment_parameters, key=lambda each: each.z_index):
        rotation, shift_x, shift_y = in_plane(
            section.in_plane_rotation, section.x_offset, section.y_offset, read.format
        )
        facts = measured.get(section.z_index, {})
        frame = frames.get(facts.get("frameId"), {})
        row = {
            "rlnMicrographName": f"{section.z_index + 1:06d}@{series['httpsMrcFile'] or 'tilt_series.mrcs'}",
            "rlnTomoXTilt": section.volume_x_rotation,
            "rlnTomoYTilt": section.tilt_angle,
            "rlnTomoZRot": rotation,
            "rlnTomoXShiftAngst": shift_x * series["pixelSpacing"],
            "rlnTomoYShiftAngst": shift_y * series["pixelSpacing"],
            "rlnTomoNominalStageTiltAngle": facts.get("rawAngle", section.tilt_angle),
            "rlnCtfScalefactor": math.cos(math.radians(section.tilt_angle)),
        }
        if frame.get("accumulatedDose") is not None:
            row["rlnMicrographPreExposure"] = frame["accumulatedDose"]
        if facts.get("majorDefocus") is not None and facts.get("minorDefocus") is not None:
            row["rlnDefocusU"], row["rlnDefocusV"] = facts["majorDefocus"], facts["minorDefocus"]
            row["rlnDefocusAngle"] = facts.get("astigmaticAngle") or 0.0
        found.append(row)
    table = pd.DataFrame(found)
    return table.dropna(axis=1)  # a column that some tilts lack is no use to RELION


def in_plane(rotation: Sequence[Any], x_offset: float, y_offset: float, written_by: str) -> tuple[float, float, float]:
    """Rotation in degrees and shift in pixels as AreTomo and RELION mean them, of a section of the portal's."""
    matrix = np.array(rotation, dtype=np.float64).reshape(2, 2)
    shift = np.array([x_offset, y_offset])
    if written_by.upper() == "IMOD" and len(rotation) == 4:
        matrix, shift = matrix.T, -matrix.T @ shift
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return angle, float(shift[0]), float(shift[1])


def _read_alignment(url: str | None, stop: threading.Event | None) -> _Alignment:
    """The portal's file of an alignment; an empty one where there is none, or it isn't understood."""
    if not url:
        return _Alignment()
    try:
        return msgspec.convert(json.loads(fetch_file(url, _MAX_METADATA_BYTES, stop)), _Alignment)
    except (FormatError, StreamError, ValueError):
        return _Alignment()
