"""Sort and filter picks by their columns.

A filter is text such as ``score > 0.4 and edge_distance_nm > 20``. It is parsed, never executed::

    filter     = all { "or" all }
    all        = condition { "and" condition }
    condition  = column comparison value | column "is missing" | column "is known"
    comparison = ">" | ">=" | "<" | "<=" | "=" | "!=" | "contains" | "in" low ".." high

Names and values with spaces are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError

BoolColumn = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

_TOKEN: Final = re.compile(r""""[^"]*"|'[^']*'|>=|<=|!=|==|[=<>]|[^\s<>=!"']+|\S""")
_COMPARE: Final = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
_HINT: Final = "Write it like: score > 0.4 and density in -2..0.5 (or: method contains crYOLO)."


@dataclass(frozen=True, slots=True)
class Order:
    """A sort order: by a column, or file order if ``column`` is empty."""

    column: str = ""
    is_descending: bool = False


def sorted_rows(column: NDArray[Any], *, is_descending: bool = False) -> NDArray[np.intp]:
    """Sort rows by a column.

    Sorting is stable in both directions. Missing values (NaN, None, empty) come last in both.
    """
    missing = is_missing(column)
    known, unknown = np.flatnonzero(~missing), np.flatnonzero(missing)
    values = column[known]
    keys = _numbers_of(values)
    if keys is None:
        keys = np.unique([str(value) for value in values.tolist()], return_inverse=True)[1]
    sorting = np.argsort(-keys.astype(np.float64) if is_descending else keys, kind="stable")
    return np.concatenate([known[sorting], unknown])


def matching(filter_text: str, columns: Columns) -> BoolColumn:
    """Mask of rows that match a filter; all rows if it is empty.

    Missing values never match a comparison.
    """
    tokens = _TOKEN.findall(filter_text)
    if not tokens:
        return np.ones(len(next(iter(columns.values()))), dtype=bool)
    groups = [
        [_condition(part, columns) for part in _split(group, "and")]
        for group in _split(tokens, "or")
    ]
    return np.asarray(
        np.logical_or.reduce([np.logical_and.reduce(group) for group in groups]), dtype=bool
    )


def _split(tokens: list[str], keyword: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token.lower() == keyword:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _condition(tokens: list[str], columns: Columns) -> BoolColumn:
    if len(tokens) < 3:
        raise FormatError(f"“{' '.join(tokens)}” isn't a condition.", hint=_HINT)
    name, operator = _column_name(_unquoted(tokens[0]), columns), tokens[1].lower()
    column, values = columns[name], list(map(_unquoted, tokens[2:]))
    known: BoolColumn = ~is_missing(column)
    match operator, values:
        case "is", ["missing" | "known" as state]:
            return known if state == "known" else ~known
        case "contains", [part]:
            return known & np.array(
                [part.lower() in str(value).lower() for value in column.tolist()], dtype=np.bool_
            )
        case "=" | "==" | "!=", [value]:
            return np.asarray(known & (_equals(column, value) ^ (operator == "!=")), dtype=bool)
        case ">" | ">=" | "<" | "<=", [value]:
            return np.asarray(
                _COMPARE[operator](_numbers(column, name), _number(value, name)), dtype=bool
            )
        case "in", _ if ".." in "".join(values):
            numbers, (low, _, high) = _numbers(column, name), "".join(values).partition("..")
            return np.asarray(
                (numbers >= _number(low, name)) & (numbers <= _number(high, name)), dtype=bool
            )
    raise FormatError(f"“{' '.join(tokens)}” isn't a valid condition.", hint=_HINT)


def _unquoted(token: str) -> str:
    return token[1:-1] if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'" else token


def _column_name(word: str, columns: Columns) -> str:
    alike = [name for name in columns if name.lower() == word.lower()]
    if word not in columns and not alike:
        raise FormatError(
            f"There is no column “{word}”. Columns: {', '.join(columns)}.", hint=_HINT
        )
    return word if word in columns else alike[0]


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FormatError(
            f"“{text}” isn't a number, so it can't be compared with {name}.", hint=_HINT
        ) from None


def _numbers(column: NDArray[Any], name: str) -> NDArray[Any]:
    numbers = _numbers_of(column)
    if numbers is None:
        raise FormatError(f"{name} is text; use =, != or contains.", hint=_HINT)
    return numbers


def _numbers_of(column: NDArray[Any]) -> NDArray[Any] | None:
    """Convert a column to numbers, NaN where missing; None if a value isn't a number."""
    if column.dtype.kind in "iufb":
        return column
    try:
        return np.array(
            [np.nan if value in (None, "") else float(value) for value in column.tolist()]
        )
    except (TypeError, ValueError):
        return None


def _equals(column: NDArray[Any], value: str) -> BoolColumn:
    """Compare as numbers if both sides are numbers, else as text, ignoring case."""
    numbers = _numbers_of(column)
    with suppress(FormatError):
        if numbers is not None:
            return np.asarray(numbers == _number(value, ""), dtype=bool)
    return np.array([str(entry).lower() == value.lower() for entry in column.tolist()], dtype=bool)


def is_missing(column: NDArray[Any]) -> BoolColumn:
    """Mask of values that are NaN, None or empty."""
    import pandas as pd

    return np.asarray(pd.isna(column) | (column == ""), dtype=bool)
