"""What is measured of picks in a volume: local density, and how far the next pick and the edge are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import raise_if_stopped
from napari_cryoet.review.crops import Volume, mean_of_known

#: Names of the measured columns.
NEAREST: Final = "nearest_nm"
EDGE: Final = "edge_nm"
DENSITY: Final = "density"
MEASURED: Final = (DENSITY, NEAREST, EDGE)

_VOXELS_ACROSS: Final = 6  # of a ball, at least, at the level that is read
_MOST_STEPS: Final = 16  # from the middle of a ball to its surface
_CELL_VOXELS: Final = 96  # picks in one cell of the volume are read together
_SAMPLES_AT_ONCE: Final = 2**21
_FARTHEST: Final = 1e15  # positions beyond are damaged: their distances have no digit left


def distances_nm(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """For each pick, given in voxels of a volume, how far the nearest other one is and the edge, as columns."""
    with np.errstate(over="ignore"):  # damaged positions
        nearest = nearest_distances(points_zyx * spacing_zyx) / 10
        return {NEAREST: nearest, EDGE: edge_distances(points_zyx, shape_zyx, spacing_zyx) / 10}


def nearest_distances(points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the nearest other point is from each; NaN where there is only one."""
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


def densities_at(
    volume: Volume,
    points_zyx: NDArray[np.float64],
    diameter_angstrom: float,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> NDArray[np.float64]:
    """The mean density in a ball around each place, in voxels of the finest level; NaN where all of it lies outside.

    It reads the coarsest level with six voxels across the ball, cell by cell, so the work grows with the part of the
    volume that has picks rather than with their number. ``progress`` gets how many picks are done, and how many of all.

    Raises
    ------
    StreamError
        If the volume can't be read.
    StoppedError
        When ``stop`` is set.
    """
    level = volume.level_for(diameter_angstrom / _VOXELS_ACROSS)
    radius = diameter_angstrom / 2
    offsets = _ball(radius, max(volume.voxel_angstrom(level), radius / _MOST_STEPS)) / volume.spacing_zyx
    at_once = max(1, _SAMPLES_AT_ONCE // len(offsets))
    found, n_done = np.full(len(points_zyx), np.nan), 0
    for cell in _cells(volume.to_level(level, points_zyx)):
        for rows in np.split(cell, range(at_once, len(cell), at_once)):
            raise_if_stopped(stop)
            values = volume.sample(points_zyx[rows, None] + offsets, level, stop)
            found[rows] = mean_of_known(values, axis=1)
        n_done += len(cell)
        progress(n_done, len(points_zyx))
    return found


def _cells(points_zyx: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """The rows of points that lie in the same cell, cell by cell."""
    if not len(points_zyx):
        return []
    cells = np.floor(points_zyx / _CELL_VOXELS)
    order = np.lexsort(cells.T[::-1])
    return np.split(order, np.flatnonzero((np.diff(cells[order], axis=0) != 0).any(axis=1)) + 1)


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Vectors from the middle of a ball to evenly spaced places in it."""
    reach = int(radius / step)
    along = np.arange(-reach, reach + 1) * step
    places = np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(places[np.linalg.norm(places, axis=1) <= radius * 1.0001], dtype=np.float64)
