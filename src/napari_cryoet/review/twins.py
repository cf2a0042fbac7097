"""Picks at one place: which of them a decision is about, so that others there don't take it over.

What else is known of such picks, as scores, tells them apart in each version of their file. Where nothing does, it
counts how many are there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.spots import NOWHERE, mixed, numbers_at

_MANY: Final = 2**31
_MARK_BITS: Final = 52  # as JSON holds exactly
_TOLD_BITS: Final = 3  # of these, the last ones: what a mark was made of
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
    most = 2**_TOLD_BITS - 1
    return np.where(np.isin(marks & most, own & most), marks, 0)


def marks_of_twins(picks: Picks, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The mark of each of some picks beside which another one is at the very same place, with another mark; else 0."""
    marks = np.zeros(len(ids), dtype=np.int64)
    if not len(ids) or (picks.scores is None and picks.instance_ids is None and picks.rotations_zyx is None):
        return marks
    places = mixed(picks.points_zyx.T)
    asked = np.sort(places[np.isin(picks.ids, ids)])
    if not len(asked):
        return marks
    near = np.flatnonzero(asked[np.minimum(np.searchsorted(asked, places), len(asked) - 1)] == places)
    order = near[np.argsort(places[near])]
    is_twin = np.zeros(len(picks), dtype=bool)
    same = np.flatnonzero(places[order[1:]] == places[order[:-1]])
    is_twin[order[same]] = is_twin[order[same + 1]] = True
    rows = np.flatnonzero(is_twin)
    own = marks_of(picks.take(rows))
    alike = mixed([places[rows].view(np.float64), own])
    _, group, n_there = np.unique(places[rows], return_inverse=True, return_counts=True)
    _, kind, n_alike = np.unique(alike, return_inverse=True, return_counts=True)
    differs = n_alike[kind] < n_there[group]
    by_id = ById().changed(picks.ids[rows[differs]], own[differs])
    return by_id.of(ids)


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
