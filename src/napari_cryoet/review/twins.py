"""Picks at one place: decisions that are about one of them which is gone, so that the others don't take them over."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: What stands for a place of picks that have none, along each axis.
NOWHERE: Final = 1e299
_MANY: Final = 2**31


def numbers_at(places: NDArray[np.float64], others: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """How many others are at each place."""
    from scipy.spatial import KDTree

    others = others[(np.abs(others) < NOWHERE).all(axis=1)]
    numbers = np.zeros(len(places), dtype=np.intp)
    known = np.flatnonzero((np.abs(places) < NOWHERE).all(axis=1))
    if len(known) and len(others):
        numbers[known] = KDTree(others).query_ball_point(places[known], reach, return_length=True)
    return numbers


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
