"""Where picks were before they were moved or deleted: a file may have been saved of them meanwhile, and opens later.

A trail is states of only those picks that were moved, the latest first; each holds a pick once, and none where another
one has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.spots import numbers_at

#: Places of a pick that are remembered of one session.
LONGEST: Final = 8
_SAME_VOXELS: Final = 0.01

Trail = tuple[Picks, ...]


def trail_of(states: Iterable[Picks]) -> Trail:
    """Where picks were in states that followed one another."""
    trail: Trail = ()
    for before, after in pairwise(states):
        trail = with_step(trail, before, after)
    return trail


def with_step(trail: Trail, before: Picks, after: Picks) -> Trail:
    """A trail with the places that picks had before a step that moved them.

    A place where another pick was, too, as that which a copy was pasted over, tells nobody which of them was meant.
    """
    if before.points_zyx is after.points_zyx:
        return trail
    rows_before, rows_after = _common_rows(before.ids, after.ids)
    is_moved = (before.points_zyx[rows_before] != after.points_zyx[rows_after]).any(axis=1)
    rows = rows_before[is_moved]
    new = left = _bare(before, rows[_numbers_there(before.points_zyx[rows], before.points_zyx) == 1])
    longer: list[Picks] = []
    for state in (*trail, new.take([])):
        if not len(left):
            return (*longer, *trail[len(longer) :])
        if len(longer) == LONGEST:
            break
        longer.append(_joined(left, state))
        left = state.take(np.isin(state.ids, left.ids) & ~_are_among(state, new))
    return tuple(longer)


def _common_rows(before: NDArray[np.int64], after: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _, rows_before, rows_after = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return rows_before, rows_after


def _are_among(picks: Picks, others: Picks) -> NDArray[np.bool_]:
    """Which picks are among others at the same place."""
    rows, rows_of_others = _common_rows(picks.ids, others.ids)
    are_there = np.zeros(len(picks), dtype=bool)
    are_there[rows] = (picks.points_zyx[rows] == others.points_zyx[rows_of_others]).all(axis=1)
    return are_there


def with_gone(picks: Picks, before: Picks) -> Picks:
    """Picks, and behind them those of before that aren't among them any more, of which only the place counts."""
    return picks if np.isin(before.ids, picks.ids).all() else _joined(picks, before)


def _numbers_there(places: NDArray[np.float64], all_places: NDArray[np.float64]) -> NDArray[np.intp]:
    """How many of all picks are at each place; most often only few are anywhere near these."""
    if not len(places):
        return np.zeros(0, dtype=np.intp)
    lowest, highest = places.min(axis=0) - _SAME_VOXELS, places.max(axis=0) + _SAME_VOXELS
    near = all_places
    for axis in range(3):
        near = near[(near[:, axis] >= lowest[axis]) & (near[:, axis] <= highest[axis])]
    return np.ones(1, dtype=np.intp) if len(near) == 1 else numbers_at(places, near, _SAME_VOXELS)


def _joined(newer: Picks, older: Picks) -> Picks:
    """Two states in one; of a pick in both, what is newer. Of a grid that was told meanwhile, the newer counts."""
    rest = older.take(~np.isin(older.ids, newer.ids))
    return Picks(
        np.concatenate([newer.points_zyx, rest.points_zyx]),
        newer.spacing_angstrom,
        ids=np.concatenate([newer.ids, rest.ids]),
    )


def _bare(picks: Picks, rows: NDArray[np.intp]) -> Picks:
    return Picks(picks.points_zyx[rows], picks.spacing_angstrom, ids=picks.ids[rows])
