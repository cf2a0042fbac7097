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

RELION keeps labels that it doesn't know; ours start with ``napariCryoet``.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.files import brief
from napari_cryoet.formats.common import (
    Context,
    as_texts,
    choose_tomogram,
    column_of,
    known_rotations,
    listed,
    numbers_of,
    picks_of_file,
    rotation_losses,
    whole_numbers_of,
)
from napari_cryoet.formats.eulers import angles_of, matrices_of
from napari_cryoet.picks import NO_INSTANCE, Picks

if TYPE_CHECKING:
    import pandas as pd

Version = Literal["relion5", "relion4", "relion3"]

_CENTRED: Final = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
_PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
_SHIFTS: Final = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
_SHIFTS_OF_3_0: Final = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
_SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
_ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
_PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")
_TOMOGRAM_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
#: The first that a file has is the score: RELION's own, then those of pytom-match-pick.
_SCORES: Final = ("rlnAutopickFigureOfMerit", "rlnLCCmax", "ptmLCCmax")
_GROUP, _GROUP_NAME = "rlnOpticsGroup", "rlnOpticsGroupName"
_PICK_ID, _INSTANCE_ID, _IS_ORIENTED = "napariCryoetPickId", "napariCryoetInstanceId", "napariCryoetIsOriented"
_OF_IMAGES: Final = (*_SHIFTS, *_SUBTOMOGRAM_ANGLES)
#: Columns that are true of one particle's image, and not of a copy of the particle.
OF_ONE_PARTICLE: Final = (*_OF_IMAGES, "rlnImageName", "rlnTomoParticleName")
_OWN: Final = frozenset(
    {*_CENTRED, *_PIXELS, *_SHIFTS_OF_3_0, *_ANGLES, *_SIZES, *_PIXEL_SIZES}
    | {*_TOMOGRAM_NAMES, _PICK_ID, _INSTANCE_ID, _IS_ORIENTED}
)
#: Under this key `about` has the optics groups and the general block of the file.
_PROJECT: Final = "relion"

#: starfile takes quadratic time for wide tables, and RELION has some 400 labels.
_MAX_LABELS: Final = 2_000
_FILE_VERSIONS: Final = {"relion3": 30001, "relion4": 30001, "relion5": 50001}
#: What every STAR reader takes for one word.
_WORD: Final = re.compile(r"[A-Za-z0-9._/@:+\-\[\](),=]+")
#: How labels of columns start whose names or texts aren't words: both are percent-encoded then.
_ENCODED: Final = "napariCryoet:"


def read(path: Path, context: Context) -> Picks:
    """The picks of one tomogram.

    Positions are counted in the file's own pixels; where it doesn't say how wide these are, in voxels of the context.

    Raises
    ------
    FormatError
        If it is no STAR file of positions in a volume.
    MissingContextError
        If positions need the tomogram's size or spacing, or several tomograms are there and none was chosen.
    """
    blocks = _read_blocks(path)
    table = next((block for block in blocks.values() if _has(block, _PIXELS) or _has(block, _CENTRED)), None)
    if table is None:
        raise FormatError(
            f"{path.name} holds no positions of particles in a volume.",
            hint="Choose the file of particles, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.",
        )
    name_label = next((label for label in _TOMOGRAM_NAMES if label in table), None)
    names = [] if name_label is None else table[name_label].astype(str).tolist()
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if name_label is not None:
        table = table[np.array(names, dtype=object) == tomogram]
    particles = _Particles(path, table, blocks.get("optics"), _tomogram_beside(path, tomogram), context)
    points_xyz, spacing = particles.positions()
    score = next((label for label in _SCORES if label in table), None)
    left_out = {*_OWN, score} | ({_GROUP} if _GROUP in table and table[_GROUP].nunique() == 1 else set())
    return picks_of_file(
        path,
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing,
        rotations_zyx=particles.rotations_zyx(),
        scores=None if score is None else numbers_of(path, score, table[score]),
        instance_ids=particles.whole(_INSTANCE_ID, NO_INSTANCE),
        ids=particles.whole(_PICK_ID),
        features=dict(_feature(label, table[label]) for label in table if label not in left_out),
        about={"tomogram_name": tomogram, _PROJECT: _project_of(blocks)},
    )


def losses(picks: Picks, version: Version) -> list[str]:
    """What a file can't hold."""
    said = rotation_losses(picks)
    name, written = _given_name(picks), _tomogram_name(picks)
    if name != written:
        why = f"{name!r} is no word that the file can have" if name else "Nothing says what the tomogram is called"
        said.append(f"{why}; it is called {written!r} there.")
    images = [label for label in _OF_IMAGES if label in picks.features]
    if version == "relion3" and images:
        said.append(f"{listed(images)} become part of positions and angles: extract the particles anew.")
    return said


def write(picks: Picks, path: Path, version: Version) -> None:
    """Write ``optics`` and ``particles``, and the general block of the source's project, with all digits."""
    import pandas as pd
    import starfile

    optics, groups = _optics_to_write(picks, _PIXEL_SIZES[version == "relion3"])
    columns = _particles_to_write(picks, version, optics, groups)
    columns[_TOMOGRAM_NAMES[version == "relion3"]] = np.full(len(picks), _tomogram_name(picks), dtype=object)
    columns |= {_GROUP: groups, _PICK_ID: picks.ids}
    if picks.scores is not None:
        columns[_SCORES[0]] = picks.scores
    if picks.instance_ids is not None:
        columns[_INSTANCE_ID] = picks.instance_ids
    taken = {*columns, *_OWN, *_SCORES, *_OF_IMAGES}
    for name, column in picks.features.items():
        if name not in columns and not (version == "relion3" and name in _OF_IMAGES):
            columns |= [_as_labelled(name, column, is_taken=name in taken)]
    general = _source_project(picks).get("general")
    blocks: dict[str, Any] = {"general": general} if isinstance(general, dict) and general else {}
    blocks |= {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(columns)}
    text = starfile.to_string(blocks, float_format=None, na_rep="nan")
    path.write_text(text.replace("\ndata_", f"\n# version {_FILE_VERSIONS[version]}\n\ndata_"), encoding="utf-8")


# reading


def _read_blocks(path: Path) -> dict[str, pd.DataFrame]:
    """All blocks as tables; facts are tables of one row."""
    import pandas as pd
    import starfile

    names = [label for label in _checked_labels(path) if "Name" in label]
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=names)
    except (ValueError, TypeError, IndexError, OSError) as error:
        linecache.clearcache()  # starfile leaves a file there that it couldn't parse
        raise FormatError(
            f"{path.name} is no STAR file that can be read ({brief(error)}).",
            hint="Each row needs one value for each label.",
        ) from error
    return {name: pd.DataFrame([block]) if isinstance(block, dict) else block for name, block in blocks.items()}


def _checked_labels(path: Path) -> set[str]:
    """The labels of all blocks; FormatError if they are too many, or a row lacks values, which pandas would fill up."""
    labels: set[str] = set()
    n_labels = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if line.startswith(("data_", "loop_")):
                    n_labels = 0
                elif line.startswith("_"):
                    n_labels += 1
                    labels.add(words[0][1:])
                    if n_labels > _MAX_LABELS:
                        raise FormatError(f"{path.name} has a block of more than {_MAX_LABELS:,} labels.")
                elif words and not line.startswith("#") and len(words) < n_labels:
                    raise FormatError(f"{path.name}, line {number}: the row has fewer values than there are labels.")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} isn't UTF-8 text.", hint="Save it with the encoding UTF-8.") from error
    return labels


def _project_of(blocks: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What a RELION project has beside its particles."""
    optics, general = (blocks[name].to_dict("records") if name in blocks else [] for name in ("optics", "general"))
    return {"optics": optics, "general": general[0] if general else {}}


def _tomogram_beside(path: Path, tomogram: str | None) -> dict[str, Any]:
    """What ``tomograms.star`` beside a file of particles says of a tomogram; empty if there is no such thing."""
    beside = path.with_name("tomograms.star")
    if tomogram is None or beside == path or not beside.is_file():
        return {}
    tables = [block for block in _read_blocks(beside).values() if _TOMOGRAM_NAMES[0] in block]
    rows = (row for table in tables for row in table.to_dict("records"))
    return next((row for row in rows if str(row[_TOMOGRAM_NAMES[0]]) == tomogram), {})


def _has(block: Any, labels: tuple[str, ...]) -> bool:
    return all(label in block for label in labels)


def _feature(label: str, series: pd.Series) -> tuple[str, NDArray[Any]]:
    """A further column with its name."""
    column = column_of(series)
    if not label.startswith(_ENCODED):
        return label, column
    if column.dtype.kind == "O":
        column = as_texts([unquote(text) for text in column.tolist()])
    return unquote(label.removeprefix(_ENCODED)), column


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

    def positions(self) -> tuple[NDArray[np.float64], float | None]:
        """Positions in voxels, x, y, z, after shifts; and the voxel size if it is known."""
        pixels = next((widths for label in _PIXEL_SIZES if (widths := self._said(label)) is not None), None)
        if pixels is not None and not (np.isfinite(pixels) & (pixels > 0)).all():
            raise FormatError(f"{self._path.name} doesn't say of all particles how wide their pixels are.")
        spacing = float(pixels[0]) if pixels is not None and len(pixels) else self._context.spacing_angstrom
        widths = np.full(len(self._table), spacing or 1.0) if pixels is None else pixels
        size_xyz, shifts = self._size_angstrom(widths), self._shifts_angstrom()
        if _has(self._table, _CENTRED) and size_xyz is not None and spacing is not None:
            return (self._triple(_CENTRED) + size_xyz / 2 - shifts) / spacing, spacing
        if not _has(self._table, _PIXELS):
            said = "counts from the centre of the tomogram, but doesn't say how large the tomogram is"
            raise self._missing(said, "spacing_angstrom", "shape_zyx")
        if spacing is None and shifts.any():
            raise self._missing("shifts positions by ångström, but doesn't say how wide pixels are", "spacing_angstrom")
        return (self._triple(_PIXELS) * widths[:, None] - shifts) / (spacing or 1.0), spacing

    def rotations_zyx(self) -> NDArray[np.float64] | None:
        """Active matrices; None if the file has no angles."""
        if not any(label in self._table for label in (*_SUBTOMOGRAM_ANGLES, *_ANGLES)):
            return None
        rotations = self._matrices(_SUBTOMOGRAM_ANGLES) @ self._matrices(_ANGLES)
        are_oriented = self.whole(_IS_ORIENTED, 1)
        if are_oriented is not None:
            rotations[are_oriented == 0] = np.nan
        return rotations[:, ::-1, ::-1]

    def whole(self, label: str, missing: int | None = None) -> NDArray[np.int64] | None:
        """A column as whole numbers; None if there is none."""
        return whole_numbers_of(self._path, label, self._table[label], missing) if label in self._table else None

    def _said(self, label: str) -> NDArray[np.float64] | None:
        """What is said of each particle: by itself, by its optics group, or by the tomogram."""
        optics = self._optics
        if label in self._table:
            return numbers_of(self._path, label, self._table[label])
        if optics is not None and label in optics and len(optics):
            of_rows = optics[label].iloc[[0] * len(self._table)]
            if optics[label].nunique() > 1 and _GROUP in optics and _GROUP in self._table:
                of_rows = self._table[_GROUP].map(dict(zip(optics[_GROUP], optics[label], strict=True)))
            return numbers_of(self._path, label, of_rows)
        return np.full(len(self._table), float(self._tomogram[label])) if label in self._tomogram else None

    def _size_angstrom(self, pixels: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The tomogram's size along x, y, z, as the file says it, else as the caller does."""
        sizes = [self._said(label) for label in _SIZES]
        known = [each for each in sizes if each is not None]
        if len(known) == len(sizes):
            sizes_xyz: NDArray[np.float64] = np.stack(known, axis=1)
            return sizes_xyz * pixels[:, None]
        if self._context.shape_zyx is None or self._context.spacing_angstrom is None:
            return None
        return np.array(self._context.shape_zyx[::-1]) * self._context.spacing_angstrom

    def _missing(self, said: str, *names: Literal["spacing_angstrom", "shape_zyx"]) -> MissingContextError:
        missing = tuple(name for name in names if getattr(self._context, name) is None)
        words = {"spacing_angstrom": "voxel spacing", "shape_zyx": "size in voxels"}
        beside = ", or put its tomograms.star beside the file" if "shape_zyx" in names else ""
        return MissingContextError(
            f"{self._path.name} {said}.",
            hint=f"Give the tomogram's {' and '.join(words[name] for name in missing)}{beside}.",
            missing=missing,
        )

    def _shifts_angstrom(self) -> NDArray[np.float64]:
        """What is subtracted from positions, in the tomogram's axes."""
        if self._triple(_SHIFTS_OF_3_0, 0.0).any():
            raise FormatError(
                f"{self._path.name} shifts its positions by pixels of images, as RELION 3.0 does.",
                hint="Convert it with relion_convert_star, which writes shifts in ångström.",
            )
        turned = self._matrices(_SUBTOMOGRAM_ANGLES) @ self._triple(_SHIFTS, 0.0)[:, :, None]
        return turned[:, :, 0]

    def _matrices(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        return matrices_of(self._triple(labels, 0.0), "relion")

    def _triple(self, labels: tuple[str, ...], missing: float = np.nan) -> NDArray[np.float64]:
        nothing = np.full(len(self._table), missing)
        columns = [
            numbers_of(self._path, label, self._table[label]) if label in self._table else nothing for label in labels
        ]
        return np.stack(columns, axis=1)


# writing


def _particles_to_write(
    picks: Picks, version: Version, optics: list[dict[str, Any]], groups: NDArray[np.int64]
) -> dict[str, Any]:
    """Positions and angles, beside the shifts and angles of the particles' images if the version has any.

    Positions come first: a line that starts with a number can't be taken for the start of a block.
    """
    points_xyz, spacing, known = picks.points_xyz, picks.spacing_angstrom, known_rotations(picks)
    has_images = version != "relion3"
    angles = _triple_of(picks, _SUBTOMOGRAM_ANGLES if has_images and known is not None else ())
    shifts = _triple_of(picks, _SHIFTS if has_images else ())
    turns = matrices_of(angles, "relion")
    columns: dict[str, Any] = {}
    if spacing is not None:
        points_xyz = points_xyz + (turns @ shifts[:, :, None])[:, :, 0] / spacing
        of_group = {row[_GROUP]: float(row[_PIXEL_SIZES[not has_images]]) for row in optics}
        pixels = np.array([of_group[group] for group in groups.tolist()], dtype=np.float64)[:, None]
    if version == "relion5":
        assert spacing is not None and picks.shape_zyx is not None  # noqa: S101, PT018 - see `registry.missing_for`
        points_xyz = (points_xyz - np.array(picks.shape_zyx[::-1]) / 2) * spacing
        columns = dict(zip(_CENTRED, points_xyz.T, strict=True))
    else:
        points_xyz = points_xyz if spacing is None else points_xyz * (spacing / pixels)
        columns = dict(zip(_PIXELS, points_xyz.T, strict=True))
    for labels, values in ((_SHIFTS, shifts), (_SUBTOMOGRAM_ANGLES, angles)):
        if has_images:
            columns |= {label: values[:, axis] for axis, label in enumerate(labels) if label in picks.features}
    if known is not None:
        matrices, are_known = known
        of_particles = angles_of(np.swapaxes(turns, 1, 2) @ matrices, "relion")
        columns |= dict(zip(_ANGLES, of_particles.T, strict=True))
        columns |= {} if are_known.all() else {_IS_ORIENTED: are_known.astype(int)}
    return columns


def _triple_of(picks: Picks, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """Three columns of numbers, 0 where nothing is said."""
    nothing = np.zeros(len(picks))
    columns = [np.asarray(picks.features.get(label, nothing), dtype=np.float64) for label in labels] or [nothing] * 3
    values = np.stack(columns, axis=1)
    return np.where(np.isfinite(values), values, 0.0)


def _optics_to_write(picks: Picks, label: str) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """The rows of the optics table with the width of a pixel, and the group of each pick.

    Picks of which no group is known, such as added ones, are in the first.
    """
    rows = [row for row in _source_project(picks).get("optics") or () if _GROUP in row] or [{_GROUP: 1}]
    known = [row[_GROUP] for row in rows]
    column = picks.features.get(_GROUP)
    groups = np.full(len(picks), known[0]) if column is None else np.where(np.isin(column, known), column, known[0])
    if picks.spacing_angstrom is not None:
        width = picks.spacing_angstrom
        rows = [{**row, label: next((row[each] for each in _PIXEL_SIZES if each in row), width)} for row in rows]
    return [{_GROUP_NAME: f"opticsGroup{row[_GROUP]}", **row} for row in rows], groups.astype(np.int64)


def _source_project(picks: Picks) -> Mapping[str, Any]:
    """What `_project_of` gave; provenance that went through a file can be anything."""
    project = picks.about.get(_PROJECT)
    return project if isinstance(project, Mapping) else {}


def _given_name(picks: Picks) -> str:
    return str(picks.about.get("tomogram_name") or picks.about.get("run_name") or "")


def _tomogram_name(picks: Picks) -> str:
    """What the tomogram is called, as one word."""
    name = _given_name(picks)
    return name if _WORD.fullmatch(name) else re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "tomogram"


def _as_labelled(name: str, column: NDArray[Any], *, is_taken: bool) -> tuple[str, NDArray[Any]]:
    """A further column with its label; encoded if its name or texts can't be there as they are."""
    texts = [] if column.dtype.kind in "biuf" else list(map(str, column.tolist()))
    are_words = all(_WORD.fullmatch(text) for text in set(texts) if text)
    if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_]*", name) and are_words and not is_taken:
        label = name
    else:
        label, texts = f"{_ENCODED}{quote(name)}", [quote(text, safe="/@:+") for text in texts]
    if column.dtype.kind == "b":
        column = column.astype(int)
    return label, np.array(texts, dtype=object) if texts else column
