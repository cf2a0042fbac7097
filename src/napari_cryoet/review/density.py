"""How dense the volume is where picks are: the mean over a ball around each, read cell by cell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.review.volume import ReviewVolume
from napari_cryoet.stopping import raise_if_stopped

_VOXELS_ACROSS: Final = 6  # of the level that is read, at least
_CELL_VOXELS: Final = 96
_PICKS_AT_ONCE: Final = 4096
#: Where a volume has only fine voxels, a ball has very many: no more than this are in memory at once,
_SAMPLES_AT_ONCE: Final = 2**21
#: and no more than this from its middle to its surface are looked at.
_MOST_STEPS: Final = 16


def densities_at(
    volume: ReviewVolume,
    points_zyx: NDArray[np.float64],
    diameter_angstrom: float,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """The mean density in a ball around each place; NaN where all of the ball lies outside of the volume.

    Read is the coarsest level with six voxels across the ball, in cells that hold many picks, so that the work grows
    with the part of the volume that has picks rather than with their number.

    Parameters
    ----------
    volume
        What is read; see `open_for_review`.
    points_zyx
        In voxels of the volume's finest level.
    diameter_angstrom
        Of the ball, as a rule of the particle.
    stop
        Set by whoever no longer wants to know.
    progress
        Told how many picks are done, of how many.

    Raises
    ------
    StreamError
        If the volume can't be read.
    StoppedError
        When ``stop`` is set.
    """
    level = volume.level_for(diameter_angstrom / _VOXELS_ACROSS)
    radius = diameter_angstrom / 2
    ball = _ball(radius, max(volume.voxel_angstrom(level), radius / _MOST_STEPS))
    offsets = ball / volume.spacing_zyx
    at_once = max(1, min(_PICKS_AT_ONCE, _SAMPLES_AT_ONCE // len(offsets)))
    found = np.full(len(points_zyx), np.nan)
    cells = np.floor(volume.to_level(level, points_zyx) / _CELL_VOXELS).astype(np.int64)
    order = np.lexsort(cells.T[::-1])
    starts = np.flatnonzero(np.any(cells[order][1:] != cells[order][:-1], axis=1)) + 1
    n_done = 0
    for group in np.split(order, starts):
        for rows in np.split(group, range(at_once, len(group), at_once)):
            raise_if_stopped(stop)
            found[rows] = _means(volume, level, points_zyx[rows], offsets, stop)
        n_done += len(group)
        if progress is not None:
            progress(n_done, len(order))
    return found


def _means(
    volume: ReviewVolume,
    level: int,
    points_zyx: NDArray[np.float64],
    offsets_zyx: NDArray[np.float64],
    stop: threading.Event | None,
) -> Any:
    """Of picks that lie near each other."""
    from scipy.ndimage import map_coordinates

    finest = points_zyx[:, None] + offsets_zyx
    is_inside = ((finest >= -0.5) & (finest <= np.asarray(volume.shapes[0]) - 0.5)).all(axis=-1)
    count = is_inside.sum(axis=1)
    if not count.any():
        return np.full(len(points_zyx), np.nan)
    top = np.asarray(volume.shapes[level]) - 1
    at = np.clip(volume.to_level(level, finest), 0, top)
    low = np.floor(at[is_inside].min(axis=0)).astype(int)
    high = np.minimum(np.floor(at[is_inside].max(axis=0)).astype(int) + 1, top)
    box = tuple((int(start), int(stop) + 1) for start, stop in zip(low, high, strict=True))
    content = volume.read(level, box, stop).astype(np.float32, copy=False)
    values = map_coordinates(content, np.moveaxis(at - low, -1, 0), order=1, mode="nearest", output=np.float32)
    total = np.where(is_inside, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _ball(radius: float, step: float) -> NDArray[np.float64]:
    """Vectors from the middle of a ball to evenly spaced places in it, in ångström."""
    reach = int(radius / step)
    along = np.arange(-reach, reach + 1) * step
    places = np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(places[np.linalg.norm(places, axis=1) <= radius * 1.0001], dtype=np.float64)
