"""Places at which picks are: those at exactly one place are one spot, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: What stands for a place of picks that have none, along each axis.
NOWHERE: Final = 1e299
_FOUND_AT_ONCE: Final = 1_000_000
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def mixed(columns: Iterable[NDArray[Any]]) -> NDArray[np.uint64]:
    """One number for each row of some columns, reals or such numbers, that is the same where the rows are."""
    number: Any = np.uint64(0)
    for column in columns:
        bits = column if column.dtype == np.uint64 else _bits(column)
        number = (number ^ bits) * _MIX
        number = number ^ (number >> np.uint64(29))
    return np.asarray(number * _MIX)


def _bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.asarray(column, dtype=np.float64) + 0.0).view(np.uint64)  # -0.0 is 0.0


class Spots:
    """Where picks are, those at exactly one place together.

    Attributes
    ----------
    of
        The spot of each pick; -1 for those that are nowhere.
    counts
        How many picks there are in each.
    """

    def __init__(self, positions: NDArray[np.float64]) -> None:
        from scipy.spatial import KDTree

        finite = np.flatnonzero(np.isfinite(positions).all(axis=1))
        _, first, spots, self.counts = np.unique(
            mixed(positions[finite].T), return_index=True, return_inverse=True, return_counts=True
        )
        self.of = np.full(len(positions), -1)
        self.of[finite] = spots
        self._tree = KDTree(positions[finite[first]])

    def n_near(self, places: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
        """How many spots are near each place."""
        return np.asarray(self._tree.query_ball_point(places, reach, return_length=True))

    def near(self, places: NDArray[np.float64], reach: float) -> Iterator[list[int]]:
        """The spots near each place; as many places at once as find not too many."""
        ends = np.flatnonzero(np.diff(np.cumsum(self.n_near(places, reach)) // _FOUND_AT_ONCE)) + 1
        for start, end in pairwise([0, *ends.tolist(), len(places)]):
            yield from self._tree.query_ball_point(places[start:end], reach)


def numbers_at(places: NDArray[np.float64], others: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """How many others are at each place."""
    others = others[(np.abs(others) < NOWHERE).all(axis=1)]
    numbers = np.zeros(len(places), dtype=np.intp)
    known = np.flatnonzero((np.abs(places) < NOWHERE).all(axis=1))
    if len(known) and len(others):
        spots = Spots(others)
        if len(spots.counts) == len(others):
            numbers[known] = spots.n_near(places[known], reach)
        else:
            counts = spots.counts.tolist()
            numbers[known] = [sum(map(counts.__getitem__, near)) for near in spots.near(places[known], reach)]
    return numbers
