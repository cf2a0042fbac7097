"""Gives decisions to free picks at their places, each pick once: as quick where thousands are at one place.

A search finds spots, and which of a spot's picks is the next free one is known at once, so that neither memory nor time
grows with the square of how many are there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.review.spots import NOWHERE, Spots


class _Free:
    """Picks that no decision has yet, by their spots and kinds.

    Parameters
    ----------
    picks
        Each with its spot and kind; of those that are alike, the one to give first comes last.
    found
        Those that have decisions.
    """

    def __init__(self, picks: Iterable[tuple[int, int, int]], found: NDArray[np.intp]) -> None:
        self._taken: set[int] = set(found.tolist())
        self._left: dict[tuple[int, int], list[int]] = {}
        for pick, spot, kind in picks:
            self._left.setdefault((spot, kind), []).append(pick)

    def __contains__(self, pick: int) -> bool:
        return pick not in self._taken

    def take(self, pick: int) -> None:
        self._taken.add(pick)

    def next_at(self, spots: Iterable[int], kind: int) -> list[int]:
        """Of each of some spots the pick of a kind that is next, if there is one."""
        found = []
        for spot in spots:
            left = self._left.get((spot, kind), [])
            while left and left[-1] in self._taken:
                left.pop()
            found += left[-1:]
        return found


def match_copies(
    are_copies: NDArray[np.bool_],
    places: NDArray[np.float64],
    positions: NDArray[np.float64],
    found: NDArray[np.intp],
    reach: float,
) -> None:
    """Fill in ``found`` for copies, with the last of the picks that no decision has yet where there are several."""
    left = np.flatnonzero((found < 0) & are_copies)[::-1]  # the last copy is the last pick
    if not len(left) or not np.isfinite(positions).all(axis=1).any():
        return
    spots = Spots(positions)
    free = _Free(((pick, spot, 0) for pick, spot in enumerate(spots.of.tolist()) if spot >= 0), found)
    for row, near in zip(left.tolist(), spots.near(places[left], reach), strict=True):
        last = free.next_at(near, 0)
        if last and spots.counts[near].sum() > 1:
            found[row] = max(last)
            free.take(max(last))


def match_marked(
    marks: NDArray[np.int64],
    places: NDArray[np.float64],
    positions: NDArray[np.float64],
    own: NDArray[np.int64],
    *,
    by_id: NDArray[np.intp],
    found: NDArray[np.intp],
    reach: float,
) -> None:
    """Fill in ``found`` for decisions with a mark: a free pick at their place that has this mark, by id if several."""
    left = np.flatnonzero((marks != 0) & (found < 0) & (np.abs(places) < NOWHERE).all(axis=1))
    if not len(left) or not np.isfinite(positions).all(axis=1).any():
        return
    spots = Spots(positions)
    asked = np.flatnonzero((spots.of >= 0) & np.isin(own, marks[left]))[::-1]
    free = _Free(zip(asked.tolist(), spots.of[asked].tolist(), own[asked].tolist(), strict=True), found)
    for row, near in zip(left.tolist(), spots.near(places[left], reach), strict=True):
        pick = int(by_id[row])
        if pick < 0 or own[pick] != marks[row] or spots.of[pick] not in near or pick not in free:
            first = free.next_at(near, int(marks[row]))
            if not first:
                continue
            pick = min(first)
        found[row] = pick
        free.take(pick)
