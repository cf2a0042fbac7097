"""RELION STAR files of particles in a tomogram: versions 3.1, 4 and 5, in and out.

Conventions, from RELION's source (``src/jaz/tomography/particle_set.cpp`` of 5.0; labels in ``metadata_label.h``):

- Positions are 0-based: 0 is the centre of the first pixel. 3.1 counts in pixels of the micrograph (here: the
  tomogram), ``rlnMicrographPixelSize`` wide. 4 counts in pixels of the unbinned tilt series,
  ``rlnTomoTiltSeriesPixelSize`` wide. 5 writes ångström from the tomogram's centre, which is half its size: voxel N / 2
  of N voxels, also for odd N (``Tomogram::centre``). N is in unbinned pixels, ``rlnTomoSizeX/Y/Z`` of
  ``tomograms.star``.
- ``rlnOriginX/Y/ZAngst`` is subtracted from the position, after it was turned by the subtomogram's matrix
  (``getPosition``).
- Orientation is A_subtomogram A_particle (``getMatrix3x3``) of ``rlnTomoSubtomogramRot/Tilt/Psi`` and
  ``rlnAngleRot/Tilt/Psi``; `napari_cryoet.formats.eulers` has the meaning of these angles.
- Shifts and the subtomogram's angles say where the particle's image was cut out. They stay columns of the picks, and
  files for 4 and 5 are written with them: same place, orientation and image.

RELION keeps labels that it doesn't know; ours start with ``napariCryoet``. A comment at the top has our notes as JSON.
"""

from __future__ import annotations

import linecache
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import Context as Missing
from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.files import brief
from napari_cryoet.formats.common import (
    Context,
    as_texts,
    choose_tomogram,
    is_missing,
    known_rotations,
    listed,
    numbers_of,
    picks_of_file,
    rotation_losses,
    shortened,
    whole_numbers_of,
)
from napari_cryoet.formats.eulers import angles_of, matrices_of
from napari_cryoet.formats.notes import Notes, as_json, parse
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.history import are_moved

if TYPE_CHECKING:
    import pandas as pd

Version = Literal["relion5", "relion4", "relion3"]

CENTRED: Final = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
SHIFTS: Final = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
SHIFTS_OF_3_0: Final = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
#: Angles in the frame of the subtomogram, which mean nothing without its own.
PRIORS: Final = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")
TOMOGRAM_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
#: The first that a file has is the score: RELION's own, then those of pytom-match-pick.
SCORES: Final = ("rlnAutopickFigureOfMerit", "rlnLCCmax", "ptmLCCmax")
GROUP, GROUP_NAME, IMAGE = "rlnOpticsGroup", "rlnOpticsGroupName", "rlnImageName"
PICK_ID, INSTANCE_ID, IS_ORIENTED = "napariCryoetPickId", "napariCryoetInstanceId", "napariCryoetIsOriented"
OF_IMAGES: Final = (*SHIFTS, *SUBTOMOGRAM_ANGLES)
#: Columns that are true of one particle's image, and not of a copy of the particle.
OF_ONE_PARTICLE: Final = (*OF_IMAGES, IMAGE, "rlnTomoParticleName")
_OWN: Final = frozenset(
    {*CENTRED, *PIXELS, *SHIFTS_OF_3_0, *ANGLES, *SIZES, *PIXEL_SIZES, *OF_IMAGES}
    | {GROUP, PICK_ID, INSTANCE_ID, IS_ORIENTED}
)
#: Under this key `about` has the optics groups and the general block of the file.
PROJECT: Final = "relion"
_OTHER_PROGRAMS: Final = {"wrpCoordinateX1": "M", "orig_x": "STOPGAP"}

#: starfile takes quadratic time for wide tables, and RELION has some 400 labels.
_MAX_LABELS: Final = 2_000
_NOTES: Final = "# napari-cryoet "
_NOTES_LINES: Final = 50
_FILE_VERSIONS: Final = {"relion3": 30001, "relion4": 30001, "relion5": 50001}
#: What every STAR reader takes for one word.
_WORD: Final = re.compile(r"(?!(?i:nan)$)[A-Za-z0-9._/@:+\-\[\](),=]+")
_FARTHEST_SHIFT_ANGSTROM: Final = 1e6


def holds(_path: Path, head: bytes) -> bool:
    """Whether a file starts with a block, after nothing but comments."""
    lines = (line.strip() for line in head.removeprefix(b"\xef\xbb\xbf").splitlines())
    return next((line.startswith(b"data_") for line in lines if line and not line.startswith(b"#")), False)


def read_notes(path: Path) -> Notes | None:
    """The notes of an export of ours, from its comment."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for _, line in zip(range(_NOTES_LINES), file, strict=False):
            if line.startswith(_NOTES):
                return parse(line.removeprefix(_NOTES))
    return None


def read(path: Path, context: Context, notes: Notes) -> Picks:
    """The picks of one tomogram.

    Positions are counted in voxels of the context's spacing; without one, in the file's own pixels.

    Raises
    ------
    FormatError
        If it is no STAR file of positions in a volume.
    MissingContextError
        If positions need the tomogram's size or spacing, or several tomograms are there and none was chosen.
    """
    texts = {name for name, kind in notes.columns.items() if kind == "text"}
    texts |= {label for label, name in notes.star_names.items() if name in texts}
    blocks = _read_blocks(path, texts)
    table = _particles_of(path, blocks)
    name_label = next((label for label in TOMOGRAM_NAMES if label in table), None)
    names = [] if name_label is None else table[name_label].astype(str).tolist()
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if name_label is not None:
        table = table[np.array(names, dtype=object) == tomogram]
    optics, project = _optics_of(blocks), _project_of(blocks)
    particles = _Particles(path, table, optics, _tomogram_beside(path, tomogram), context)
    points_xyz, spacing = particles.positions()
    score = next((label for label in SCORES if label in table), None)
    is_group_kept = project is not None or (optics is None and GROUP in table and table[GROUP].nunique() > 1)
    left_out = {*_OWN, name_label, score} - {*OF_IMAGES, *[GROUP] * is_group_kept}
    features = {label: _as_column(table[label]) for label in table if label not in left_out}
    for label in notes.star_encoded:
        if label in features:
            features[label] = as_texts([unquote(str(text)) for text in features[label].tolist()])
    return picks_of_file(
        path,
        rows=(table.index + 1).tolist(),
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing,
        rotations_zyx=particles.rotations_zyx(),
        scores=None if score is None else particles.numbers(score),
        instance_ids=particles.whole(INSTANCE_ID, NO_INSTANCE),
        ids=particles.whole(PICK_ID),
        features=_renamed(features, notes.star_names),
        shape_zyx=context.shape_zyx if spacing == context.spacing_angstrom else None,
        about={"tomogram_name": tomogram, PROJECT: project, "warnings": particles.warnings},
    )


def missing_for(picks: Picks, version: Version) -> tuple[Missing, ...]:
    """What a version needs to know of the picks' volume, and doesn't."""
    needed: tuple[Missing, ...] = ("spacing_angstrom", "shape_zyx")
    count = {"relion3": 0, "relion4": 1, "relion5": 2}[version]
    return tuple(name for name in needed[:count] if getattr(picks, name) is None)


def losses(picks: Picks, version: Version) -> list[str]:
    """What a file can't hold."""
    said = rotation_losses(picks)
    name, written = _given_name(picks), _tomogram_name(picks)
    if name != written:
        why = f"{name!r} is no word that the file can have" if name else "Nothing says what the tomogram is called"
        said.append(f"{why}; it is called {written!r} there.")
    if _groups_of_source(picks) is None and (_source_optics(picks) or GROUP in picks.features):
        said.append("The picks' optics groups aren't known; all are written as one new group.")
    images = picks.features.get(IMAGE)
    n_without = 0 if images is None else sum(map(is_missing, images.tolist()))
    if 0 < n_without < len(picks):
        said.append(f"{n_without:,} of the picks have no image ({IMAGE}): extract the particles anew in RELION.")
    if images is not None and n_without < len(picks) and are_moved(picks.edits):
        said.append(f"Moved picks keep the image ({IMAGE}) of their old place: extract the particles anew in RELION.")
    columns = {label: picks.features[label] for label in OF_IMAGES if label in picks.features}
    told = _Images(picks, version).columns
    untold = [
        label
        for label, column in columns.items()
        if label not in told and column.dtype.kind in "iuf" and np.nan_to_num(column).any()
    ]
    if untold:
        said.append(f"RELION isn't told how images were cut out ({listed(untold)}): extract the particles anew.")
    return said


def write(picks: Picks, path: Path, notes: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """Write ``optics`` and ``particles``, and the general block of the source's project, with all digits."""
    import pandas as pd
    import starfile

    images = _Images(picks, version)
    optics, groups = _optics_to_write(picks, version)
    columns: dict[str, Any] = _positions_to_write(picks, version, images, optics, groups)
    columns[TOMOGRAM_NAMES[version == "relion3"]] = np.full(len(picks), _tomogram_name(picks), dtype=object)
    columns |= _angles_to_write(picks, images) | images.columns | {GROUP: groups, PICK_ID: picks.ids}
    if picks.scores is not None:
        columns[SCORES[0]] = picks.scores
    if picks.instance_ids is not None:
        columns[INSTANCE_ID] = picks.instance_ids
    further = {name: column for name, column in picks.features.items() if name not in columns}
    labels = _labels_of(further)
    encoded = [label for label, name in labels.items() if _needs_encoding(further[name])]
    columns |= {label: _as_words(further[name], encode=label in encoded) for label, name in labels.items()}
    general = _source_project(picks).get("general")
    blocks: dict[str, Any] = {"general": general} if isinstance(general, dict) and general else {}
    blocks |= {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(columns)}
    text = starfile.to_string(blocks, float_format=None, na_rep="nan")
    text = text.replace("\ndata_", f"\n# version {_FILE_VERSIONS[version]}\n\ndata_")
    renamed = {label: name for label, name in labels.items() if label != name}
    comment = as_json(dict(notes) | {"star_names": renamed, "star_encoded": encoded})
    # RELION finds "data_" and "# version" also in a comment, and Python's linecache, which starfile uses, an encoding
    for word in ("_", "# version", "coding"):
        comment = comment.replace(word, f"\\u{ord(word[0]):04x}{word[1:]}")
    path.write_text(f"{_NOTES}{comment}\n{text}", encoding="utf-8")
    return {}


# reading


def _read_blocks(path: Path, texts: set[str]) -> dict[str, Any]:
    """All blocks: tables as data frames, facts as dicts."""
    import starfile

    as_text = [label for label in _checked_labels(path) if "Name" in label or label in texts]
    linecache.checkcache(str(path))  # starfile leaves a file there that it couldn't parse
    try:
        blocks: dict[str, Any] = starfile.read(path, always_dict=True, parse_as_string=as_text)
    except (ValueError, TypeError, IndexError, OSError) as error:
        raise FormatError(
            f"{path.name} is no STAR file that can be read ({brief(error)}).",
            hint="Each row needs one value for each label.",
        ) from error
    for name, block in blocks.items():
        if not isinstance(block, dict) and not block.columns.is_unique:
            raise FormatError(f"{path.name}: its block {name!r} has a label twice.")
    return blocks


def _checked_labels(path: Path) -> set[str]:
    """The labels of all blocks; FormatError if they are too many, or a row lacks values."""
    labels: set[str] = set()
    n_labels = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                text = line.strip()
                if text.startswith("_"):
                    n_labels += 1
                    labels.add(text.split()[0][1:])
                    if n_labels > _MAX_LABELS:
                        raise FormatError(f"{path.name} has a block of more than {_MAX_LABELS:,} labels.")
                elif text.startswith(("data_", "loop_")):
                    n_labels = 0
                elif text and not text.startswith("#") and len(text.split()) < n_labels:  # pandas would fill it up
                    raise FormatError(f"{path.name}, line {number}: the row has fewer values than there are labels.")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} isn't UTF-8 text.", hint="Save it with the encoding UTF-8.") from error
    return labels


def _table(block: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([block]) if isinstance(block, dict) else block


def _particles_of(path: Path, blocks: Mapping[str, Any]) -> pd.DataFrame:
    found = [block for block in blocks.values() if _has(block, PIXELS) or _has(block, CENTRED)]
    if len(found) == 1:
        return _table(found[0])
    if found:
        raise FormatError(f"{path.name} has positions in {len(found)} blocks.", hint="Put them into one block.")
    labels = {label for block in blocks.values() for label in block}
    program = next((name for label, name in _OTHER_PROGRAMS.items() if label in labels), None)
    named = [_table(block)["rlnTomoParticlesFile"] for block in blocks.values() if "rlnTomoParticlesFile" in block]
    hint = "Choose the file of particles, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst."
    if program:
        hint = f"It is a file of {program}: convert it to one of RELION."
    elif named and len(named[0]):
        hint = f"Choose the file of particles that it names ({shortened(named[0].iloc[0])})."
    raise FormatError(f"{path.name} holds no positions of particles in a volume.", hint=hint)


def _optics_of(blocks: Mapping[str, Any]) -> pd.DataFrame | None:
    return _table(blocks["optics"]) if "optics" in blocks and len(blocks["optics"]) else None


def _project_of(blocks: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a RELION project has beside its particles; None if that is no more than we write."""
    optics, general = _optics_of(blocks), blocks.get("general")
    general = general if isinstance(general, dict) else {}
    is_plain = optics is None or (len(optics) == 1 and set(optics) <= {GROUP, GROUP_NAME, *PIXEL_SIZES})
    if is_plain and not general:
        return None
    return {"optics": [] if optics is None else optics.to_dict("records"), "general": general}


def _tomogram_beside(path: Path, tomogram: str | None) -> dict[str, Any]:
    """What ``tomograms.star`` beside a file of particles says of a tomogram; empty if there is no such thing."""
    beside = path.with_name("tomograms.star")
    if tomogram is None or beside == path or not beside.is_file():
        return {}
    try:
        tables = [_table(block) for block in _read_blocks(beside, set()).values() if TOMOGRAM_NAMES[0] in block]
    except FormatError:
        return {}
    rows = (row for table in tables for row in table.to_dict("records"))
    return next((row for row in rows if str(row[TOMOGRAM_NAMES[0]]) == tomogram), {})


def _has(block: Any, labels: tuple[str, ...]) -> bool:
    return all(label in block for label in labels)


def _as_column(series: pd.Series) -> NDArray[Any]:
    column: NDArray[Any] = series.to_numpy()
    return np.array(column) if column.dtype.kind in "iufb" else as_texts(column.tolist())


def _renamed(features: Mapping[str, NDArray[Any]], names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Columns under the names that they had before they were written."""
    found: dict[str, NDArray[Any]] = {}
    for label, column in features.items():
        name = names.get(label, label)
        is_taken = name in found or (name != label and name in features and name not in names)
        found[label if is_taken else name] = column
    return found


class _Particles:
    """The rows of one tomogram with what is known of it."""

    def __init__(
        self,
        path: Path,
        table: pd.DataFrame,
        optics: pd.DataFrame | None,
        tomogram: Mapping[str, Any],
        context: Context,
    ) -> None:
        self._path, self._table, self._optics, self._tomogram, self._context = path, table, optics, tomogram, context
        self.warnings: list[str] = []

    def positions(self) -> tuple[NDArray[np.float64], float | None]:
        """Positions in voxels, x, y, z, after shifts; and the voxel size if it is known."""
        pixel, wanted = self._pixel_angstrom(), self._context.spacing_angstrom
        own = None if pixel is None or not len(pixel) else float(pixel[0])
        spacing = wanted if wanted is not None else own
        centre = self._centre_angstrom(pixel) if _has(self._table, CENTRED) else None
        shifts = self._shifts_angstrom()
        if centre is not None and spacing is not None:
            return (self._triple(CENTRED) + centre - shifts) / spacing, spacing
        if not _has(self._table, PIXELS):
            raise self._missing_centre()
        if _has(self._table, CENTRED):
            self.warnings.append("Its positions in pixels were taken: those from the centre need the tomogram's size.")
        in_pixels = self._triple(PIXELS)
        if pixel is not None and spacing is not None:
            return (in_pixels * pixel[:, None] - shifts) / spacing, spacing
        if spacing is None and shifts.any():
            raise MissingContextError(
                f"{self._path.name} shifts its positions by ångström, but doesn't say how wide its pixels are.",
                hint="Give the voxel spacing of the tomogram.",
                missing=("spacing_angstrom",),
            )
        return in_pixels - shifts / (spacing or 1.0), spacing

    def rotations_zyx(self) -> NDArray[np.float64] | None:
        """Active matrices; None if the file has no angles."""
        given = [
            matrices for labels in (SUBTOMOGRAM_ANGLES, ANGLES) if (matrices := self._matrices(labels)) is not None
        ]
        if not given:
            return None
        rotations = given[0] if len(given) == 1 else given[0] @ given[1]
        are_oriented = self.whole(IS_ORIENTED, 1)
        if are_oriented is not None:
            rotations[are_oriented == 0] = np.nan
        return rotations[:, ::-1, ::-1]

    def numbers(self, label: str) -> NDArray[np.float64]:
        """A column as numbers."""
        return numbers_of(self._path, label, self._table[label])

    def whole(self, label: str, missing: int | None = None) -> NDArray[np.int64] | None:
        """A column as whole numbers; None if there is none."""
        return whole_numbers_of(self._path, label, self._table[label], missing) if label in self._table else None

    def _centre_angstrom(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """Half the tomogram's size in x, y, z, as the file says it, else as the caller does."""
        context = self._context
        if pixel is not None and _has(self._table, SIZES):
            return self._triple(SIZES) * pixel[:, None] / 2
        if pixel is not None and _has(self._tomogram, SIZES):
            return np.array([float(self._tomogram[label]) for label in SIZES]) * pixel[:, None] / 2
        if context.shape_zyx is not None and context.spacing_angstrom is not None:
            return np.array(context.shape_zyx[::-1]) * context.spacing_angstrom / 2
        return None

    def _missing_centre(self) -> MissingContextError:
        words: dict[Missing, str] = {"spacing_angstrom": "voxel spacing", "shape_zyx": "size in voxels"}
        missing = tuple(name for name in words if getattr(self._context, name) is None)
        what = " and ".join(words[name] for name in missing)
        return MissingContextError(
            f"{self._path.name} counts from the centre of the tomogram, but doesn't say how large the tomogram is.",
            hint=f"Give the tomogram's {what}, or put its tomograms.star beside the file.",
            missing=missing,
        )

    def _pixel_angstrom(self) -> NDArray[np.float64] | None:
        """The width of the pixels in which each row counts."""
        for label in PIXEL_SIZES:
            values = self._by_group(label)
            if values is None and label in self._tomogram:
                values = np.full(len(self._table), float(self._tomogram[label]))
            if values is not None and (np.isfinite(values) & (values > 0)).all():
                return values
            if values is not None:
                self.warnings.append(f"{label} isn't always a width, and was left out.")
        return None

    def _by_group(self, label: str) -> NDArray[np.float64] | None:
        """A column, or what the optics groups say of each row."""
        optics = self._optics
        if label in self._table:
            return self.numbers(label)
        if optics is None or label not in optics:
            return None
        widths = numbers_of(self._path, label, optics[label]).tolist()
        if len(set(widths)) == 1:
            return np.full(len(self._table), widths[0])
        if GROUP not in optics or GROUP not in self._table:
            self.warnings.append(f"The optics groups differ in {label}, and particles have no {GROUP}.")
            return None
        of_group = dict(zip(numbers_of(self._path, GROUP, optics[GROUP]).tolist(), widths, strict=True))
        groups = self.numbers(GROUP).tolist()
        lost = sorted({f"{group:g}" for group in groups if group not in of_group})
        if lost:
            raise FormatError(f"{self._path.name}: its optics table has no group {listed(lost)}.")
        return np.array([of_group[group] for group in groups], dtype=np.float64)

    def _shifts_angstrom(self) -> NDArray[np.float64]:
        """What is subtracted from positions, in the tomogram's axes."""
        if self._any(SHIFTS_OF_3_0) and not self._any(SHIFTS) and self._triple(SHIFTS_OF_3_0, 0.0).any():
            raise FormatError(
                f"{self._path.name} shifts its positions by pixels of images, as RELION 3.0 does.",
                hint="Convert it with relion_convert_star, which writes shifts in ångström.",
            )
        shifts, subtomogram = self._triple(SHIFTS, 0.0), self._matrices(SUBTOMOGRAM_ANGLES)
        return shifts if subtomogram is None else np.einsum("nij,nj->ni", subtomogram, shifts)

    def _any(self, labels: tuple[str, ...]) -> bool:
        return any(label in self._table for label in labels)

    def _matrices(self, labels: tuple[str, ...]) -> NDArray[np.float64] | None:
        return matrices_of(self._triple(labels, 0.0), "relion") if self._any(labels) else None

    def _triple(self, labels: tuple[str, ...], missing: float = math.nan) -> NDArray[np.float64]:
        nothing = np.full(len(self._table), missing)
        return np.stack([self.numbers(label) if label in self._table else nothing for label in labels], axis=1)


# writing


class _Images:
    """How the picks' images lie beside the particles, as far as a version can be told.

    Attributes
    ----------
    columns
        What is written of it, by label.
    beside_xyz_angstrom
        How far from the particle each was cut out, in the tomogram's axes; None if there are no shifts.
    matrices_xyz
        How each is turned in the tomogram; None if they aren't.
    """

    def __init__(self, picks: Picks, version: Version) -> None:
        self.columns: dict[str, NDArray[np.float64]] = {}
        self.beside_xyz_angstrom: NDArray[np.float64] | None = None
        self.matrices_xyz: NDArray[np.float64] | None = None
        shifts, angles = (_triple_of(picks, labels) for labels in (SHIFTS, SUBTOMOGRAM_ANGLES))
        if angles is not None and (version == "relion3" or not picks.are_oriented.any()):  # 3.1 has no such angles
            return
        if shifts is not None and picks.spacing_angstrom is None and shifts.any():
            shifts = None
        for labels, values in ((SHIFTS, shifts), (SUBTOMOGRAM_ANGLES, angles)):
            if values is not None:
                self.columns |= {label: values[:, axis] for axis, label in enumerate(labels) if label in picks.features}
        self.matrices_xyz = None if angles is None else matrices_of(angles, "relion")
        self.beside_xyz_angstrom = shifts
        if shifts is not None and self.matrices_xyz is not None:
            self.beside_xyz_angstrom = np.einsum("nij,nj->ni", self.matrices_xyz, shifts)


def _triple_of(picks: Picks, labels: tuple[str, ...]) -> NDArray[np.float64] | None:
    """Three columns of numbers, 0 where nothing is said; None if there are none, or they can't be meant so."""
    given = [picks.features[label] for label in labels if label in picks.features]
    if not given or any(column.dtype.kind not in "iuf" for column in given):
        return None
    columns = [np.asarray(picks.features.get(label, np.zeros(len(picks))), dtype=np.float64) for label in labels]
    values = np.nan_to_num(np.stack(columns, axis=1), posinf=math.inf, neginf=math.inf)
    return values if np.abs(values).max(initial=0.0) < _FARTHEST_SHIFT_ANGSTROM else None


def _positions_to_write(
    picks: Picks, version: Version, images: _Images, optics: list[dict[str, Any]], groups: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Positions come first: a line that starts with a number can't be taken for the start of a block."""
    spacing, points_xyz = picks.spacing_angstrom, picks.points_xyz
    if spacing is not None and images.beside_xyz_angstrom is not None:
        points_xyz = points_xyz + images.beside_xyz_angstrom / spacing
    if version == "relion5":
        assert spacing is not None and picks.shape_zyx is not None  # noqa: S101, PT018 - see `missing_for`
        points_xyz = (points_xyz - np.array(picks.shape_zyx[::-1]) / 2) * spacing
        return dict(zip(CENTRED, points_xyz.T, strict=True))
    if spacing is not None:
        of_group = {row[GROUP]: float(row[PIXEL_SIZES[version == "relion3"]]) for row in optics}
        pixels = np.array([of_group[group] for group in groups.tolist()], dtype=np.float64)
        points_xyz = points_xyz * (spacing / pixels)[:, None]
    return dict(zip(PIXELS, points_xyz.T, strict=True))


def _angles_to_write(picks: Picks, images: _Images) -> dict[str, Any]:
    known = known_rotations(picks)
    if known is None:
        return {}
    matrices, are_known = known
    if images.matrices_xyz is not None:
        matrices = np.swapaxes(images.matrices_xyz, 1, 2) @ matrices
    columns: dict[str, Any] = dict(zip(ANGLES, angles_of(matrices, "relion").T, strict=True))
    return columns if are_known.all() else columns | {IS_ORIENTED: are_known.astype(int)}


def _optics_to_write(picks: Picks, version: Version) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """The rows of the optics table with the width of a pixel, and the group of each pick."""
    label, groups, spacing = PIXEL_SIZES[version == "relion3"], _groups_of_source(picks), picks.spacing_angstrom
    rows = [{GROUP: 1, GROUP_NAME: "opticsGroup1"}] if groups is None else _source_optics(picks)
    if spacing is not None:
        rows = [{**row, label: row.get(PIXEL_SIZES[0], row.get(label, spacing))} for row in rows]
    return rows, np.ones(len(picks), dtype=np.int64) if groups is None else groups


def _groups_of_source(picks: Picks) -> NDArray[np.int64] | None:
    """The picks' optics groups in the project that they come from; None if some aren't known."""
    known, column = [row[GROUP] for row in _source_optics(picks)], picks.features.get(GROUP)
    if len(known) == 1:  # also of picks that were added
        return np.full(len(picks), known[0])
    if column is None or column.dtype.kind not in "if":
        return None
    given = np.unique(column[np.isfinite(column)])
    if not np.isin(given, known).all() or (np.isnan(column).any() and len(given) != 1):
        return None
    return np.where(np.isfinite(column), column, given[:1].sum()).astype(np.int64)


def _source_optics(picks: Picks) -> list[dict[str, Any]]:
    """The optics table of the project that picks come from; empty if it can't be used."""
    try:
        return [{**row, GROUP: int(row[GROUP])} for row in _source_project(picks).get("optics", ())]
    except (KeyError, TypeError, ValueError):
        return []


def _source_project(picks: Picks) -> Mapping[str, Any]:
    """What `_project_of` gave; provenance that went through a file can be anything."""
    project = picks.about.get(PROJECT)
    return project if isinstance(project, Mapping) else {}


def _given_name(picks: Picks) -> str:
    return str(picks.about.get("tomogram_name") or picks.about.get("run_name") or "")


def _tomogram_name(picks: Picks) -> str:
    """What the tomogram is called, as one word."""
    name = _given_name(picks)
    return name if _WORD.fullmatch(name) else re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "tomogram"


def _labels_of(features: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """The label of each further column: its own name if that can be one and is free."""
    has_angles = not {*SUBTOMOGRAM_ANGLES}.isdisjoint(features)
    taken = {*_OWN, *SCORES, *TOMOGRAM_NAMES, *(PRIORS if has_angles else ())}
    labels: dict[str, str] = {}
    for number, name in enumerate(features):
        label = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not label or label in taken or label in labels or label.startswith(("_", "napariCryoetColumn")):
            label = f"napariCryoetColumn{number}"
        labels[label] = name
    return labels


def _needs_encoding(column: NDArray[Any]) -> bool:
    is_text = column.dtype.kind not in "iufb"
    return is_text and not all(_WORD.fullmatch(text) for text in set(map(str, column.tolist())) if text)


def _as_words(column: NDArray[Any], *, encode: bool) -> NDArray[Any]:
    if column.dtype.kind in "biuf":
        return column.astype(int) if column.dtype.kind == "b" else column
    return np.array([quote(str(text), safe="/@:+") if encode else str(text) for text in column.tolist()], dtype=object)
