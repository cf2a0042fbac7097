"""What is measured of picks in a volume: local density, and how far the next pick and the edge are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import raise_if_stopped
from napari_cryoet.review.crops import Volume, mean_of_known
from napari_cryoet.volumes import edge_distances

#: Names of the measured columns.
NEAREST: Final = "nearest_nm"
EDGE: Final = "edge_nm"
DENSITY: Final = "density"
MEASURED: Final = (DENSITY, NEAREST, EDGE)

_VOXELS_ACROSS: Final = 6  # of a ball, at least, at the level that is read
_MOST_STEPS: Final = 16  # from the middle of a ball to its surface
_CELL_VOXELS: Final = 96  # picks in one cell of the volume are read together
_SAMPLES_AT_ONCE: Final = 2**21


def distances_nm(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """For each pick, given in voxels of a volume, how far the nearest other one is and the edge, as columns."""
    nearest = nearest_distances(points_zyx * spacing_zyx) / 10
    return {NEAREST: nearest, EDGE: edge_distances(points_zyx, shape_zyx, spacing_zyx) / 10}


def nearest_distances(points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the nearest other point is from each; NaN where there is only one."""
    from scipy.spatial import KDTree

    if len(points_zyx) < 2:
        return np.full(len(points_zyx), np.nan)
    distances, _ = KDTree(points_zyx).query(points_zyx, k=[2])
    return np.asarray(distances[:, 0])


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
