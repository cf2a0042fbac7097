"""Shared by all pick formats: the reader's context, file checks, columns and Euler angles."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import ContextField, FormatError, MissingContextError
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks
from napari_cryoet.wording import brief

#: Well above any known pick file.
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_PICKS: Final = 3_000_000
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zX", b"PK\x03\x04")
_NOT_A_NUMBER: Final = ["nan", "NaN", "NA"]
_PICK_ID: Final = "pick_id"
_SPACING_FOLDER: Final = re.compile(r"/VoxelSpacing(\d{1,6}(?:\.\d{1,6})?)/")

#: How messages name missing context.
MISSING_WORDS: Final[dict[ContextField, str]] = {
    "spacing_angstrom": "the voxel spacing",
    "shape_zyx": "the size of the volume",
    "tomogram": "the tomogram",
}
#: Units of positions.
LengthUnit = Literal["voxel", "angstrom", "nanometer"]


@dataclass(frozen=True, slots=True)
class Context:
    """What the caller knows about a file's picks. Its grid is used if the file specifies none."""

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None  # needed if the file has several
    unit: LengthUnit | None = None  # of columns x, y, z in a table


class Xyz(msgspec.Struct):
    """A position in a file."""

    x: float
    y: float
    z: float


def check_file(path: Path) -> None:
    """Raise `FormatError` if a file is missing, compressed or too large."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            is_compressed = file.read(4).startswith(_COMPRESSED)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    if size_bytes > MAX_FILE_BYTES:
        raise FormatError(f"{path.name} is too large for a pick file ({size_bytes:,} bytes).")
    if is_compressed:
        raise FormatError(
            f"{path.name} is compressed (gzip, bzip2, xz or zip).", hint="Unpack it first."
        )


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, which may begin with a mark; FormatError for other encodings."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path.name} isn't UTF-8 text.", hint="Save it with the encoding UTF-8."
        ) from error


def lacking(
    message: str, *missing: ContextField, way_out: str = "", tomogram: str | None = None
) -> MissingContextError:
    """Create the error that asks the caller for missing context, of a tomogram if it has a name."""
    words = " and ".join(MISSING_WORDS[name] for name in missing)
    choices = (tomogram,) if tomogram else ()
    return MissingContextError(
        f"{message}.", hint=f"Give {words}{way_out}.", missing=missing, choices=choices
    )


def choose_tomogram(names: Sequence[str], wanted: str | None, file_name: str) -> str | None:
    """Select one of a file's tomograms by its name or the end of its path.

    None if the file names none.
    """
    known = tuple(dict.fromkeys(names))
    if wanted is None and len(known) > 1:
        raise MissingContextError(
            f"{file_name} holds the picks of {len(known)} tomograms: {listed(known)}.",
            hint="Specify one.",
            missing=("tomogram",),
            choices=known,
        )
    if wanted is None:
        return known[0] if known else None
    matching = [name for name in known if name == wanted] or [
        name for name in known if name.endswith(f"/{wanted}")
    ]
    if len(matching) != 1:
        raise FormatError(
            f"{file_name} has no picks of tomogram {wanted!r}.",
            hint=f"It has picks of {listed(known) or 'none'}.",
        )
    return matching[0]


def picks_of_file(path: Path, **columns: Any) -> Picks:
    """Create picks from a file's columns; `FormatError` if they are invalid."""
    features = dict(columns.pop("features", {}))
    if _PICK_ID in features:  # layers use this name for our own ids
        features[f"{_PICK_ID}_of_file"] = features.pop(_PICK_ID)
    try:
        picks = Picks(**columns, features=features)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"{path.name} can't be used: {error}.") from error
    if f"{_PICK_ID}_of_file" in features:
        picks = with_warning(
            picks, f"The file's own column {_PICK_ID} was renamed to {_PICK_ID}_of_file."
        )
    n_improper = _count_improper(picks)
    warning = f"{n_improper:,} of {len(picks):,} orientations aren't rotations and aren't drawn."
    return with_warning(picks, warning) if n_improper else picks


def with_warning(picks: Picks, warning: str) -> Picks:
    """A copy of the picks with one more warning."""
    return replace(picks, about=picks.about.with_warnings(warning))


def spacing_in_layout(location: Location) -> float | None:
    """The voxel spacing in a portal or download path such as ``…/VoxelSpacing13.480/…``, or None."""
    match = _SPACING_FOLDER.search(location.folders)
    return float(match[1]) or None if match else None


# rotations


def known_rotations(picks: Picks) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Rotations in x, y, z (identity where missing) and a mask of the known ones.

    None if no pick has one.
    """
    matrices, are_known = picks.rotations_xyz, picks.are_oriented
    if matrices is None or not are_known.any():
        return None
    return np.where(are_known[:, None, None], matrices, np.eye(3)), are_known


def rotation_losses(picks: Picks) -> list[str]:
    """Messages about matrices that angles can't represent."""
    count = _count_improper(picks)
    return (
        [f"{count:,} of the matrices aren't rotations; they are written as no orientation."]
        if count
        else []
    )


def _count_improper(picks: Picks) -> int:
    """The number of picks whose matrix isn't a rotation."""
    if picks.rotations_zyx is None:
        return 0
    return int((~np.isnan(picks.rotations_zyx).all(axis=(1, 2)) & ~picks.are_oriented).sum())


# columns


def numbers_of(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    """A file's column as numbers, NaN where empty."""
    return _numeric(path, name, column).astype(np.float64)


def whole_numbers_of(
    path: Path, name: str, column: Any, missing: int | None = None
) -> NDArray[np.int64]:
    """A column as integers, including ones written as ``7.0``.

    Empty values become ``missing`` if it is given.
    """
    numbers = _numeric(path, name, column)
    if numbers.dtype.kind == "f" and missing is not None:
        numbers = np.where(np.isnan(numbers), missing, numbers)
    with np.errstate(invalid="ignore"):
        integers = numbers.astype(np.int64)
    if not (integers == numbers).all():
        raise FormatError(f"{path.name}: {name} isn't a column of whole numbers.")
    return integers


def _numeric(path: Path, name: str, column: Any) -> NDArray[Any]:
    import pandas as pd

    values = np.asarray(column)
    if values.dtype.kind in "iuf":
        return values
    try:
        return np.asarray(pd.to_numeric(pd.Series(column).replace(_NOT_A_NUMBER, "")))
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path.name}: {name} isn't a column of numbers ({error}).") from error


def plain_columns(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Convert columns to types that files can hold: bool, int, float, or str for everything else."""
    return {name: _plain(np.asarray(column)) for name, column in columns.items()}


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    kind = column.dtype.kind
    if kind in "biuf":
        return column
    values = (
        ["" if np.isnat(time) else str(time) for time in column]
        if kind in "mM"
        else column.tolist()
    )
    present = [value for value in values if not is_missing(value)]
    if present and all(
        isinstance(value, Real) and not isinstance(value, bool) for value in present
    ):
        return np.array([math.nan if is_missing(value) else float(value) for value in values])
    return np.array(["" if is_missing(value) else str(value) for value in values], dtype=object)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, an empty string, or pandas' NA or NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or value == "" or type(value).__name__ in {"NAType", "NaTType"}


def listed(names: Sequence[str], most: int = 20) -> str:
    """Join names for a message, truncating long lists."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return brief(", ".join(names[:most])) + more


# Euler angles

Convention = Literal["relion", "dynamo"]

#: SciPy's notation: upper case is intrinsic, lower case extrinsic. Our matrices are the inverses.
_SEQUENCES: Final = {"relion": "ZYZ", "dynamo": "zxz"}


def matrices_of(angles_degree: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Rotation matrices (n, 3, 3) acting on x, y, z, from angles (n, 3) in the file's order; NaN for missing angles.

    Matrices follow the portal's files: active, on column vectors, from the particle's frame to the
    tomogram's. Their columns are the particle's axes in the tomogram.

    RELION: rot, tilt, psi. ``Euler_angles2matrix`` (``src/euler.cpp``) computes a matrix A.
    According to ``ParticleSet::getMatrix4x4`` (``src/jaz/tomography/particle_set.cpp``), A "maps
    coordinates from particle space to tomogram space", so A is our matrix. If positive angles turn
    counter-clockwise, A = Rz(-psi) Ry(-tilt) Rz(-rot): the inverse of the intrinsic ZYZ rotation by
    (rot, tilt, psi). Other programs call this "intrinsic ZYZ, passive" (eulerangles) or "clockwise"
    (pytom-match-pick).

    Dynamo: tdrot, tilt, narot. Its wiki (*Euler angles convention*) turns the particle clockwise
    about its z axis, then about its new x axis, then about its new z axis. Our matrix is therefore
    Rz(-tdrot) Rx(-tilt) Rz(-narot): the inverse of the extrinsic ZXZ rotation by (tdrot, tilt,
    narot). It is also the inverse of ``dynamo_euler2matrix``, which maps coordinates back to the
    template.
    """
    from scipy.spatial.transform import Rotation

    matrices = np.full((len(angles_degree), 3, 3), np.nan)
    is_known = np.isfinite(angles_degree).all(axis=1)
    if is_known.any():
        rotations = Rotation.from_euler(
            _SEQUENCES[convention], angles_degree[is_known], degrees=True
        )
        matrices[is_known] = rotations.inv().as_matrix()
    return matrices


def angles_of(matrices_xyz: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Euler angles (n, 3) in degrees, in the file's order, of rotations (n, 3, 3) acting on x, y, z; NaN for NaN.

    At a tilt of 0 or 180, only the sum or difference of the other two angles is defined; the last
    one is set to 0.
    """
    from scipy.spatial.transform import Rotation

    angles = np.full((len(matrices_xyz), 3), np.nan)
    is_known = np.isfinite(matrices_xyz).all(axis=(1, 2))
    if is_known.any():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Gimbal lock")
            inverse = Rotation.from_matrix(matrices_xyz[is_known]).inv()
            angles[is_known] = inverse.as_euler(_SEQUENCES[convention], degrees=True)
    return angles
