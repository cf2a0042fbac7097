"""Picks at one place: which of them a decision is about, so that others there don't take it over.

What else is known of such picks, as scores, tells them apart in each version of their file. Where nothing does, it
counts how many are there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.spots import NOWHERE, mixed, numbers_at

#: Added to the mark of a pick that others were with which are the same in all that is known.
ALIKE: Final = 2**52
_MANY: Final = 2**31
_MARK_BITS: Final = 52  # with one more, as JSON holds exactly
_TOLD_BITS: Final = 3  # of these, the last ones: what a mark was made of
_TOLD: Final = 2**_TOLD_BITS - 1
_ROTATION_STEP: Final = 0.01  # beyond what a format's angles lose


def marks_of(picks: Picks) -> NDArray[np.int64]:
    """A number for each pick that tells it from others at its place by its score, instance and rotation; else 0."""
    columns: list[NDArray[Any]] = [np.zeros(len(picks))]
    known = (picks.scores, picks.instance_ids, picks.rotations_zyx)
    told = sum(2**bit for bit, column in enumerate(known) if column is not None)
    if picks.scores is not None:
        columns.append(np.nan_to_num(picks.scores, nan=-np.inf).astype(np.float32).astype(np.float64))  # as files round
    if picks.instance_ids is not None:
        columns.append(picks.instance_ids)
    if picks.rotations_zyx is not None:
        rotations = np.round(np.nan_to_num(picks.rotations_zyx, posinf=0, neginf=0).reshape(-1, 9) / _ROTATION_STEP)
        columns.extend(rotations.T)
    numbers = mixed(columns) >> np.uint64(64 - _MARK_BITS + _TOLD_BITS)
    return np.asarray(numbers.astype(np.int64) << _TOLD_BITS | told, dtype=np.int64)


def comparable_marks(marks: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Marks, and 0 for those that say nothing of some picks: they tell what these lack, as in another format."""
    return np.where(np.isin(marks & _TOLD, own & _TOLD), marks, 0)


def crowded(points_zyx: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which picks are at the very same place as others."""
    spots = mixed(points_zyx.T)
    order = np.argsort(spots)
    same = np.flatnonzero(spots[order[1:]] == spots[order[:-1]])
    are_crowded = np.zeros(len(spots), dtype=bool)
    are_crowded[order[same]] = are_crowded[order[same + 1]] = True
    return are_crowded


def marks_in_company(points_zyx: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """The marks of picks each of which others are with; with `ALIKE` where nothing tells any of these apart.

    Parameters
    ----------
    points_zyx, own
        Of crowded picks: where they are, and what `marks_of` says of them.
    """
    spots = mixed(points_zyx.T)
    _, spot, n_there = np.unique(spots, return_inverse=True, return_counts=True)
    _, kind, n_alike = np.unique(mixed([spots, own]), return_inverse=True, return_counts=True)
    are_alike = (n_alike[kind] == n_there[spot]) | (own & _TOLD == 0)
    return own | np.where(are_alike, ALIKE, 0)


def best_marks(*marks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of several marks of each pick the first that tells it from others, or else the first."""
    best = marks[0]
    for others in marks[1:]:
        best = np.where((best == 0) | ((best >= ALIKE) & (others > 0) & (others < ALIKE)), others, best)
    return best


def tell_something(marks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which marks were made of anything that picks may differ in."""
    return np.asarray(marks & _TOLD != 0)


def with_numbers_left(
    former_zyx: NDArray[np.float64], deleted: NDArray[np.intp], n_left: NDArray[np.intp], n_opened: NDArray[np.intp]
) -> None:
    """Note in former places, for each deleted pick that had others at its place, how many of these are left."""
    is_one_of_several = (n_left > 0) & (n_left < n_opened)
    rows = deleted[is_one_of_several]
    former_zyx[rows, :2] = NOWHERE
    former_zyx[rows, 2] = n_left[is_one_of_several]


def numbers_left(former_zyx: NDArray[np.float64] | None, count: int) -> NDArray[np.intp]:
    """How many others are left at the place of each pick, where that is noted; else 0."""
    if former_zyx is None:
        return np.zeros(count, dtype=np.intp)
    is_noted = (former_zyx[:, :2] >= NOWHERE).all(axis=1) & (former_zyx[:, 2] > 0) & (former_zyx[:, 2] < _MANY)
    return np.where(is_noted, former_zyx[:, 2], 0).astype(np.intp)


def numbers_kept(
    places: NDArray[np.float64], is_kept: NDArray[np.bool_], is_unmoved: NDArray[np.bool_], reach: float
) -> NDArray[np.intp]:
    """How many kept ones are at the place of each one that was rejected: of several, rejected ones go first."""
    numbers = np.zeros(len(places), dtype=np.intp)
    rejected = np.flatnonzero(~is_kept & is_unmoved)
    numbers[rejected] = numbers_at(places[rejected], places[is_kept & is_unmoved], reach)
    return numbers
