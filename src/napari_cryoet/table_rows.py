"""Rows of large tables: whether ids tell them apart, where they stand in another, and taking them as fast as can be."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MOST_SPANS: Final = 64

Spans = list[tuple[int, int]]


def spans_of(rows: NDArray[np.intp], count: int) -> Spans | None:
    """The first row and the end of each stretch of rows that follow one another, of a table with so many rows.

    None where there are many stretches, which are no quicker, or rows that the table doesn't have.
    """
    if not len(rows) or rows.min() < 0 or rows.max() >= count:
        return None
    breaks = np.flatnonzero(np.diff(rows) != 1)
    if len(breaks) >= _MOST_SPANS:
        return None
    starts, lasts = rows[np.append(0, breaks + 1)], rows[np.append(breaks, len(rows) - 1)]
    return list(zip(starts.tolist(), (lasts + 1).tolist(), strict=True))


def taken(column: NDArray[Any], rows: NDArray[np.intp], spans: Spans | None) -> NDArray[Any]:
    """Some rows of a column, as ``column[rows]``; ``spans`` are those of the rows."""
    return column[rows] if spans is None else np.concatenate([column[start:end] for start, end in spans])


def rows_among(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """Where wanted ids stand among others, each of which is there once, if they stand there in the same order.

    None where one isn't there, or stands elsewhere: as what is left of a table after something was deleted doesn't.
    """
    if len(wanted) > len(ids):
        return None
    rows = _rows_around_one_gap(ids, wanted)
    if rows is not None:
        return rows
    rows = np.flatnonzero(np.isin(ids, wanted))
    return rows if np.array_equal(ids[rows], wanted) else None


def _rows_around_one_gap(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """As `rows_among` where all or but one stretch is wanted, which needs no look at where each of them is."""
    differs = ids[: len(wanted)] != wanted
    start = int(differs.argmax()) if differs.any() else len(wanted)
    end = start + len(ids) - len(wanted)
    if not np.array_equal(ids[end:], wanted[start:]):
        return None
    return np.concatenate([np.arange(start), np.arange(end, len(ids))])


def are_unique(ids: NDArray[np.integer[Any]]) -> bool:
    """Whether no number comes twice; most often they ascend, which is told at once."""
    ascend = bool((ids[1:] > ids[:-1]).all())
    return ascend or not (np.diff(np.sort(ids)) == 0).any()
