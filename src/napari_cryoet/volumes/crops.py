"""Crops around picks, from arrays or streamed volumes, and their running average.

A crop is a grid of samples centred on a pick, aligned with the volume's axes or the particle's own.
Samples are interpolated linearly; those outside the volume are NaN.

`read_box` reads a box of voxels instead, as stored or resampled to another voxel size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import LeftOutError
from napari_cryoet.picks import are_rotations
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes.volume import Volume

PlaneName = Literal["xy", "xz", "yz"]

#: Axes (z 0, y 1, x 2) that point into, down and to the right of a plane as napari displays it.
_DEPTH_DOWN_RIGHT: Final[dict[PlaneName, tuple[int, int, int]]] = {
    "xy": (0, 1, 2),
    "xz": (1, 0, 2),
    "yz": (2, 0, 1),
}
_FEWEST_PIXELS: Final = 9
_SAME_STEP: Final = 0.01  # voxels that are this much wider are sampled once
_REMOTE_READS: Final = 8  # concurrent crops from a server


# shapes


@dataclass(frozen=True, slots=True)
class Frame:
    """A square image of a slab around each pick, averaged over its thickness."""

    side_angstrom: float
    slab_angstrom: float
    plane: PlaneName = "xy"
    is_oriented: bool = False  # use the particle's axes if the pick has a rotation
    pixels: int = 97  # maximum along a side


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube around each pick."""

    side_angstrom: float
    is_oriented: bool = False  # use the particle's axes if the pick has a rotation
    pixels: int = 41  # maximum along an edge


def _samples_angstrom(
    shape: Frame | Cube, voxel_angstrom: float, axes_zyx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vectors from the pick to the samples, (depth, down, right, 3), in z, y, x.

    The number of samples is odd along each axis, so that one is at the pick, and doesn't exceed
    that of voxels.
    """
    across = _offsets(shape.side_angstrom, voxel_angstrom, _FEWEST_PIXELS, shape.pixels)
    if isinstance(shape, Cube):
        depth = across
        order = (0, 1, 2)
    else:
        depth = _offsets(shape.slab_angstrom, voxel_angstrom, 1, 99)
        order = _DEPTH_DOWN_RIGHT[shape.plane]
    into, down, right = (
        along[:, None] * axes_zyx[:, axis]
        for along, axis in zip((depth, across, across), order, strict=True)
    )
    vectors: NDArray[np.float64] = into[:, None, None] + down[None, :, None] + right[None, None, :]
    return vectors


def _offsets(length: float, step: float, fewest: int, most: int) -> NDArray[np.float64]:
    """Divide a length into an odd number of equal parts.

    Their centres relative to that of the length.
    """
    count = max(fewest, min(most, math.ceil(length / step - 1e-6)))
    count += 1 - count % 2
    count = count if count <= most else count - 2
    return np.asarray((np.arange(count) - (count - 1) / 2) * (length / count), dtype=np.float64)


# cropping


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """The crop around one pick, in (down, right) for a frame and (z, y, x) for a cube.

    NaN outside the volume.
    """

    row: int
    values: NDArray[np.float32]


class CropReader:
    """Read crops of one volume.

    Parameters
    ----------
    volume
        The volume, with a known voxel spacing.
    points_zyx
        The centres of crops, in voxels of the volume's finest level.
    rotations_zyx
        The particles' rotations, like `Picks.rotations_zyx`.
    are_oriented
        Mask of usable rotations. Pass `Picks.are_oriented` for rotations mirrored with their layer, which the default
        excludes.
    """

    def __init__(
        self,
        volume: Volume,
        points_zyx: ArrayLike,
        rotations_zyx: ArrayLike | None = None,
        *,
        are_oriented: NDArray[np.bool_] | None = None,
    ) -> None:
        self.volume = volume
        self.points_zyx = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
        self._rotations = (
            None if rotations_zyx is None else np.asarray(rotations_zyx, dtype=np.float64)
        )
        self.are_oriented = np.zeros(len(self.points_zyx), dtype=bool)
        if self._rotations is not None:
            self.are_oriented = (
                are_rotations(self._rotations) if are_oriented is None else are_oriented
            )

    def read(
        self, rows: Iterable[int], shape: Frame | Cube, *, task: Task = UNWATCHED
    ) -> Iterator[Crop]:
        """Iterate over the crops of some picks. From a server, several are read concurrently and arrive in any order.

        Raises
        ------
        StreamError
            If the volume can't be read.
        StoppedError
            If ``task`` is set.
        """
        remaining = iter(rows)
        if self.volume.is_local:
            yield from (self._crop(row, shape, task) for row in remaining)
            return
        pool = ThreadPoolExecutor(_REMOTE_READS, thread_name_prefix="napari-cryoet crops")
        try:
            in_flight = {
                pool.submit(self._crop, row, shape, task)
                for row in islice(remaining, _REMOTE_READS)
            }
            while in_flight:
                done, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                in_flight |= {
                    pool.submit(self._crop, row, shape, task)
                    for row in islice(remaining, len(done))
                }
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def near_each_other(self, rows: Sequence[int]) -> list[int]:
        """Sort rows so that neighbouring picks follow each other and their shared chunks are read once."""
        chosen = np.asarray(rows, dtype=np.intp)
        z, y, x = np.floor(self.points_zyx[chosen] / 128).T
        return [int(row) for row in chosen[np.lexsort((z, x, y))]]

    def _crop(self, row: int, shape: Frame | Cube, task: Task) -> Crop:
        task.check()
        volume = self.volume
        is_oriented = shape.is_oriented and self.are_oriented[row]
        axes = self._rotations[row] if is_oriented and self._rotations is not None else np.eye(3)
        for grid in volume.grids_for(shape.side_angstrom / shape.pixels):
            vectors = _samples_angstrom(shape, grid.voxel_angstrom, axes)
            positions = self.points_zyx[row] + vectors / volume.spacing_zyx
            try:
                values = volume.sample(positions, grid.level, task=task)
                break
            except LeftOutError:  # a coarser level has it
                continue
        return Crop(row, values if isinstance(shape, Cube) else mean_of_known(values, axis=0))


# boxes of voxels


def read_box(
    volume: Volume,
    level: int,
    middle_zyx: Sequence[float],
    shape_zyx: Sequence[int],
    steps_zyx: Sequence[float],
    *,
    is_mask: bool = False,
    task: Task = UNWATCHED,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a box of voxels, and which of them are in the volume; others repeat the nearest one.

    A new voxel is the mean of linear interpolations at evenly spaced places in it, no further apart
    than the level's voxels. With steps of 1, voxels are copied, and those of masks always are.

    Parameters
    ----------
    middle_zyx
        The centre of voxel ``shape // 2``, in voxels of the level; whole numbers for steps of 1.
    steps_zyx
        The size of a new voxel, in voxels of the level.
    """
    lengths = volume.levels[level].shape
    is_copy = is_mask or all(step == 1 for step in steps_zyx)
    box: list[tuple[int, int]] = []
    samples: list[NDArray[np.float64]] = []
    insides = []
    for middle, size, step, length in zip(middle_zyx, shape_zyx, steps_zyx, lengths, strict=True):
        along = middle + (np.arange(size) - size // 2) * step
        insides.append((along >= -0.5) & (along <= length - 0.5))
        places = along[:, None] if is_copy else along[:, None] + _places_in_voxel(step)
        places = np.clip(np.floor(places + 0.5) if is_copy else places, 0, length - 1)
        first = int(places.min())
        box.append((first, math.ceil(places.max()) + 1))
        samples.append(np.asarray(places - first, dtype=np.float64))
    values = volume.read(level, tuple(box), task=task)
    inside_z, inside_y, inside_x = insides
    inside = inside_z[:, None, None] & inside_y[:, None] & inside_x
    if is_copy:
        return values[np.ix_(*(each[:, 0].astype(np.intp) for each in samples))], inside
    z, y, x = (_weights(each, length) for each, length in zip(samples, values.shape, strict=True))
    return y @ np.tensordot(z, values.astype(np.float32, copy=False), 1) @ x.T, inside


def _places_in_voxel(step: float) -> NDArray[np.float64]:
    """Where to sample a voxel that is ``step`` voxels wide, relative to its centre."""
    count = max(1, math.ceil(step - _SAME_STEP))
    return ((np.arange(count) + 0.5) / count - 0.5) * step


def _weights(places: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """The mean of linear interpolations at the places of each row, as weights of ``length`` voxels."""
    hats = np.maximum(0, 1 - np.abs(places[..., None] - np.arange(length)))
    return np.asarray(hats.mean(axis=1), dtype=np.float32)


def mean_of_known(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The mean along an axis, ignoring NaN; NaN if all values are."""
    is_known = ~np.isnan(values)
    count = is_known.sum(axis=axis)
    total = np.where(is_known, values, 0).sum(axis=axis, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


class RunningMean:
    """A mean of cubes that can be added and removed one by one.

    Samples outside the volume are ignored: each voxel is the mean over the picks that have it.
    """

    def __init__(self) -> None:
        self._total: NDArray[np.float64] = np.empty(0)
        self._count: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.rows: set[int] = set()  # of the included picks

    def __len__(self) -> int:
        return len(self.rows)

    def change(self, crop: Crop) -> None:
        """Add a cube, or remove it if it is included already."""
        if not self.rows:  # reset accumulated rounding errors
            self._total, self._count = (
                np.zeros(crop.values.shape),
                np.zeros(crop.values.shape, dtype=np.int64),
            )
        sign = -1 if crop.row in self.rows else 1
        is_known = np.isfinite(crop.values)
        self._total += sign * np.where(is_known, crop.values, 0)
        self._count += sign * is_known
        self.rows ^= {crop.row}

    @property
    def mean(self) -> NDArray[np.float32] | None:
        """float32 (z, y, x), NaN where no pick has data; None if no cube is included."""
        if not self.rows:
            return None
        return np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan).astype(
            np.float32
        )

    def sections(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
        """The three central sections, as displayed: XY (y, x), XZ (z, x) and YZ (z, y)."""
        mean = self.mean
        if mean is None:
            return None
        z, y, x = (size // 2 for size in mean.shape)
        return mean[z], mean[:, y], mean[:, :, x]
