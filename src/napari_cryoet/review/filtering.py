"""Filters that a person types, such as ``score > 0.4 and by contains crYOLO``: read word by word, never executed.

::

    filter     = all { "or" all }
    all        = condition { "and" condition }
    condition  = column comparison value | column "is missing" | column "is known"
    comparison = ">" | ">=" | "<" | "<=" | "=" | "!=" | "contains" | "in" low ".." high
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.picks import NO_INSTANCE

_MAX_LENGTH: Final = 1000
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<sign>>=|<=|!=|==|=|>|<)|(?P<dots>\.\.)"""
    r"""|(?P<word>(?:(?!\.\.)[^\s<>=!"'])+))"""
)
_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_HINT: Final = "Write it like: score > 0.4 and density in -2..0.5 (or: method contains crYOLO)."

Mask = NDArray[np.bool_]
Table = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which picks to look at.

    Attributes
    ----------
    text
        As it was typed.
    """

    text: str
    _test: Callable[[Table], Mask]

    def __call__(self, table: Table) -> Mask:
        """The rows of a table that pass; NaN and missing values pass no comparison.

        Raises
        ------
        FormatError
            If a column is compared with what it can't be compared with.
        """
        return self._test(table)


def parse_filter(text: str, columns: Mapping[str, NDArray[Any]], measurable: Collection[str] = ()) -> Filter | None:
    """The filter that a text means; None where it is empty.

    Parameters
    ----------
    text
        As a person types it. Names of columns may be written in any case, and in quotes where they have blanks.
    columns
        The table that it will be applied to; only its columns can be named.
    measurable
        What else could be a column of it once it is measured, to be told to who names one that isn't there.

    Raises
    ------
    FormatError
        With the word that isn't understood, and an example.
    """
    if not text.strip():
        return None
    if len(text) > _MAX_LENGTH:
        raise FormatError(f"A filter can't be longer than {_MAX_LENGTH} letters.")
    return Filter(text.strip(), _Parser(text, columns, measurable).parse())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


class _Parser:
    """Reads a filter from left to right."""

    def __init__(self, text: str, columns: Mapping[str, NDArray[Any]], measurable: Collection[str]) -> None:
        self._names = {name.lower(): name for name in columns}
        self._columns, self._measurable = columns, measurable
        self._tokens = list(_tokens(text))
        self._at = 0

    def parse(self) -> Callable[[Table], Mask]:
        test = self._any()
        if self._peek() is not None:
            raise _odd(self._peek())
        return test

    def _any(self) -> Callable[[Table], Mask]:
        tests = [self._all()]
        while self._takes("or"):
            tests.append(self._all())
        return lambda table: np.logical_or.reduce([test(table) for test in tests])

    def _all(self) -> Callable[[Table], Mask]:
        tests = [self._condition()]
        while self._takes("and"):
            tests.append(self._condition())
        return lambda table: np.logical_and.reduce([test(table) for test in tests])

    def _condition(self) -> Callable[[Table], Mask]:
        name = self._column()
        if self._takes("is"):
            if self._takes("missing"):
                return lambda table: _is_missing(table[name], name)
            if self._takes("known"):
                return lambda table: ~_is_missing(table[name], name)
            raise _odd(self._peek())
        if self._takes("contains"):
            part = self._next().text.lower()
            return lambda table: _contains(table[name], part) & ~_is_missing(table[name], name)
        if self._takes("in"):
            low = self._number(name)
            if self._next().kind != "dots":
                raise FormatError(f"A range of {name} is written low..high.", hint=_HINT)
            high = self._number(name)
            return lambda table: _between(
                _numbers(table[name], name), _as_in(table[name], low), _as_in(table[name], high)
            )
        return self._comparison(name)

    def _comparison(self, name: str) -> Callable[[Table], Mask]:
        token = self._next()
        if token.kind != "sign":
            raise _odd(token)
        if token.text in {"=", "==", "!="}:
            wanted = self._next().text
            if token.text == "!=":
                return lambda table: ~_equal(table[name], wanted) & ~_is_missing(table[name], name)
            return lambda table: _equal(table[name], wanted) & ~is_missing(table[name])  # as it stands in the table
        limit = self._number(name)
        compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}[token.text]
        return lambda table: np.asarray(compare(_numbers(table[name], name), _as_in(table[name], limit)), dtype=bool)

    def _column(self) -> str:
        token = self._next()
        name = token.text if token.text in self._columns else self._names.get(token.text.lower())
        if name is None or token.kind not in {"word", "quoted"}:
            if token.text.lower() in self._measurable:
                raise FormatError(f"{token.text} isn't measured yet.")
            known = ", ".join(dict.fromkeys([*self._columns, *self._measurable])) or "none"
            raise FormatError(f"There is no column “{token.text}”; there are: {known}.", hint=_HINT)
        return name

    def _number(self, name: str) -> float:
        token = self._next()
        try:
            number = float(token.text)
        except ValueError:
            raise FormatError(f"“{token.text}” is no number to compare {name} with.", hint=_HINT) from None
        _numbers(self._columns[name], name)
        return number

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> _Token:
        token = self._peek()
        if token is None:
            raise FormatError("The filter ends too early.", hint=_HINT)
        self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        token = self._peek()
        if token is None or not token.is_word(word):
            return False
        self._at += 1
        return True


def is_missing(column: NDArray[Any]) -> Mask:
    """Which values are NaN, None or empty."""
    if column.dtype.kind in "iub":
        return np.zeros(len(column), dtype=bool)
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column), dtype=bool)
    return np.array([_is_nothing(value) for value in column.tolist()], dtype=bool)


def _is_missing(column: NDArray[Any], name: str) -> Mask:
    """Which values of a column are missing; instance ids have a number for that, as in the portal's files."""
    if name == "instance_id" and column.dtype.kind in "iuf":
        return np.asarray(is_missing(column) | (column == NO_INSTANCE), dtype=bool)
    return is_missing(column)


def _is_nothing(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return not value
    try:
        return bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    except (TypeError, ValueError):  # as an array, of which there may be one for each pick
        return False


def numbers_of(column: NDArray[Any]) -> NDArray[np.float64] | None:
    """A column as numbers, NaN where a value is missing; None where any value is a text that is no number."""
    if column.dtype.kind in "iufb":
        return column.astype(np.float64)
    try:
        values = [np.nan if value is None or value == "" else float(value) for value in column.tolist()]
    except (TypeError, ValueError):
        return None
    return np.array(values, dtype=np.float64)


def _numbers(column: NDArray[Any], name: str) -> NDArray[np.float64]:
    numbers = numbers_of(column)
    if numbers is None:
        raise FormatError(f"{name} holds texts; compare it with =, != or contains.", hint=_HINT)
    return np.where(_is_missing(column, name), np.nan, numbers)


def _as_in(column: NDArray[Any], number: float) -> float:
    """A number as a column holds it: what is typed as 0.1 isn't 0.1 to numbers of 32 bits, or to reals made of such."""
    if column.dtype.kind != "f":
        return number
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
        were_narrow = column.dtype == np.float64 and np.array_equal(narrow, column, equal_nan=True)
        return float(np.float32(number) if were_narrow else column.dtype.type(number))


def _between(numbers: NDArray[np.float64], low: float, high: float) -> Mask:
    return np.asarray((numbers >= low) & (numbers <= high), dtype=bool)


def _equal(column: NDArray[Any], wanted: str) -> Mask:
    """Equal as numbers where both sides are numbers, else as texts in any case."""
    numbers = numbers_of(column)
    if numbers is not None:
        try:
            if column.dtype.kind in "iu" and _WHOLE.fullmatch(wanted):
                return np.asarray(column == int(wanted), dtype=bool)  # large ids have more digits than a float
            return np.asarray(numbers == _as_in(column, float(wanted)), dtype=bool)
        except ValueError:
            pass
    return np.array([str(value).lower() == wanted.lower() for value in column.tolist()], dtype=bool)


def _contains(column: NDArray[Any], part: str) -> Mask:
    return np.array([part in str(value).lower() for value in column.tolist()], dtype=bool)


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormatError(f"“{text[at:].strip()[:20]}” isn't understood.", hint=_HINT)
        kind = str(found.lastgroup)
        word = found.group(kind)
        tokens.append(_Token(kind, word[1:-1] if kind == "quoted" else word))
        at = found.end()
    return tokens


def _odd(token: _Token | None) -> FormatError:
    return FormatError(f"“{token.text if token is not None else ''}” isn't expected there.", hint=_HINT)
