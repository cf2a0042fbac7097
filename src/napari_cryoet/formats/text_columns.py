"""Columns of texts many values at a time: compact in memory, read as numbers and written as texts by Arrow.

Only what Arrow and Python read alike is read here. Whatever else a text may be (007, 1_000, 0x1F, nan(1), spaces around
it, digits of other scripts) is None here, and left to whoever looks at one value after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_AT_A_TIME: Final = 2**14  # of the longest texts, these are still less than Arrow's 2 GiB
_NANS: Final = frozenset({"nan", "NaN", "NAN"})
#: Of a column of so many different texts, each is looked at once.
_MOST_DIFFERENT: Final = 4_096
LARGEST_EXACT: Final = 2**53  # up to it, 64 bits hold every whole number as a real one
_SPELLED_IN_ANOTHER_WAY: Final = r"^\s*[+-]?0[0-9xX]|^\+"


class TextTable:
    """Columns of texts by name, null where nothing is known, each row with its number in the file.

    Parameters
    ----------
    columns
        All as long.
    rows
        What each row is counted as, from 1.
    """

    def __init__(self, columns: Mapping[str, pa.ChunkedArray], rows: NDArray[np.int64]) -> None:
        self._columns, self.rows = dict(columns), rows

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self._columns[name]

    def texts(self, name: str) -> list[str]:
        """A column value by value; nan where nothing is known."""
        return ["nan" if value is None else value for value in self._columns[name].to_pylist()]

    def different(self, name: str) -> list[str]:
        """The texts of a column, each once, in the order in which they come."""
        import pyarrow.compute as pc

        return ["nan" if value is None else str(value) for value in pc.unique(self._columns[name]).to_pylist()]

    def where(self, name: str, text: str | None) -> TextTable:
        """The rows that have a text in a column; null counts as nan."""
        import pyarrow.compute as pc

        chosen = pc.equal(pc.fill_null(self._columns[name], "nan"), text)
        if pc.all(chosen).as_py():
            return self
        rows = self.rows[chosen.to_numpy()]
        return TextTable({label: column.filter(chosen) for label, column in self._columns.items()}, rows)


def texts_of(values: Iterable[Any] | pd.Series) -> pa.ChunkedArray:
    """Texts as a column; None and NaN are null."""
    import pyarrow as pa

    found = pa.array(values, from_pandas=True)
    found = found.cast(pa.string()) if pa.types.is_null(found.type) else found
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def read_separated(
    path: Path, names: Sequence[str], *, separator: str, skip_rows: int = 0
) -> dict[str, pa.ChunkedArray] | None:
    """The columns of a file of separated values, all as texts; None where a row has not as many values as names."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        with opened_by_arrow(path) as raw:
            table = csv.read_csv(
                raw,
                read_options=csv.ReadOptions(column_names=names, skip_rows=skip_rows),
                parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=separator == ","),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
    except (pa.ArrowInvalid, OSError):
        return None
    return dict(zip(names, table.columns, strict=True))


def opened_by_arrow(path: Path) -> pa.NativeFile:
    """A file for Arrow to read.

    Arrow's threads may let go of a file of Python's only when Python has ended, and then abort the process or hang
    (apache/arrow issues 34314 and 50482). So they get one of Arrow's own, or the content where its name isn't text.
    """
    import pyarrow as pa

    try:
        return pa.OSFile(os.fspath(path))
    except UnicodeEncodeError:
        return pa.BufferReader(path.read_bytes())


def holds_empty(texts: pa.ChunkedArray) -> bool:
    """Whether some text is empty, as between two separators."""
    import pyarrow.compute as pc

    return bool(pc.any(pc.equal(texts, "")).as_py())


def is_column(values: object) -> bool:
    """Whether something is a column of texts as they are kept here."""
    return type(values).__name__ == "ChunkedArray"


def reals(texts: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """The numbers that texts spell, NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = _given(texts)
    try:
        numbers = pc.cast(given, pa.float64())
    except pa.ArrowInvalid:
        return None
    spelled = pc.unique(given.filter(pc.is_nan(numbers))).to_pylist()
    if not _NANS.issuperset(text for text in spelled if text is not None):
        return None
    return np.array(numbers.to_numpy())


def wholes(texts: pa.ChunkedArray) -> NDArray[np.int64] | None:
    """The whole numbers that texts spell, where all do."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if texts.null_count:
        return None
    try:
        numbers = pc.cast(texts, pa.int64())
    except pa.ArrowInvalid:
        return None
    return None if _any_is_odd(texts) else np.array(numbers.to_numpy())


def typed(texts: pa.ChunkedArray, one_by_one: Callable[[list[Any]], NDArray[Any]]) -> NDArray[Any]:
    """As `column_types.typed`, which is ``one_by_one``."""
    import pyarrow.compute as pc

    if len(texts) and len(texts) > _given(texts).null_count:
        whole = wholes(texts)
        if whole is not None:
            return whole
        real = None if _any_is_odd(texts) else reals(texts)
        if real is not None and _are_all_digits_kept(texts, real, one_by_one):
            return real
        different = pc.unique(texts)
        if len(different) <= _MOST_DIFFERENT:
            kinds = one_by_one(different.to_pylist())
            if kinds.dtype.kind == "O":  # texts, then, and the same ones are kept once
                places = pc.index_in(texts, value_set=different).to_numpy()
                return np.asarray(kinds[places])
    return one_by_one(texts.to_pylist())


def _are_all_digits_kept(
    texts: pa.ChunkedArray, reals_of_them: NDArray[np.float64], one_by_one: Callable[[list[Any]], NDArray[Any]]
) -> bool:
    """Whether no text has more digits than its real, as whole numbers beyond 2^53 may."""
    import pyarrow as pa
    import pyarrow.compute as pc

    are_far = np.abs(reals_of_them) >= LARGEST_EXACT
    if not are_far.any():
        return True
    far = pc.unique(texts.filter(pa.array(are_far))).to_pylist()
    return one_by_one([*far, ""]).dtype.kind == "f"  # beside a gap, none is taken for a whole number


def rows_as_text(
    columns: Mapping[str, Any], *, separator: str, missing: str, quoted: Callable[[pa.Array], pa.Array] | None = None
) -> Iterator[bytes]:
    """Rows as lines of text, some thousands at a time; numbers with all digits that tell them apart.

    Parameters
    ----------
    columns
        Arrays of numbers, truth values or texts, or what Arrow makes those of.
    separator
        Between values.
    missing
        What NaN and null are written as.
    quoted
        What is made of texts.
    """
    import pyarrow as pa

    arrays = [_doubles(pa.array(column, from_pandas=True)) for column in columns.values()]
    for start in range(0, len(arrays[0]) if arrays else 0, _ROWS_AT_A_TIME):
        parts = []
        for array in arrays:
            part = array.slice(start, _ROWS_AT_A_TIME)
            texts = as_texts(part, pa.types.is_floating(part.type) and is_all_whole(array))
            parts.append((quoted(texts) if quoted and not _is_number(array.type) else texts).fill_null(missing))
        yield joined(parts, separator, "\n")


def _doubles(values: pa.Array) -> pa.Array:
    """Narrower reals as those of 64 bits that files are read as, so that they are the same numbers then."""
    import pyarrow as pa

    return values.cast(pa.float64()) if pa.types.is_floating(values.type) else values


def in_quotes(texts: pa.Array) -> pa.Array:
    """Texts in quotes where they need some between commas (RFC 4180)."""
    import pyarrow.compute as pc

    inner = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise('"', inner, '"', "")
    return pc.if_else(pc.match_substring_regex(texts, '[",\r\n]'), quoted, texts)


def as_texts(values: pa.Array, are_whole: bool) -> pa.Array:
    """Values as texts; reals that are all whole end in .0, so that they are known for reals."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "True", "False")
    texts = pc.cast(values, pa.string())
    return pc.replace_substring_regex(texts, r"^(-?\d+)$", r"\1.0") if are_whole else texts


def is_all_whole(values: pa.Array) -> bool:
    """Whether reals are whole numbers throughout."""
    numbers = values.drop_null().to_numpy(zero_copy_only=False)
    return bool((numbers == np.round(numbers)).all())


def joined(parts: list[Any], separator: str, end: str) -> bytes:
    """Columns of texts, side by side with something between, as one text of lines."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = pc.binary_join_element_wise(*(pc.cast(part, pa.string()) for part in parts), separator)
    return b"".join(pc.binary_join_element_wise(lines, end, "").cast(pa.binary()).to_pylist())


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _given(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts with null in place of empty ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def _any_is_odd(texts: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(texts, _SPELLED_IN_ANOTHER_WAY)).as_py())
