"""Sorting millions of pairs a portion at a time, so that whoever waits can stop it: numpy sorts all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: So many are sorted in some hundredths of a second.
PORTION: Final = 2**18
_SAMPLED_A_PORTION: Final = 64
_MOST_PARTS: Final = 1000

Key = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]


def sorted_portions(keys: Sequence[Key], look: Callable[[], None] = lambda: None) -> Iterator[NDArray[np.intp]]:
    """The rows of a table in order, portion after portion: just those of ``np.lexsort(keys[::-1])``.

    Parameters
    ----------
    keys
        Columns without NaN; rows that are equal in the first go by the second, and so on, and equal rows as they stand.
    look
        Called after each step of some hundredths of a second; it may raise.
    """
    yield from _portions(keys, np.arange(len(keys[0])), look)


def _portions(keys: Sequence[Key], rows: NDArray[np.intp], look: Callable[[], None]) -> Iterator[NDArray[np.intp]]:
    """Those of some rows, which rise."""
    look()
    if len(rows) <= PORTION or not keys:
        yield rows[np.lexsort([key[rows] for key in reversed(keys)])] if keys else rows
        return
    values = keys[0][rows]
    step = max(1, PORTION // _SAMPLED_A_PORTION)
    sample = np.sort(values[::step])
    borders = np.unique(sample[:: max(_SAMPLED_A_PORTION // 2, len(sample) // _MOST_PARTS)])
    parts = np.empty(len(rows), dtype=np.uint16)
    for start in range(0, len(rows), PORTION):
        some = values[start : start + PORTION]
        # what equals a border is a part of its own, so that every part is smaller than the whole or equal in this key
        parts[start : start + PORTION] = np.searchsorted(borders, some) + np.searchsorted(borders, some, side="right")
        look()
    order = np.argsort(parts, kind="stable")  # of so small numbers, by counting
    ends = np.cumsum(np.bincount(parts, minlength=2 * len(borders) + 1))
    for part, (start, end) in enumerate(zip(np.concatenate([[0], ends[:-1]]), ends, strict=True)):
        if start < end:
            is_equal = part % 2 == 1
            yield from _portions(keys[1:] if is_equal else keys, rows[order[start:end]], look)
