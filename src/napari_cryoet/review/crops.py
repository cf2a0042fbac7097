"""Crops around picks, from arrays and streamed volumes alike, and the running average of some of them.

A crop is a lattice of samples around a pick, which lies in its very middle. It follows the volume's axes or the
particle's own. Samples are interpolated linearly; those outside the volume are NaN.
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

from napari_cryoet import volumes
from napari_cryoet.exceptions import FormatError, raise_if_stopped
from napari_cryoet.picks import are_rotations
from napari_cryoet.volumes import are_inside

Plane = Literal["xy", "xz", "yz"]

#: Which axes (z 0, y 1, x 2) lead into a plane, down it and to its right; as napari shows it.
_DEPTH_DOWN_RIGHT: Final[dict[Plane, tuple[int, int, int]]] = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
_FEWEST_PIXELS: Final = 9
_REMOTE_READS: Final = 8  # crops that are read from a server at a time


# where crops are cut from


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A volume that picks are looked at in. Made by `open_for_review`."""

    read: Callable[..., NDArray[Any]]  # called with a level, a box and ``stop``: all values in it
    shapes: tuple[tuple[int, ...], ...]  # of the levels in z, y, x, finest first
    factors: tuple[tuple[float, ...], ...]  # how many finest voxels a voxel of each level spans along z, y, x
    spacing_zyx: NDArray[np.float64]  # of finest voxels, in ångström; negative along an axis that the world mirrors
    is_mean: bool = True  # a coarse voxel lies in the middle of the finest voxels that it spans, or on the first
    is_local: bool = True  # on this computer, so that reading much of it costs little

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the finest level."""
        return self.shapes[0]

    def voxel_angstrom(self, level: int) -> float:
        """The longest side of a voxel of a level."""
        return float(np.abs(self.spacing_zyx * self.factors[level]).max())

    def level_for(self, pixel_angstrom: float) -> int:
        """The coarsest level that still has a voxel for each pixel of that size; the finest where none has."""
        fine = [level for level in range(len(self.shapes)) if self.voxel_angstrom(level) <= pixel_angstrom * 1.001]
        return max(fine, default=0)

    def to_level(self, level: int, finest_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel coordinates of the finest level as those of another."""
        factors = np.asarray(self.factors[level])
        shift = (factors - 1) / 2 if self.is_mean else 0.0
        return np.asarray((finest_zyx - shift) / factors, dtype=np.float64)

    def sample(
        self, finest_zyx: NDArray[np.float64], level: int, stop: threading.Event | None = None
    ) -> NDArray[np.float32]:
        """Interpolate a level at places (..., 3) in voxels of the finest level; NaN outside of the volume."""
        from scipy.ndimage import map_coordinates

        # one axis after the other in memory: what is done to all axes takes a third of the time then
        finest_zyx = np.moveaxis(np.ascontiguousarray(np.moveaxis(finest_zyx, -1, 0)), 0, -1)
        is_inside = are_inside(finest_zyx, self.shape)
        if not is_inside.any():
            return np.full(is_inside.shape, np.nan, dtype=np.float32)
        last = np.asarray(self.shapes[level]) - 1
        at = np.clip(self.to_level(level, finest_zyx), 0, last)
        axes = tuple(range(at.ndim - 1))
        low, high = np.floor(at.min(axis=axes)).astype(int), np.floor(at.max(axis=axes)).astype(int) + 1
        box = tuple((int(start), int(end) + 1) for start, end in zip(low, np.minimum(high, last), strict=True))
        content = self.read(level, box, stop=stop).astype(np.float32, copy=False)
        values = map_coordinates(content, np.moveaxis(at - low, -1, 0), order=1, mode="nearest", output=np.float32)
        values[~is_inside] = np.nan
        return np.asarray(values, dtype=np.float32)


def open_for_review(data: Any, spacing_zyx: ArrayLike) -> Volume:
    """A volume to cut crops from. Nothing is read yet.

    Parameters
    ----------
    data
        A `Pyramid`, its levels, or any array in z, y, x. Of other arrays in several resolutions, the finest is taken.
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
        volume = Volume(pyramid.read, pyramid.shapes, pyramid.factors, spacing, is_mean, is_local)
    else:
        is_multiscale = isinstance(data, Sequence) or not hasattr(data, "dtype")
        array = data[0] if is_multiscale else data
        volume = Volume(volumes.Volume([array]).read, (tuple(array.shape),), ((1.0,) * 3,), spacing)
    if len(volume.shape) != 3:
        raise FormatError(f"Crops are cut from volumes with three axes, and this image has {len(volume.shape)}.")
    return volume


# what is cut


@dataclass(frozen=True, slots=True)
class Frame:
    """A square picture of a slab around each pick, averaged over its thickness."""

    side_angstrom: float
    slab_angstrom: float
    plane: Plane = "xy"
    is_oriented: bool = False  # cut picks that have a rotation along their own axes
    pixels: int = 97  # along a side, at most


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube around each pick."""

    side_angstrom: float
    is_oriented: bool = False  # cut picks that have a rotation along their own axes
    pixels: int = 41  # along an edge, at most


def _samples_angstrom(shape: Frame | Cube, voxel_angstrom: float, axes_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors from the pick to the samples, (depth, down, right, 3), in z, y, x.

    There are no more samples than voxels, and an odd number along each axis, so that one lies on the pick itself.
    """
    across = _offsets(shape.side_angstrom, voxel_angstrom, _FEWEST_PIXELS, shape.pixels)
    if isinstance(shape, Cube):
        offsets, order = (across, across, across), (0, 1, 2)
    else:
        depth = _offsets(shape.slab_angstrom, voxel_angstrom, 1, 99)
        offsets, order = (depth, across, across), _DEPTH_DOWN_RIGHT[shape.plane]
    into, down, right = (along[:, None] * axes_zyx[:, axis] for along, axis in zip(offsets, order, strict=True))
    vectors: NDArray[np.float64] = into[:, None, None] + down[None, :, None] + right[None, None, :]
    return vectors


def _offsets(length: float, step: float, fewest: int, most: int) -> NDArray[np.float64]:
    """The middles of an odd number of equal parts of a length, counted from its own middle."""
    count = max(fewest, min(most, math.ceil(length / step - 1e-6)))
    count += 1 - count % 2
    count = count if count <= most else count - 2
    return np.asarray((np.arange(count) - (count - 1) / 2) * (length / count), dtype=np.float64)


# cutting


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What is around one pick: of a frame (down, right), of a cube (z, y, x). NaN lies outside of the volume."""

    row: int
    values: NDArray[np.float32]


class CropReader:
    """Cuts crops of one volume around many places.

    Parameters
    ----------
    volume
        Where they are cut from; see `open_for_review`.
    points_zyx
        The places, in voxels of the volume's finest level.
    rotations_zyx
        Of the particles, as `Picks.rotations_zyx`.
    are_oriented
        Which of these are rotations, as `Picks.are_oriented`; those that are mirrored with their layer are none.
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
        self._rotations = None if rotations_zyx is None else np.asarray(rotations_zyx, dtype=np.float64)
        self.are_oriented = np.zeros(len(self.points_zyx), dtype=bool)
        if self._rotations is not None:
            self.are_oriented = are_rotations(self._rotations) if are_oriented is None else are_oriented

    def read(self, rows: Iterable[int], shape: Frame | Cube, *, stop: threading.Event | None = None) -> Iterator[Crop]:
        """Cut crops around some picks. From a server several are read at a time, and come as they are ready.

        Raises
        ------
        StreamError
            If the volume can't be read.
        StoppedError
            When ``stop`` is set.
        """
        left = iter(rows)
        if self.volume.is_local:
            yield from (self._cut(row, shape, stop) for row in left)
            return
        pool = ThreadPoolExecutor(_REMOTE_READS, thread_name_prefix="napari-cryoet crops")
        try:
            in_flight = {pool.submit(self._cut, row, shape, stop) for row in islice(left, _REMOTE_READS)}
            while in_flight:
                done, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                in_flight |= {pool.submit(self._cut, row, shape, stop) for row in islice(left, len(done))}
                yield from (cut.result() for cut in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def near_each_other(self, rows: Sequence[int]) -> list[int]:
        """The same rows in an order in which neighbours follow one another, so that what they share is read once."""
        chosen = np.asarray(rows, dtype=np.intp)
        z, y, x = np.floor(self.points_zyx[chosen] / 128).T
        return [int(row) for row in chosen[np.lexsort((z, x, y))]]

    def _cut(self, row: int, shape: Frame | Cube, stop: threading.Event | None) -> Crop:
        raise_if_stopped(stop)
        volume, level = self.volume, self.volume.level_for(shape.side_angstrom / shape.pixels)
        is_oriented = shape.is_oriented and self.are_oriented[row]
        axes = self._rotations[row] if is_oriented and self._rotations is not None else np.eye(3)
        vectors = _samples_angstrom(shape, volume.voxel_angstrom(level), axes)
        values = volume.sample(self.points_zyx[row] + vectors / volume.spacing_zyx, level, stop)
        return Crop(row, values if isinstance(shape, Cube) else mean_of_known(values, axis=0))


def mean_of_known(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The mean along an axis of what isn't NaN; NaN where all of it is."""
    is_known = ~np.isnan(values)
    count = is_known.sum(axis=axis)
    total = np.where(is_known, values, 0).sum(axis=axis, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


class RunningMean:
    """The mean of cubes, to which cubes are added and from which they are taken away one by one.

    Samples outside of the volume count for nothing, so each voxel is the mean of those picks that have it.
    """

    def __init__(self) -> None:
        self._total: NDArray[np.float64] = np.empty(0)
        self._count: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.rows: set[int] = set()  # of the picks that are in it

    def __len__(self) -> int:
        return len(self.rows)

    def change(self, crop: Crop) -> None:
        """Add a cube that isn't in it, or take away one that is."""
        if not self.rows:  # start from exact zeros again, whatever was added and taken away before
            self._total, self._count = np.zeros(crop.values.shape), np.zeros(crop.values.shape, dtype=np.int64)
        sign = -1 if crop.row in self.rows else 1
        is_known = np.isfinite(crop.values)
        self._total += sign * np.where(is_known, crop.values, 0)
        self._count += sign * is_known
        self.rows ^= {crop.row}

    @property
    def mean(self) -> NDArray[np.float32] | None:
        """float32 (z, y, x), NaN where no pick has anything; None while nothing is in it."""
        if not self.rows:
            return None
        return np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan).astype(np.float32)

    def sections(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
        """The three sections through its middle, as planes show them: XY (y, x), XZ (z, x) and YZ (z, y)."""
        mean = self.mean
        if mean is None:
            return None
        z, y, x = (size // 2 for size in mean.shape)
        return mean[z], mean[:, y], mean[:, :, x]
