"""Read and write RELION STAR files of particles in tomograms, versions 3.1, 4 and 5.

Conventions, from RELION's source (``src/jaz/tomography/particle_set.cpp`` of 5.0; labels in
``metadata_label.h``):

- Positions are 0-based: 0 is the centre of the first pixel. 3.1 uses pixels of the micrograph (here: the tomogram),
  whose size is ``rlnMicrographPixelSize``. 4 uses pixels of the unbinned tilt series, ``rlnTomoTiltSeriesPixelSize``.
  5 uses ångström from the tomogram's centre, which is half its size: voxel N / 2 of N voxels, even for odd N
  (``Tomogram::centre``). N is in unbinned pixels, ``rlnTomoSizeX/Y/Z`` in ``tomograms.star``.
- ``rlnOriginX/Y/ZAngst`` is rotated by the subtomogram's matrix, then subtracted from the position (``getPosition``).
- The orientation is A_subtomogram A_particle (``getMatrix3x3``), from ``rlnTomoSubtomogramRot/Tilt/Psi`` and
  ``rlnAngleRot/Tilt/Psi``; `matrices_of` explains these angles.
- Shifts and the subtomogram's angles define where the particle's image was extracted. They are kept as features and
  written for 4 and 5, so that position, orientation and image stay the same.

RELION keeps unknown labels; ours start with ``napariCryoet``.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import ContextField, FormatError
from napari_cryoet.formats.common import (
    Context,
    angles_of,
    choose_tomogram,
    known_rotations,
    lacking,
    listed,
    matrices_of,
    numbers_of,
    picks_of_file,
    plain_columns,
    read_text,
    rotation_losses,
    whole_numbers_of,
)
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.wording import brief

if TYPE_CHECKING:
    import pandas as pd

RelionVersion = Literal["relion5", "relion4", "relion3"]

_CENTRED: Final = (
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
)
_PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
_SHIFTS: Final = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
_SHIFTS_OF_3_0: Final = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
_SUBTOMOGRAM_ANGLES: Final = (
    "rlnTomoSubtomogramRot",
    "rlnTomoSubtomogramTilt",
    "rlnTomoSubtomogramPsi",
)
_ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
_PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")
_TOMOGRAM_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
#: Candidates for the score, in order of preference: RELION's own, then those of pytom-match-pick.
_SCORES: Final = ("rlnAutopickFigureOfMerit", "rlnLCCmax", "ptmLCCmax")
_GROUP, _GROUP_NAME = "rlnOpticsGroup", "rlnOpticsGroupName"
_PICK_ID, _INSTANCE_ID, _IS_ORIENTED = (
    "napariCryoetPickId",
    "napariCryoetInstanceId",
    "napariCryoetIsOriented",
)
_OF_IMAGES: Final = (*_SHIFTS, *_SUBTOMOGRAM_ANGLES)
#: Columns that describe one particle's image and don't apply to a copy of the particle.
OF_ONE_PARTICLE: Final = (*_OF_IMAGES, "rlnImageName", "rlnTomoParticleName")
_OWN: Final = frozenset(
    {*_CENTRED, *_PIXELS, *_SHIFTS_OF_3_0, *_ANGLES, *_SIZES, *_PIXEL_SIZES}
    | {*_TOMOGRAM_NAMES, _PICK_ID, _INSTANCE_ID, _IS_ORIENTED}
)
#: The keys in `Provenance.more` for a tomogram's name, and for the file's optics groups and general block.
_PROJECT: Final = "relion"
TOMOGRAM_NAME: Final = "tomogram_name"

#: starfile takes quadratic time for wide tables, and RELION has some 400 labels.
_MAX_LABELS: Final = 2_000
_FILE_VERSIONS: Final = {"relion3": 30001, "relion4": 30001, "relion5": 50001}
#: Texts that every STAR reader parses as one word.
_WORD: Final = re.compile(r"[A-Za-z0-9._/@:+\-\[\](),=]+")
#: Label prefix of columns whose name or texts aren't words; both are percent-encoded.
_ENCODED: Final = "napariCryoet:"


def holds(_path: Path, _head: bytes) -> bool:
    """STAR files always count as picks; `read` explains what is wrong."""
    return True


def read(path: Path, context: Context) -> Picks:
    """Read the picks of one tomogram, in the file's own pixels if it states their size."""
    blocks = _read_blocks(path)
    table = next(
        (block for block in blocks.values() if _has(block, _PIXELS) or _has(block, _CENTRED)), None
    )
    if table is None:
        raise FormatError(
            f"{path.name} has no particle positions.",
            hint="Choose the particle file, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.",
        )
    name_label = next((label for label in _TOMOGRAM_NAMES if label in table), None)
    names = [] if name_label is None else table[name_label].astype(str).tolist()
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if name_label is not None:
        table = table[np.array(names, dtype=object) == tomogram]
    table = _with_widths_and_sizes(table, blocks.get("optics"), _tomogram_beside(path, tomogram))
    points_xyz, spacing = _positions(path, table, context, tomogram)
    score = next((label for label in _SCORES if label in table), None)
    left_out = {*_OWN, score}
    if _GROUP in table and table[_GROUP].nunique() == 1:
        left_out.add(_GROUP)

    def whole(label: str, missing: int | None = None) -> NDArray[np.int64] | None:
        return whole_numbers_of(path, label, table[label], missing) if label in table else None

    return picks_of_file(
        path,
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing,
        rotations_zyx=_rotations_zyx(path, table),
        scores=None if score is None else numbers_of(path, score, table[score]),
        instance_ids=whole(_INSTANCE_ID, NO_INSTANCE),
        ids=whole(_PICK_ID),
        features=_decoded(
            plain_columns({label: table[label] for label in table if label not in left_out})
        ),
        about=Provenance(more={TOMOGRAM_NAME: tomogram, _PROJECT: _project_of(blocks)}),
    )


def losses(picks: Picks, version: str) -> list[str]:
    """Warnings about data that the format can't hold."""
    warnings = rotation_losses(picks)
    name = _tomogram_name(picks)
    if name not in (picks.about.more.get(TOMOGRAM_NAME), picks.about.run_name):
        warnings.append(f"The tomogram is named {name!r} in the file.")
    images = [label for label in _OF_IMAGES if label in picks.features]
    if version == "relion3" and images:
        warnings.append(
            f"{listed(images)} are merged into positions and angles: extract the particles again."
        )
    return warnings


def write(picks: Picks, path: Path, _final_path: Path, version: RelionVersion) -> None:
    """Write ``optics``, ``particles`` and the source's general block, with full precision."""
    optics, particles = tables_of([picks], version)
    general = _source_project(picks).get("general")
    blocks: dict[str, Any] = {"general": general} if isinstance(general, dict) and general else {}
    write_blocks(path, blocks | {"optics": optics, "particles": particles}, version)


def tables_of(
    several: Sequence[Picks], version: RelionVersion
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``optics`` and ``particles`` for picks of one or more tomograms.

    Optics groups come from the first.
    """
    import pandas as pd

    optics, _ = _optics_to_write(several[0], _pixel_size_of(version))
    particles = pd.concat(
        [pd.DataFrame(_columns_to_write(picks, version)) for picks in several], ignore_index=True
    )
    if _has(particles, _ANGLES) and (are_missing := particles[_ANGLES[0]].isna()).any():
        are_known = particles[_IS_ORIENTED].fillna(1) if _IS_ORIENTED in particles else 1
        particles[_IS_ORIENTED] = np.where(are_missing, 0, are_known).astype(int)
        particles = particles.fillna(dict.fromkeys(_ANGLES, 0.0))
    return pd.DataFrame(optics), particles


def write_blocks(path: Path, blocks: Mapping[str, Any], version: RelionVersion) -> None:
    """Write a STAR file; data frames become loops, dicts become simple blocks."""
    import starfile

    text = starfile.to_string(dict(blocks), float_format=None, na_rep="nan")
    path.write_text(
        text.replace("\ndata_", f"\n# version {_FILE_VERSIONS[version]}\n\ndata_"), encoding="utf-8"
    )


def tomogram_word(name: str) -> str:
    """A tomogram's name as one word, which STAR files require."""
    return (
        name
        if _WORD.fullmatch(name)
        else re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "tomogram"
    )


# reading


def _read_blocks(path: Path) -> dict[str, pd.DataFrame]:
    """All blocks as tables; simple blocks have one row."""
    import pandas as pd
    import starfile

    names = [label for label in _checked_labels(path) if "Name" in label]
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=names)
    except (ValueError, TypeError, IndexError, OSError) as error:
        linecache.clearcache()  # starfile leaves a file in it if parsing fails
        raise FormatError(
            f"{path.name} isn't a valid STAR file ({brief(error)}).",
            hint="Each row needs one value per label.",
        ) from error
    return {
        name: pd.DataFrame([block]) if isinstance(block, dict) else block
        for name, block in blocks.items()
    }


def _checked_labels(path: Path) -> set[str]:
    """The labels of all blocks.

    FormatError for too many labels or short rows, which pandas would pad.
    """
    labels: set[str] = set()
    n_labels = 0
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        words = line.split()
        if line.startswith(("data_", "loop_")):
            n_labels = 0
        elif line.startswith("_"):
            n_labels += 1
            labels.add(words[0][1:])
            if n_labels > _MAX_LABELS:
                raise FormatError(f"{path.name} has a block of more than {_MAX_LABELS:,} labels.")
        elif words and not line.startswith("#") and len(words) < n_labels:
            raise FormatError(
                f"{path.name}, line {number}: the row has fewer values than there are labels."
            )
    return labels


def _project_of(blocks: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The optics groups and the general block of a file."""
    optics, general = (
        blocks[name].to_dict("records") if name in blocks else [] for name in ("optics", "general")
    )
    return {"optics": optics, "general": general[0] if general else {}}


def _tomogram_beside(path: Path, tomogram: str | None) -> dict[str, Any]:
    """The row of a tomogram in the ``tomograms.star`` beside a particle file.

    Empty if there is none.
    """
    beside = path.with_name("tomograms.star")
    if tomogram is None or beside == path or not beside.is_file():
        return {}
    tables = [block for block in _read_blocks(beside).values() if _TOMOGRAM_NAMES[0] in block]
    rows = (row for table in tables for row in table.to_dict("records"))
    return next((row for row in rows if str(row[_TOMOGRAM_NAMES[0]]) == tomogram), {})


def _has(block: Any, labels: tuple[str, ...]) -> bool:
    return all(label in block for label in labels)


def _decoded(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Undo the encoding of `_as_labelled`."""
    decoded = {}
    for label, column in columns.items():
        is_encoded = label.startswith(_ENCODED)
        name = unquote(label.removeprefix(_ENCODED)) if is_encoded else label
        texts = (
            [unquote(text) for text in column] if is_encoded and column.dtype.kind == "O" else None
        )
        decoded[name] = column if texts is None else np.array(texts, dtype=object)
    return decoded


def _with_widths_and_sizes(
    table: pd.DataFrame, optics: pd.DataFrame | None, tomogram: Mapping[str, Any]
) -> pd.DataFrame:
    """Add pixel size and tomogram size to the particles, from their optics groups or the tomogram."""
    table = table.copy()
    for label in (*_PIXEL_SIZES, *_SIZES):
        if label in table:
            continue
        if optics is not None and label in optics and len(optics):
            differ = optics[label].nunique() > 1 and _GROUP in optics and _GROUP in table
            of_group = dict(zip(optics[_GROUP], optics[label], strict=True)) if differ else {}
            table[label] = table[_GROUP].map(of_group) if differ else optics[label].iloc[0]
        elif label in tomogram:
            table[label] = tomogram[label]
    return table


def _positions(
    path: Path, table: pd.DataFrame, context: Context, tomogram: str | None
) -> tuple[NDArray[np.float64], float | None]:
    """Positions in voxels, x, y, z, with shifts applied; and the voxel size if known."""
    spacing, shifts = context.spacing_angstrom, _shifts_angstrom(path, table)
    widths = np.full((len(table), 1), spacing or 1.0)
    label = next((label for label in _PIXEL_SIZES if label in table), None)
    if label is not None and len(table):
        widths = _columns_of(path, table, [label])
        if not (np.isfinite(widths) & (widths > 0)).all():
            raise FormatError(
                f"{path.name} doesn't state how wide the pixels of all particles are."
            )
        spacing = float(widths[0, 0])
    size_xyz = None
    if _has(table, _SIZES):
        size_xyz = _columns_of(path, table, _SIZES) * widths
    elif context.shape_zyx is not None and context.spacing_angstrom is not None:
        size_xyz = np.array(context.shape_zyx[::-1]) * context.spacing_angstrom
    if _has(table, _CENTRED) and size_xyz is not None and spacing is not None:
        return (_columns_of(path, table, _CENTRED) + size_xyz / 2 - shifts) / spacing, spacing
    if not _has(table, _PIXELS):
        name = f" ({tomogram})" if tomogram else ""
        message = (
            f"{path.name} has positions from the tomogram's centre{name}, but doesn't state how large "
            "the tomogram is"
        )
        needed: tuple[ContextField, ...] = ("spacing_angstrom", "shape_zyx")
        missing = [name for name in needed if getattr(context, name) is None]
        way_out = ", or put its tomograms.star beside the file"
        raise lacking(message, *missing, way_out=way_out, tomogram=tomogram)
    if spacing is None and shifts.any():
        message = f"{path.name} has shifts in ångström, but doesn't state how wide the pixels are"
        raise lacking(message, "spacing_angstrom", tomogram=tomogram)
    return (_columns_of(path, table, _PIXELS) * widths - shifts) / (spacing or 1.0), spacing


def _shifts_angstrom(path: Path, table: pd.DataFrame) -> NDArray[np.float64]:
    """Shifts to subtract from positions, in the tomogram's axes."""
    if _columns_of(path, table, _SHIFTS_OF_3_0, 0.0).any():
        raise FormatError(
            f"{path.name} has shifts in image pixels, like RELION 3.0.",
            hint="Convert it with relion_convert_star, which writes shifts in ångström.",
        )
    shifts = _columns_of(path, table, _SHIFTS, 0.0)
    if not shifts.any():
        return shifts
    matrices = matrices_of(_columns_of(path, table, _SUBTOMOGRAM_ANGLES, 0.0), "relion")
    return (matrices @ shifts[:, :, None])[:, :, 0]


def _rotations_zyx(path: Path, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Active matrices; None if the file has no angles."""
    if not any(label in table for label in (*_SUBTOMOGRAM_ANGLES, *_ANGLES)):
        return None
    outer, inner = (
        matrices_of(_columns_of(path, table, labels, 0.0), "relion")
        for labels in (_SUBTOMOGRAM_ANGLES, _ANGLES)
    )
    rotations = outer @ inner
    rotations[(_columns_of(path, table, [_IS_ORIENTED], 1.0) == 0)[:, 0]] = np.nan
    return rotations[:, ::-1, ::-1]


def _columns_of(
    path: Path, table: pd.DataFrame, labels: Sequence[str], missing: float = np.nan
) -> NDArray[np.float64]:
    """Stack columns of numbers; absent columns are filled with ``missing``."""
    filler = np.full(len(table), missing)
    return np.stack(
        [numbers_of(path, label, table[label]) if label in table else filler for label in labels],
        axis=1,
    )


# writing


def _pixel_size_of(version: RelionVersion) -> str:
    return "rlnMicrographPixelSize" if version == "relion3" else "rlnTomoTiltSeriesPixelSize"


def _particles_to_write(
    picks: Picks, version: RelionVersion, optics: list[dict[str, Any]], groups: NDArray[np.int64]
) -> dict[str, Any]:
    """Positions and angles, with the shifts and angles of the particles' images if the version has them.

    Positions come first: a line that starts with a number can't be mistaken for the start of a
    block.
    """
    points_xyz, spacing, known = picks.points_xyz, picks.spacing_angstrom, known_rotations(picks)
    of_images = () if version == "relion3" else _OF_IMAGES
    shifts = _triple_of(picks, _SHIFTS, of_images)
    image_angles = _triple_of(picks, _SUBTOMOGRAM_ANGLES, of_images if known is not None else ())
    matrices_of_images = matrices_of(image_angles, "relion")
    if spacing is not None:
        points_xyz = points_xyz + (matrices_of_images @ shifts[:, :, None])[:, :, 0] / spacing
    if version == "relion5":
        assert spacing is not None and picks.shape_zyx is not None  # noqa: S101, PT018 - see `registry.missing_for`
        points_xyz = (points_xyz - np.array(picks.shape_zyx[::-1]) / 2) * spacing
    elif spacing is not None:
        pixels = {row[_GROUP]: float(row[_pixel_size_of(version)]) for row in optics}
        points_xyz = points_xyz * (
            spacing / np.array([pixels[group] for group in groups.tolist()])[:, None]
        )
    columns: dict[str, Any] = dict(
        zip(_CENTRED if version == "relion5" else _PIXELS, points_xyz.T, strict=True)
    )
    values = zip(_OF_IMAGES, [*shifts.T, *image_angles.T], strict=True)
    columns |= {
        label: value for label, value in values if label in picks.features and label in of_images
    }
    if known is not None:
        matrices, are_known = known
        particle_angles = angles_of(np.swapaxes(matrices_of_images, 1, 2) @ matrices, "relion")
        columns |= dict(zip(_ANGLES, particle_angles.T, strict=True))
        if not are_known.all():
            columns[_IS_ORIENTED] = are_known.astype(int)
    return columns


def _columns_to_write(picks: Picks, version: RelionVersion) -> dict[str, Any]:
    optics, groups = _optics_to_write(picks, _pixel_size_of(version))
    columns = _particles_to_write(picks, version, optics, groups)
    columns["rlnMicrographName" if version == "relion3" else "rlnTomoName"] = np.full(
        len(picks), _tomogram_name(picks), dtype=object
    )
    columns |= {_GROUP: groups, _PICK_ID: picks.ids}
    if picks.scores is not None:
        columns[_SCORES[0]] = picks.scores
    if picks.instance_ids is not None:
        columns[_INSTANCE_ID] = picks.instance_ids
    taken = {*columns, *_OWN, *_SCORES, *_OF_IMAGES}
    for name, column in picks.features.items():
        if name not in columns and not (version == "relion3" and name in _OF_IMAGES):
            columns |= [_as_labelled(name, column, is_taken=name in taken)]
    return columns


def _triple_of(
    picks: Picks, labels: tuple[str, ...], known: tuple[str, ...]
) -> NDArray[np.float64]:
    """Three columns of numbers, 0 where a value is missing or its label isn't ``known``."""
    zeros = np.zeros(len(picks))
    columns = [picks.features.get(label, zeros) if label in known else zeros for label in labels]
    values = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    return np.where(np.isfinite(values), values, 0.0)


def _optics_to_write(picks: Picks, label: str) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Rows of the optics table with the pixel size, and the group of each pick.

    Picks without a known group, such as added ones, get the first.
    """
    rows = [row for row in _source_project(picks).get("optics") or () if _GROUP in row] or [
        {_GROUP: 1}
    ]
    known = [row[_GROUP] for row in rows]
    column = picks.features.get(_GROUP)
    groups = (
        np.full(len(picks), known[0])
        if column is None
        else np.where(np.isin(column, known), column, known[0])
    )
    if picks.spacing_angstrom is not None:
        width = picks.spacing_angstrom
        rows = [
            {**row, label: next((row[size] for size in _PIXEL_SIZES if size in row), width)}
            for row in rows
        ]
    return [{_GROUP_NAME: f"opticsGroup{row[_GROUP]}", **row} for row in rows], groups.astype(
        np.int64
    )


def _source_project(picks: Picks) -> Mapping[str, Any]:
    """The result of `_project_of`, if still valid: provenance read from a file can be anything."""
    project = picks.about.more.get(_PROJECT)
    return project if isinstance(project, Mapping) else {}


def _tomogram_name(picks: Picks) -> str:
    """The tomogram's name as one word."""
    return tomogram_word(str(picks.about.more.get(TOMOGRAM_NAME) or picks.about.run_name))


def _as_labelled(name: str, column: NDArray[Any], *, is_taken: bool) -> tuple[str, NDArray[Any]]:
    """Label and values of a feature, percent-encoded if they can't be written as they are."""
    if column.dtype.kind == "b":
        column = column.astype(int)
    texts = column.tolist() if column.dtype.kind == "O" else []
    are_words = all(_WORD.fullmatch(text) for text in set(texts) if text)
    if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_]*", name) and are_words and not is_taken:
        return name, column
    if texts:
        column = np.array([quote(text, safe="/@:+") for text in texts], dtype=object)
    return f"{_ENCODED}{quote(name)}", column
