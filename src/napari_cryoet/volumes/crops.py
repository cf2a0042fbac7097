"""Crops around picks, from arrays or streamed volumes, and their running average.

A crop is a grid of samples centred on a pick, aligned with the volume's axes or the particle's own.
Samples are interpolated linearly; those outside the volume are NaN.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import FormatError, raise_if_stopped
from napari_cryoet.picks import are_rotations
from napari_cryoet.volumes.volume import Volume, are_inside

PlaneName = Literal["xy", "xz", "yz"]

#: Axes (z 0, y 1, x 2) that point into, down and to the right of a plane as napari displays it.
_DEPTH_DOWN_RIGHT: Final[dict[PlaneName, tuple[int, int, int]]] = {
    "xy": (0, 1, 2),
    "xz": (1, 0, 2),
    "yz": (2, 0, 1),
}
_FEWEST_PIXELS: Final = 9
_REMOTE_READS: Final = 8  # concurrent crops from a server


# volumes


@dataclass(frozen=True, slots=True, eq=False)
class ReviewVolume:
    """A volume to crop. Created by `open_for_review`."""

    read: Callable[
        ..., NDArray[Any]
    ]  # takes a level, a box and ``stop``, and returns the values in the box
    shapes: tuple[tuple[int, ...], ...]  # of the levels in z, y, x, finest first
    factors: tuple[
        tuple[float, ...], ...
    ]  # per level: its voxel size in finest voxels along z, y, x
    spacing_zyx: NDArray[np.float64]  # of finest voxels, in ångström; negative along mirrored axes
    is_mean: bool = (
        True  # a coarse voxel is centred on the finest voxels it spans; else it is at the first one
    )
    is_local: bool = True  # reads are cheap

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finest level."""
        return self.shapes[0]

    def voxel_angstrom(self, level: int) -> float:
        """The longest side of a level's voxels."""
        return float(np.abs(self.spacing_zyx * self.factors[level]).max())

    def level_for(self, pixel_angstrom: float) -> int:
        """The coarsest level whose voxels aren't larger than the pixels, else the finest."""
        fine = [
            level
            for level in range(len(self.shapes))
            if self.voxel_angstrom(level) <= pixel_angstrom * 1.001
        ]
        return max(fine, default=0)

    def to_level(self, level: int, finest_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert voxel coordinates of the finest level to another level."""
        factors = np.asarray(self.factors[level])
        shift = (factors - 1) / 2 if self.is_mean else 0.0
        return np.asarray((finest_zyx - shift) / factors, dtype=np.float64)

    def sample(
        self, finest_zyx: NDArray[np.float64], level: int, stop: threading.Event | None = None
    ) -> NDArray[np.float32]:
        """Interpolate a level at positions (..., 3) in voxels of the finest level.

        NaN outside the volume.
        """
        from scipy.ndimage import map_coordinates

        # axis-major memory layout makes the following steps three times as fast
        finest_zyx = np.moveaxis(np.ascontiguousarray(np.moveaxis(finest_zyx, -1, 0)), 0, -1)
        is_inside = are_inside(finest_zyx, self.shape)
        if not is_inside.any():
            return np.full(is_inside.shape, np.nan, dtype=np.float32)
        last = np.asarray(self.shapes[level]) - 1
        positions = np.clip(self.to_level(level, finest_zyx), 0, last)
        axes = tuple(range(positions.ndim - 1))
        low, high = (
            np.floor(positions.min(axis=axes)).astype(int),
            np.floor(positions.max(axis=axes)).astype(int) + 1,
        )
        box = tuple(
            (int(start), int(end) + 1)
            for start, end in zip(low, np.minimum(high, last), strict=True)
        )
        content = self.read(level, box, stop=stop).astype(np.float32, copy=False)
        offsets = np.moveaxis(positions - low, -1, 0)
        values = map_coordinates(content, offsets, order=1, mode="nearest", output=np.float32)
        values[~is_inside] = np.nan
        return np.asarray(values, dtype=np.float32)


def open_for_review(data: Any, spacing_zyx: ArrayLike) -> ReviewVolume:
    """Create a volume to crop. Nothing is read yet.

    Parameters
    ----------
    data
        A `Pyramid`, its levels, or any array in z, y, x. Of other multiscale data, the finest level is used.
    spacing_zyx
        The size of a finest voxel along z, y, x in ångström.

    Raises
    ------
    FormatError
        If it isn't three-dimensional.
    """
    from napari_cryoet.streaming import Pyramid, pyramid_of

    spacing = np.asarray(spacing_zyx, dtype=np.float64)
    pyramid = data if isinstance(data, Pyramid) else pyramid_of(data)
    if pyramid is not None:
        is_mean, is_local = pyramid.coarse_offset == "mean", not pyramid.server
        volume = ReviewVolume(
            pyramid.read, pyramid.shapes, pyramid.factors, spacing, is_mean, is_local
        )
    else:
        is_multiscale = isinstance(data, Sequence) or not hasattr(data, "dtype")
        array = data[0] if is_multiscale else data
        volume = ReviewVolume(Volume([array]).read, (tuple(array.shape),), ((1.0,) * 3,), spacing)
    if len(volume.shape) != 3:
        raise FormatError(
            f"Crops need a volume with three axes; this image has {len(volume.shape)}."
        )
    return volume


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
        offsets, order = (across, across, across), (0, 1, 2)
    else:
        depth = _offsets(shape.slab_angstrom, voxel_angstrom, 1, 99)
        offsets, order = (depth, across, across), _DEPTH_DOWN_RIGHT[shape.plane]
    into, down, right = (
        along[:, None] * axes_zyx[:, axis] for along, axis in zip(offsets, order, strict=True)
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
        The volume; see `open_for_review`.
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
        volume: ReviewVolume,
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
        self, rows: Iterable[int], shape: Frame | Cube, *, stop: threading.Event | None = None
    ) -> Iterator[Crop]:
        """Iterate over the crops of some picks. From a server, several are read concurrently and arrive in any order.

        Raises
        ------
        StreamError
            If the volume can't be read.
        StoppedError
            If ``stop`` is set.
        """
        remaining = iter(rows)
        if self.volume.is_local:
            yield from (self._crop(row, shape, stop) for row in remaining)
            return
        pool = ThreadPoolExecutor(_REMOTE_READS, thread_name_prefix="napari-cryoet crops")
        try:
            in_flight = {
                pool.submit(self._crop, row, shape, stop)
                for row in islice(remaining, _REMOTE_READS)
            }
            while in_flight:
                done, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                in_flight |= {
                    pool.submit(self._crop, row, shape, stop)
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

    def _crop(self, row: int, shape: Frame | Cube, stop: threading.Event | None) -> Crop:
        raise_if_stopped(stop)
        volume, level = self.volume, self.volume.level_for(shape.side_angstrom / shape.pixels)
        is_oriented = shape.is_oriented and self.are_oriented[row]
        axes = self._rotations[row] if is_oriented and self._rotations is not None else np.eye(3)
        vectors = _samples_angstrom(shape, volume.voxel_angstrom(level), axes)
        values = volume.sample(self.points_zyx[row] + vectors / volume.spacing_zyx, level, stop)
        return Crop(row, values if isinstance(shape, Cube) else mean_of_known(values, axis=0))


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
