"""In which order picks are looked at: by any column, and by what can be measured of where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.review.filtering import is_missing, numbers_of

#: Columns that are measured, beside those that the picks have.
NEAREST: Final = "nearest_nm"
EDGE: Final = "edge_nm"
DENSITY: Final = "density"
MEASURED: Final = (DENSITY, NEAREST, EDGE)
#: Positions beyond are damaged: no digit of theirs is left for a distance, whose square may be no number any more.
_FARTHEST: Final = 1e15


@dataclass(frozen=True, slots=True)
class Order:
    """How to sort: by a column, or as the picks stand in their file where that is empty."""

    column: str = ""
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """All that picks can be sorted and filtered by, one value a pick in the picks' own order."""

    table: Mapping[str, NDArray[Any]]

    def rows(self, order: Order, shown: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.intp], int]:
        """The rows to look at, in order, and how many of them have no value to sort by and come last."""
        rows = np.arange(len(next(iter(self.table.values()), ()))) if shown is None else np.flatnonzero(shown)
        if not order.column:
            return (rows[::-1] if order.is_descending else rows), 0
        column = self.table[order.column][rows]
        sorting, n_missing = sorted_rows(column, is_descending=order.is_descending)
        return rows[sorting], n_missing


def sorted_rows(column: NDArray[Any], *, is_descending: bool = False) -> tuple[NDArray[np.intp], int]:
    """Row numbers in the order of a column, and how many values are missing.

    Rows of equal value keep their order in both directions; missing values (NaN, None, empty) come last in both.
    """
    missing = is_missing(column)
    known, unknown = np.flatnonzero(~missing), np.flatnonzero(missing)
    values = column[known]
    numbers = numbers_of(values)
    keys = numbers if numbers is not None else np.unique([str(v) for v in values.tolist()], return_inverse=True)[1]
    sorting = np.argsort(-keys if is_descending else keys, kind="stable")
    return np.concatenate([known[sorting], unknown]), len(unknown)


def measured(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """What the places of picks alone say, in nm: how far the nearest other one is, and the edge of the volume.

    Parameters
    ----------
    points_zyx, shape_zyx, spacing_zyx
        Where they are in the volume, in its voxels, its size in voxels, and the size of a voxel in ångström.
    """
    with np.errstate(over="ignore"):  # of damaged positions
        nearest = nearest_distances(points_zyx * spacing_zyx) / 10
        return {NEAREST: nearest, EDGE: edge_distances(points_zyx, shape_zyx, spacing_zyx) / 10}


def nearest_distances(points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the nearest other point is from each; NaN where there is only one, and for those beyond all volumes."""
    from scipy.spatial import KDTree

    found = np.full(len(points_zyx), np.nan)
    rows = np.flatnonzero((np.abs(points_zyx) < _FARTHEST).all(axis=1))
    if len(rows) > 1:
        distances, _ = KDTree(points_zyx[rows]).query(points_zyx[rows], k=2)
        found[rows] = distances[:, 1]
    return found


def edge_distances(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """How far each point is from the nearest face of a volume, in the unit of ``spacing_zyx``; negative outside of it.

    Faces are half a voxel beyond the centres of the outermost voxels.
    """
    inwards = np.minimum(points_zyx + 0.5, np.asarray(shape_zyx) - 0.5 - points_zyx)
    return np.asarray((inwards * np.abs(spacing_zyx)).min(axis=1), dtype=np.float64)
