"""The mean density of a volume in a sphere around each pick."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import Volume
from napari_cryoet.volumes.crops import mean_of_known
from napari_cryoet.wording import count_text

_VOXELS_ACROSS: Final = 6  # minimum across a ball at the level that is read
_MOST_STEPS: Final = 16  # maximum of samples along the radius
_CELL_VOXELS: Final = 96  # picks in the same cell of the volume are read together
_SAMPLES_AT_ONCE: Final = 2**21


def densities_at(
    volume: Volume,
    points_zyx: NDArray[np.float64],
    diameter_angstrom: float,
    *,
    task: Task = UNWATCHED,
) -> NDArray[np.float64]:
    """The mean density in a ball around each point, in voxels of the finest level; NaN if the ball is outside.

    Reads the coarsest level with six voxels across the ball, cell by cell. The cost grows with the
    occupied part of the volume rather than with the number of picks.

    Raises
    ------
    StreamError
        If the volume can't be read.
    StoppedError
        If ``task`` is stopped.
    """
    grid = volume.grid_for(diameter_angstrom / _VOXELS_ACROSS)
    radius = diameter_angstrom / 2
    step = max(grid.voxel_angstrom, radius / _MOST_STEPS)
    offsets = _ball(radius, step) / volume.spacing_zyx
    batch_size = max(1, _SAMPLES_AT_ONCE // len(offsets))
    densities = np.full(len(points_zyx), np.nan)
    n_done = 0
    for cell in _cells(grid.from_finest(points_zyx)):
        for rows in np.split(cell, range(batch_size, len(cell), batch_size)):
            task.check()
            values = volume.sample(points_zyx[rows, None] + offsets, grid.level, task=task)
            densities[rows] = mean_of_known(values, axis=1)
        n_done += len(cell)
        of_all = f"{n_done:,} of {count_text(len(points_zyx), 'pick')}"
        task.step(n_done / len(points_zyx), of_all)
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
