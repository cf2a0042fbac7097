"""Columns of picks that keep their type as texts: whole numbers, numbers, truth values and texts."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import text_columns

if TYPE_CHECKING:
    import pyarrow as pa

#: From here on, not every whole number is a real of 64 bits.
_WHOLE: Final = re.compile(r"\s*[+-]?(?:0|[1-9]\d*)\s*", re.ASCII)
_WHOLE_AS_REAL: Final = re.compile(r"[+-]?\d+\.0*")
_PADDED: Final = re.compile(r"\s*[+-]?0\d")
#: How much of a name a message shows.
_SHOWN_NAME: Final = 60

Kind = Literal["text", "whole", "real", "truth"]


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
        return abs(number) > text_columns.LARGEST_EXACT and float(number) != number
    except (TypeError, ValueError):
        return False
    except OverflowError:
        return not isinstance(value, float)  # which is infinite, then


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


def whole_number(value: Any, missing: int | None) -> int:
    """A value as a whole number, also where a program wrote it as a real one, since others are missing.

    Parameters
    ----------
    missing
        What stands for no value; None where there must be one.

    Raises
    ------
    ValueError
        If it is none, or has more than 64 bits.
    """
    is_missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    if is_missing:
        if missing is None:
            raise ValueError("a row has none")
        return missing
    if isinstance(value, str) and _WHOLE_AS_REAL.fullmatch(value):  # as pandas writes a column that has gaps
        value = value.split(".")[0]
    if isinstance(value, float) and value != int(value):
        raise ValueError(f"{value} is not whole")
    try:
        number = int(value)
    except ValueError as error:
        raise ValueError(f"{shortened(repr(value))} is none") from error
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} has more than 64 bits")
    return number


def shortened(text: str) -> str:
    """As much of a text as a message shows."""
    return text if len(text) <= _SHOWN_NAME else f"{text[:_SHOWN_NAME]}…"


def _whole(value: Any) -> int:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError(value)
    number = int(value)
    if not isinstance(value, str) and number != value:  # numpy's numbers of 32 bits are no ``float``
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
                whole = column.dtype.kind in "iu"
                return column if whole else np.array([_whole(value) for value in column.tolist()], dtype=np.int64)
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


def rounded(features: Mapping[str, NDArray[Any]]) -> list[str]:
    """The names of columns of which `plain_columns` gives other numbers, since they have more digits than reals."""
    wide = {name: column for name, column in features.items() if _may_have_more_digits(column)}
    return [name for name, column in wide.items() if _loses_by(column, _plain(column))]


def _may_have_more_digits(column: NDArray[Any]) -> bool:
    if column.dtype.kind == "O":
        return isinstance(next((value for value in column if not _is_missing(value)), None), numbers.Real)
    return column.dtype.kind == "f" and column.dtype.itemsize > np.dtype(np.float64).itemsize


def _loses_by(column: NDArray[Any], plain: NDArray[Any]) -> bool:
    if plain.dtype.kind != "f":
        return False
    pairs = zip(column.tolist(), plain.tolist(), strict=True)
    return any(value != number for value, number in pairs if not _is_missing(value))


def without_utf8(features: Mapping[str, NDArray[Any]]) -> list[str]:
    """The names of columns with halves of characters, as of file names that aren't text, in them or in their name."""
    return [name for name, column in features.items() if not all(map(_is_utf8, (name, *_texts_in(column))))]


def _texts_in(column: NDArray[Any]) -> list[str]:
    return [value for value in column.tolist() if isinstance(value, str)] if column.dtype.kind in "OU" else []


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_all_missing(column: NDArray[Any]) -> bool:
    """Whether a column has a value in no row: nothing but NaN, None and empty texts."""
    if not len(column) or column.dtype.kind in "biu":
        return not len(column)
    return all(_is_missing(value) or (isinstance(value, str) and not value) for value in column.tolist())


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
    if kind == "f" and column.dtype.itemsize > np.dtype(np.float64).itemsize:  # which no file has
        return column.astype(np.float64)
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
    """Whether a column is of texts; one of times isn't, also where no row has a time."""
    kind = column.dtype.kind
    return kind == "U" or (kind == "O" and all(isinstance(value, str) or _is_missing(value) for value in column))


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or _is_nan(value)


def kinds_of(features: Mapping[str, NDArray[Any]]) -> dict[str, Kind]:
    """The types of all columns by name."""
    return {name: kind_of(column) for name, column in features.items()}
