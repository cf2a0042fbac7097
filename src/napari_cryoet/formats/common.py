"""What all formats of picks share: what a reader is told besides the file, checks, columns, and Euler angles."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import Context as Missing
from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.files import brief
from napari_cryoet.picks import Picks

#: Far above any known file of picks.
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_PICKS: Final = 3_000_000
_PACKED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zX", b"PK\x03\x04")
_NO_NUMBER: Final = ["nan", "NaN", "NA"]
_PICK_ID: Final = "pick_id"
_SPACING_FOLDER: Final = re.compile(r"/VoxelSpacing(\d{1,6}(?:\.\d{1,6})?)/")

#: What to call what a file or a format needs to know of a volume.
MISSING_WORDS: Final[dict[Missing, str]] = {
    "spacing_angstrom": "the voxel spacing",
    "shape_zyx": "the size of the volume",
    "tomogram": "the tomogram",
}
#: What positions may count.
Unit = Literal["voxel", "angstrom", "nanometer"]


@dataclass(frozen=True, slots=True)
class Context:
    """What the caller knows about a file's picks; its grid is used if the file names none."""

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None  # which one of several
    unit: Unit | None = None  # what columns x, y, z of a table count


def check_file(path: Path) -> None:
    """Refuse what no reader can use: no file, a compressed or a huge one."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            is_packed = file.read(4).startswith(_PACKED)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    if size_bytes > MAX_FILE_BYTES:
        raise FormatError(f"{path.name} is too large for a file of picks ({size_bytes:,} bytes).")
    if is_packed:
        raise FormatError(f"{path.name} is compressed (gzip, bzip2, xz or zip).", hint="Unpack it first.")


def lacking(message: str, *missing: Missing, way_out: str = "") -> MissingContextError:
    """The error that asks for what isn't known of the volume."""
    words = " and ".join(MISSING_WORDS[name] for name in missing)
    return MissingContextError(f"{message}.", hint=f"Give {words}{way_out}.", missing=missing)


def choose_tomogram(names: Sequence[str], wanted: str | None, file_name: str) -> str | None:
    """The chosen one of a file's tomograms, by its name or the end of its path; None if the file names none."""
    found = tuple(dict.fromkeys(names))
    if wanted is None and len(found) > 1:
        raise MissingContextError(
            f"{file_name} holds the picks of {len(found)} tomograms: {listed(found)}.",
            hint="Say which one.",
            missing=("tomogram",),
            choices=found,
        )
    if wanted is None:
        return found[0] if found else None
    matching = [name for name in found if name == wanted] or [name for name in found if name.endswith(f"/{wanted}")]
    if len(matching) != 1:
        raise FormatError(
            f"{file_name} has no picks of a tomogram {wanted!r}.", hint=f"It has those of {listed(found) or 'none'}."
        )
    return matching[0]


def picks_of_file(path: Path, **columns: Any) -> Picks:
    """Picks of a file's columns, or a `FormatError` with what is wrong with them."""
    features = dict(columns.pop("features", {}))
    if _PICK_ID in features:  # whose name layers have for our own ids
        features[f"{_PICK_ID}_of_file"] = features.pop(_PICK_ID)
    try:
        picks = Picks(**columns, features=features)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"{path.name} can't be used: {error}.") from error
    if f"{_PICK_ID}_of_file" in features:
        picks = with_warning(picks, f"Its column {_PICK_ID} isn't ours: it is called {_PICK_ID}_of_file here.")
    n_bad = _count_improper(picks)
    said = f"{n_bad:,} of {len(picks):,} orientations aren't rotations, so not drawn."
    return with_warning(picks, said) if n_bad else picks


def with_warning(picks: Picks, warning: str) -> Picks:
    """The same picks with a further warning for whoever uses them."""
    return replace(picks, about=dict(picks.about) | {"warnings": [*picks.about.get("warnings", ()), warning]})


def spacing_in_layout(url_or_path: str | Path) -> float | None:
    """The voxel spacing of the portal's folders, which downloads keep: ``…/VoxelSpacing13.480/…``, or None."""
    text = str(url_or_path)
    place = unquote(text.partition("?")[0]) if "://" in text else Path(text).absolute().as_posix()
    found = _SPACING_FOLDER.search(place)
    return float(found[1]) or None if found else None


# rotations


def known_rotations(picks: Picks) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """The picks' rotations in x, y, z, the identity for picks without, and which have one; None if none has."""
    matrices, are_known = picks.rotations_xyz, picks.are_oriented
    if matrices is None or not are_known.any():
        return None
    return np.where(are_known[:, None, None], matrices, np.eye(3)), are_known


def rotation_losses(picks: Picks) -> list[str]:
    """What becomes of matrices that angles can't hold."""
    count = _count_improper(picks)
    return [f"{count:,} of the matrices are no rotations; they are written as no orientation."] if count else []


def _count_improper(picks: Picks) -> int:
    """How many picks have a matrix that is no rotation."""
    if picks.rotations_zyx is None:
        return 0
    return int((~np.isnan(picks.rotations_zyx).all(axis=(1, 2)) & ~picks.are_oriented).sum())


# columns


def numbers_of(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    """A column of a file as numbers, NaN where it has no value."""
    return _numeric(path, name, column).astype(np.float64)


def whole_numbers_of(path: Path, name: str, column: Any, missing: int | None = None) -> NDArray[np.int64]:
    """A column as whole numbers, also if written ``7.0``; ``missing`` stands for none, where there may be none."""
    numbers = _numeric(path, name, column)
    if numbers.dtype.kind == "f" and missing is not None:
        numbers = np.where(np.isnan(numbers), missing, numbers)
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(np.int64)
    if not (whole == numbers).all():
        raise FormatError(f"{path.name}: {name} isn't a column of whole numbers.")
    return whole


def _numeric(path: Path, name: str, column: Any) -> NDArray[Any]:
    import pandas as pd

    values = np.asarray(column)
    if values.dtype.kind in "iuf":
        return values
    try:
        return np.asarray(pd.to_numeric(pd.Series(column).replace(_NO_NUMBER, "")))
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path.name}: {name} isn't a column of numbers ({error}).") from error


def plain_columns(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Columns as files have them: truth values, whole numbers, reals and texts; all else as texts."""
    return {name: _plain(np.asarray(column)) for name, column in columns.items()}


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    kind = column.dtype.kind
    if kind in "biuf":
        return column
    values = ["" if np.isnat(time) else str(time) for time in column] if kind in "mM" else column.tolist()
    given = [value for value in values if not is_missing(value)]
    if given and all(isinstance(value, Real) and not isinstance(value, bool) for value in given):
        return np.array([math.nan if is_missing(value) else float(value) for value in values])
    return np.array(["" if is_missing(value) else str(value) for value in values], dtype=object)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, an empty text, or pandas' NA and NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or value == "" or type(value).__name__ in {"NAType", "NaTType"}


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, not more than fit into one."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return brief(", ".join(names[:most])) + more


# Euler angles

Convention = Literal["relion", "dynamo"]

#: As scipy names them: capitals are intrinsic, small letters extrinsic. Ours is the inverse of these.
_SEQUENCES: Final = {"relion": "ZYZ", "dynamo": "zxz"}


def matrices_of(angles_degree: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Matrices (n, 3, 3) acting on x, y, z, of angles (n, 3) in the file's order; NaN where an angle is missing.

    Matrices are those of the portal's files: active, on column vectors, from the particle's frame into the tomogram's;
    columns are the particle's axes in the tomogram.

    RELION: rot, tilt, psi. ``Euler_angles2matrix`` (``src/euler.cpp``) makes a matrix A, and
    ``ParticleSet::getMatrix4x4`` (``src/jaz/tomography/particle_set.cpp``) says that A "maps coordinates from particle
    space to tomogram space", so A is ours. With rotations that are counter-clockwise for positive angles,
    A = Rz(-psi) Ry(-tilt) Rz(-rot): the inverse of the intrinsic ZYZ rotation by (rot, tilt, psi). Other programs call
    this "intrinsic ZYZ, passive" (eulerangles) or "clockwise" (pytom-match-pick).

    Dynamo: tdrot, tilt, narot. Its wiki (*Euler angles convention*): the particle turns clockwise about its z axis,
    then about its new x axis, then about its new z axis. So our matrix is Rz(-tdrot) Rx(-tilt) Rz(-narot): the inverse
    of the extrinsic ZXZ rotation by (tdrot, tilt, narot), and of what ``dynamo_euler2matrix`` gives, which turns
    coordinates back into the template's.
    """
    from scipy.spatial.transform import Rotation

    matrices = np.full((len(angles_degree), 3, 3), np.nan)
    is_known = np.isfinite(angles_degree).all(axis=1)
    if is_known.any():
        rotations = Rotation.from_euler(_SEQUENCES[convention], angles_degree[is_known], degrees=True)
        matrices[is_known] = rotations.inv().as_matrix()
    return matrices


def angles_of(matrices_xyz: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Angles (n, 3) in degrees, in the file's order, of rotations (n, 3, 3) acting on x, y, z; NaN for NaN.

    Where tilt is 0 or 180, only the sum or difference of the other two means something: the last is 0 then.
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
