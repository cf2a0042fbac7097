"""What all formats of picks share: what a reader is told beside the file, and columns that keep their type as text."""

from __future__ import annotations

import codecs
import math
import numbers
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats import text_columns
from napari_cryoet.picks import Picks, are_rotations, are_unique

if TYPE_CHECKING:
    import pyarrow as pa

#: Far above any file of picks that is known.
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_PICKS: Final = 3_000_000
#: Beyond that, there would be none for picks that are added.
_LARGEST_ID: Final = 2**62
#: From here on, not every whole number is a real of 64 bits.
_LARGEST_EXACT: Final = 2**53
#: How far a matrix may be from a rotation before an export says that angles hold the nearest one.
_ROUNDED: Final = 1e-6

_WHOLE: Final = re.compile(r"\s*[+-]?(?:0|[1-9]\d*)\s*", re.ASCII)
_PADDED: Final = re.compile(r"\s*[+-]?0\d")

_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zX": "xz", b"PK\x03\x04": "zip"}
#: How much of a name a message shows.
_SHOWN_NAME: Final = 60

Kind = Literal["text", "whole", "real", "truth"]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the volume that a file's picks belong to, whatever the file says.

    Attributes
    ----------
    spacing_angstrom, shape_zyx
        Of the grid in which positions shall be counted; the shape is in its voxels.
    tomogram
        Which one, of a file with several.
    """

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Orientations:
    """What a format of angles can say of rotations.

    Attributes
    ----------
    matrices_xyz
        (n, 3, 3), the identity for picks without an orientation.
    are_known
        (n,), for which picks there is one.
    """

    matrices_xyz: NDArray[np.float64]
    are_known: NDArray[np.bool_]


def orientations_of(picks: Picks) -> Orientations | None:
    """The picks' proper rotations; None where no pick has one."""
    matrices, are_known = picks.rotations_xyz, picks.are_oriented
    if matrices is None or not are_known.any():
        return None
    return Orientations(np.where(are_known[:, None, None], matrices, np.eye(3)), are_known)


def rotation_losses(picks: Picks) -> list[str]:
    """What becomes of matrices that angles can't hold, in words."""
    if picks.rotations_zyx is None:
        return []
    losses = []
    is_given = np.isfinite(picks.rotations_zyx).all(axis=(1, 2))
    are_oriented = picks.are_oriented
    n_improper = int((is_given & ~are_oriented).sum())
    if n_improper:
        losses.append(f"{n_improper:,} of the matrices are no rotations; these picks are written without orientation.")
    matrices = picks.rotations_zyx[are_oriented]
    if len(matrices) and np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max() > _ROUNDED:
        losses.append("Rotations are rounded in the source; angles hold the nearest exact rotation.")
    return losses


def choose_tomogram(names: Sequence[str], wanted: str | None, file_name: str) -> str | None:
    """Which of the tomograms of a file is meant; None where it names none.

    Raises
    ------
    MissingContextError
        If there are several and none was chosen; it has their names.
    FormatError
        If the chosen one isn't there.
    """
    found = tuple(dict.fromkeys(names))
    if wanted is not None and wanted not in found:
        raise FormatError(
            f"{file_name} has no picks of a tomogram {wanted!r}.",
            hint=f"It has those of {listed(found)}." if found else "It names no tomogram.",
        )
    if wanted is None and len(found) > 1:
        raise MissingContextError(
            f"{file_name} holds the picks of {len(found)} tomograms: {listed(found)}.",
            hint="Say which one.",
            missing=("tomogram",),
            choices=found,
        )
    return wanted if wanted is not None else (found[0] if found else None)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, not more than fit into one."""
    return ", ".join(map(shortened, names[:most])) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def refuse_unreadable(path: Path, *, is_text: bool = True) -> None:
    """Refuse what no reader gets anything of: what is no file, is compressed, or is beyond `MAX_FILE_BYTES`.

    Parameters
    ----------
    is_text
        Whether the format is one of texts in UTF-8; then one in UTF-16 is refused too.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise FormatError(f"{str(path)!r} is no file.")
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    if status.st_size > MAX_FILE_BYTES:
        raise FormatError(f"{path.name} is too large for a file of picks ({status.st_size:,} bytes).")
    packed = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    if packed is not None:
        raise FormatError(f"{path.name} is compressed with {packed}.", hint="Unpack it first.")
    if is_text and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError(f"{path.name} is text in UTF-16.", hint="Save the file anew, with the encoding UTF-8.")


def typed(texts: Iterable[Any]) -> NDArray[Any]:
    """A column of texts as whole numbers, as numbers, or as they are; what is missing is NaN, or "" among texts.

    Texts that a number would not give back, such as 007, 2024_01, or digits beyond 2^53 in a column that can't be of
    whole numbers, stay texts.
    """
    if text_columns.is_column(texts):
        return text_columns.typed(cast("pa.ChunkedArray", texts), typed)
    values = ["" if value is None or (isinstance(value, float) and math.isnan(value)) else value for value in texts]
    given = [value for value in values if value != ""]
    if given and len(given) == len(values):
        try:
            return np.array([_whole(value) for value in values], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
    if any((isinstance(value, str) and _PADDED.match(value)) or _loses_digits(value) for value in given):
        return np.array([str(value) for value in values], dtype=object)
    try:
        if given:
            return np.array([math.nan if value == "" else number_of(value) for value in values], dtype=np.float64)
    except ValueError:
        pass
    return np.array([str(value) for value in values], dtype=object)


def _loses_digits(value: Any) -> bool:
    """Whether a whole number isn't the same as a real."""
    try:
        number = _whole(value)
        return abs(number) > _LARGEST_EXACT and float(number) != number
    except (TypeError, ValueError):
        return False
    except OverflowError:
        return True


def number_of(value: Any) -> float:
    """As ``float``, but a name such as 2024_01 is no number."""
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"could not convert string to float: {value!r}")
    return float(value)


def numbers_in(
    path: Path,
    name: str,
    values: Sequence[Any] | pa.ChunkedArray,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """A column of a file as numbers, NaN where it says nothing.

    Parameters
    ----------
    rows
        What the file's rows are counted as in messages; by default from 1.

    Raises
    ------
    FormatError
        Which row of the column holds something else.
    """
    if text_columns.is_column(values):
        column = cast("pa.ChunkedArray", values)
        numbers = text_columns.reals(column)
        if numbers is not None:
            return numbers
        values = column.to_pylist()
    found = np.empty(len(values))
    for index, value in enumerate(values):
        try:
            found[index] = math.nan if value is None or value == "" else number_of(value)
        except (TypeError, ValueError) as error:
            row = index + 1 if rows is None else rows[index]
            raise FormatError(
                f"{path.name}: {name} isn't a column of numbers: row {row} has {shortened(str(value))!r}."
            ) from error
    return found


def shortened(text: str) -> str:
    """As much of a text as a message shows."""
    return text if len(text) <= _SHOWN_NAME else f"{text[:_SHOWN_NAME]}…"


def _whole(value: Any) -> int:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError(value)
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError(value)
    return number


def kind_of(column: NDArray[Any]) -> Kind:
    """Which of the types that a file should give back a column has."""
    kinds: dict[str, Kind] = {"b": "truth", "i": "whole", "u": "whole", "f": "real"}
    return kinds.get(column.dtype.kind, "text")


def as_kind(column: NDArray[Any], kind: object) -> NDArray[Any]:
    """A column that went through a text file with the type that it had before; as it is where it can't have it."""
    try:
        match kind:
            case "truth":
                return np.array([str(value).lower() in {"true", "1", "1.0"} for value in column.tolist()], dtype=bool)
            case "whole":
                return column if column.dtype.kind in "iu" else np.array([_whole(value) for value in column.tolist()])
            case "real" if column.dtype.kind in "iuf":
                return column.astype(np.float64, copy=False)
            case "real":
                return np.array([math.nan if value == "" else float(value) for value in column.tolist()])
            case "text":
                return np.array(["" if _is_nan(value) else str(value) for value in column.tolist()], dtype=object)
    except (ValueError, OverflowError):
        pass
    return column


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def plain_columns(features: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of the types that files have, numbers, truth values and texts; whatever is of none of these as texts."""
    return {name: _plain(column) for name, column in features.items()}


def turned_into_texts(features: Mapping[str, NDArray[Any]]) -> list[str]:
    """The names of columns that `plain_columns` gives as texts, although they hold something else."""
    return [name for name, column in features.items() if kind_of(_plain(column)) == "text" and not _are_texts(column)]


def are_all_missing(column: NDArray[Any]) -> bool:
    """Whether a column has a value in no row: nothing but NaN, None and empty texts."""
    if not len(column) or column.dtype.kind in "biu":
        return not len(column)
    return all(value == "" or _is_missing(value) for value in column.tolist())


def empty_column(kind: object, count: int) -> NDArray[Any]:
    """A column of some type that has a value in no row."""
    if count:
        return np.full(count, math.nan) if kind == "real" else np.full(count, "", dtype=object)
    types: dict[object, type] = {"truth": bool, "whole": np.int64, "real": np.float64}
    return np.empty(0, dtype=types.get(kind, object))


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    kind = column.dtype.kind
    if kind in "mM":  # 2026-01-02T03:04:05, 5 seconds; as Python's values, many would be bare numbers
        return np.array(["" if np.isnat(time) else str(time) for time in column], dtype=object)
    if kind in "bif" or (kind == "u" and int(column.max(initial=0)) < 2**63):
        return column
    values = [None if _is_missing(value) else value for value in column.tolist()]
    given = [value for value in values if value is not None]
    if kind == "O" and given and all(isinstance(value, numbers.Real) for value in given):
        if all(isinstance(value, bool | np.bool_) for value in given) and len(given) == len(values):
            return np.array(values, dtype=bool)
        if not any(isinstance(value, bool | np.bool_) for value in given):
            return typed(values)
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def _are_texts(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "U" or all(isinstance(value, str) or _is_missing(value) for value in column.tolist())


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or _is_nan(value)


def kinds_of(features: Mapping[str, NDArray[Any]]) -> dict[str, Kind]:
    """The types of all columns by name."""
    return {name: kind_of(column) for name, column in features.items()}


def checked_picks(
    path: Path, *, called: str = "row", rows: Sequence[int] | NDArray[np.int64] | None = None, **columns: Any
) -> Picks:
    """Picks, or words about the file for what makes none.

    Parameters
    ----------
    called, rows
        What the file's picks are called and counted as in messages; by default from 1.
    """
    _refuse_unplaceable(path, called, rows, np.asarray(columns["points_zyx"], dtype=np.float64))
    ids = columns.get("ids")
    if ids is not None and not are_unique(ids):
        twice = next(number for number, count in Counter(ids.tolist()).items() if count > 1)
        raise FormatError(f"{path.name} can't be used: it has several picks with the id {twice}.")
    if ids is not None and len(ids) and not -_LARGEST_ID <= np.min(ids) <= np.max(ids) <= _LARGEST_ID:
        far = max(ids, key=lambda number: abs(int(number)))
        raise FormatError(f"{path.name} can't be used: it has a pick with the id {far}, beyond 2^62.")
    try:
        picks = Picks(**columns)
    except ValueError as error:
        raise FormatError(f"{path.name} can't be used: {error}.") from error
    numbers = np.arange(1, len(picks) + 1) if rows is None else np.asarray(rows)
    said = rotation_warnings(picks.rotations_zyx, numbers, called)
    if not said:
        return picks
    return replace(picks, about=dict(picks.about) | {"warnings": [*picks.about.get("warnings", ()), *said]})


def _refuse_unplaceable(
    path: Path, called: str, rows: Sequence[int] | NDArray[np.int64] | None, points_zyx: NDArray[np.float64]
) -> None:
    are_odd = ~np.isfinite(points_zyx).all(axis=1)
    if not are_odd.any():
        return
    first = int(np.flatnonzero(are_odd)[0])
    axes = [axis for axis, value in zip("zyx", points_zyx[first].tolist(), strict=True) if not math.isfinite(value)]
    which = first + 1 if rows is None else rows[first]
    raise FormatError(f"{path.name} can't be used: {called} {which} has no finite position along {' and '.join(axes)}.")


def rotation_warnings(rotations: NDArray[np.float64] | None, numbers: NDArray[np.int64], called: str) -> list[str]:
    """Which of a file's matrices, given by their numbers in it, are no rotations, in words; none where all are."""
    if rotations is None:
        return []
    is_given = ~np.isnan(rotations).all(axis=(1, 2))
    is_bad = is_given & ~are_rotations(rotations)
    if not is_bad.any():
        return []
    which = numbered(called, numbers[is_bad].tolist())
    return [f"{is_bad.sum():,} of {is_given.sum():,} orientations aren't rotations, so not drawn ({which})."]


def numbered(called: str, numbers: Sequence[int]) -> str:
    """The first of some numbers: ``lines 3, 7``."""
    shown = ", ".join(f"{number}" for number in numbers[:5])
    return f"{called}{'s' if len(numbers) > 1 else ''} {shown}{', …' if len(numbers) > 5 else ''}"
