"""Measure picks in a volume: local density, and distances to the nearest pick and to the edge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import raise_if_stopped
from napari_cryoet.volumes import edge_distances
from napari_cryoet.volumes.crops import ReviewVolume, mean_of_known

#: Names of the measured columns.
NEAREST: Final = "nearest_nm"
EDGE: Final = "edge_nm"
DENSITY: Final = "density"
MEASURED: Final = (DENSITY, NEAREST, EDGE)

_VOXELS_ACROSS: Final = 6  # minimum across a ball at the level that is read
_MOST_STEPS: Final = 16  # maximum of samples along the radius
_CELL_VOXELS: Final = 96  # picks in the same cell of the volume are read together
_SAMPLES_AT_ONCE: Final = 2**21


def distances_nm(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Distances of picks, given in voxels of the volume, to the nearest other pick and to the edge, as columns."""
    nearest = nearest_distances(points_zyx * spacing_zyx) / 10
    return {NEAREST: nearest, EDGE: edge_distances(points_zyx, shape_zyx, spacing_zyx) / 10}


def nearest_distances(points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance from each point to its nearest neighbour; NaN for a single point."""
    from scipy.spatial import KDTree

    if len(points_zyx) < 2:
        return np.full(len(points_zyx), np.nan)
    distances, _ = KDTree(points_zyx).query(points_zyx, k=[2])
    return np.asarray(distances[:, 0])


def densities_at(
    volume: ReviewVolume,
    points_zyx: NDArray[np.float64],
    diameter_angstrom: float,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> NDArray[np.float64]:
    """The mean density in a ball around each point, in voxels of the finest level; NaN if the ball is outside.

    Reads the coarsest level with six voxels across the ball, cell by cell. The cost grows with the
    occupied part of the volume rather than with the number of picks. ``progress`` is called with
    the number of picks done and the total.

    Raises
    ------
    StreamError
        If the volume can't be read.
    StoppedError
        If ``stop`` is set.
    """
    level = volume.level_for(diameter_angstrom / _VOXELS_ACROSS)
    radius = diameter_angstrom / 2
    offsets = (
        _ball(radius, max(volume.voxel_angstrom(level), radius / _MOST_STEPS)) / volume.spacing_zyx
    )
    batch_size = max(1, _SAMPLES_AT_ONCE // len(offsets))
    densities, n_done = np.full(len(points_zyx), np.nan), 0
    for cell in _cells(volume.to_level(level, points_zyx)):
        for rows in np.split(cell, range(batch_size, len(cell), batch_size)):
            raise_if_stopped(stop)
            values = volume.sample(points_zyx[rows, None] + offsets, level, stop)
            densities[rows] = mean_of_known(values, axis=1)
        n_done += len(cell)
        progress(n_done, len(points_zyx))
    return densities


def _cells(points_zyx: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Group row numbers of points by cell."""
    if not len(points_zyx):
        return []
    cells = np.floor(points_zyx / _CELL_VOXELS)
    order = np.lexsort(cells.T[::-1])
    return np.split(order, np.flatnonzero((np.diff(cells[order], axis=0) != 0).any(axis=1)) + 1)


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Vectors from the centre of a ball to evenly spaced points in it."""
    reach = int(radius / step)
    along = np.arange(-reach, reach + 1) * step
    vectors = np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(vectors[np.linalg.norm(vectors, axis=1) <= radius * 1.0001], dtype=np.float64)
