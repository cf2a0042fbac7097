"""What is cut out around a pick, and how: along the volume's axes or along the particle's own, at one of its levels.

A crop is a lattice of samples around the pick, which lies in its very middle. Samples between voxels are interpolated
linearly; those beyond the volume are NaN, so that what is outside can be shown as such, and is never made up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.review.volume import ReviewVolume
from napari_cryoet.streaming.geometry import Box

Plane = Literal["xy", "xz", "yz"]

#: Which axes (z 0, y 1, x 2) lead into a plane, down it and to its right; as napari shows it.
_DEPTH_DOWN_RIGHT: Final[dict[Plane, tuple[int, int, int]]] = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
_FEWEST_PIXELS: Final = 9


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where samples are taken around a pick, in ångström along three unit vectors.

    Attributes
    ----------
    offsets
        Along depth, down and right.
    axes
        The axis of the volume, or of the particle, that each of them follows (z 0, y 1, x 2).
    """

    offsets: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    axes: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """A square picture of a slab around each pick.

    Attributes
    ----------
    side_angstrom
        The width of the picture.
    slab_angstrom
        How thick a slab is averaged in it.
    plane
        Along which axes it lies; where it is oriented, they are the particle's own.
    is_oriented
        Whether picks with a rotation are cut along their own axes.
    pixels
        The largest number of pixels along a side.
    """

    side_angstrom: float
    slab_angstrom: float
    plane: Plane = "xy"
    is_oriented: bool = False
    pixels: int = 97

    def lattice(self, voxel_angstrom: float) -> Lattice:
        """Its samples: no more than there are voxels, an odd number so that one lies on the pick itself."""
        across = _offsets(self.side_angstrom, voxel_angstrom, _FEWEST_PIXELS, self.pixels)
        depth = _offsets(self.slab_angstrom, voxel_angstrom, 1, 99)
        return Lattice((depth, across, across), _DEPTH_DOWN_RIGHT[self.plane])


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube around each pick, z, y, x of the volume or of the particle; what is averaged over picks.

    Attributes
    ----------
    side_angstrom
        The length of its edges.
    is_oriented
        Whether picks with a rotation are cut along their own axes.
    pixels
        The largest number of voxels along an edge.
    """

    side_angstrom: float
    is_oriented: bool = False
    pixels: int = 41

    def lattice(self, voxel_angstrom: float) -> Lattice:
        """Its samples."""
        along = _offsets(self.side_angstrom, voxel_angstrom, _FEWEST_PIXELS, self.pixels)
        return Lattice((along, along, along), (0, 1, 2))


def level_of(volume: ReviewVolume, shape: Frame | Cube) -> int:
    """The level that has about a voxel for each pixel."""
    return volume.level_for(shape.side_angstrom / shape.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One crop to be made.

    Attributes
    ----------
    box
        The voxels of the level that it needs, or None where all of it lies outside of the volume.
    """

    volume: ReviewVolume
    level: int
    center_zyx: NDArray[np.float64]  # in voxels of the finest level
    axes_zyx: NDArray[np.float64] | None  # columns are the particle's z, y, x axis; None for those of the volume
    lattice: Lattice
    box: Box | None

    def values(self, content: NDArray[Any] | None) -> NDArray[np.float32]:
        """Its samples (depth, down, right), from the content of its box; NaN outside of the volume."""
        sizes = tuple(len(along) for along in self.lattice.offsets)
        if content is None or self.box is None:
            return np.full(sizes, np.nan, dtype=np.float32)
        if self._is_straight(content):
            return self._along_the_volume(content)
        return self._along_the_particle(content, np.eye(3) if self.axes_zyx is None else self.axes_zyx)

    def mean(self, content: NDArray[Any] | None) -> NDArray[np.float32]:
        """The mean over its depth of what is inside the volume."""
        if content is None or not self._is_straight(content):
            return _mean_inside(self.values(content))
        mean: NDArray[np.float32] = self._along_the_volume(content, is_mean=True)[0]
        return mean

    def _is_straight(self, content: NDArray[Any]) -> bool:
        """Whether one axis after another will do: a voxel that is no number would spoil its whole row."""
        return self.box is not None and self.axes_zyx is None and bool(np.isfinite(content).all())

    def _along_the_volume(self, content: NDArray[Any], *, is_mean: bool = False) -> NDArray[np.float32]:
        """Linear along one axis after another, which gives the same as all at once, and much faster."""
        values = np.moveaxis(content.astype(np.float32, copy=False), self.lattice.axes, (0, 1, 2))
        for place, (axis, offsets) in enumerate(zip(self.lattice.axes, self.lattice.offsets, strict=True)):
            weights, is_inside = self._weights(axis, offsets)
            if place == 0 and is_mean:
                weights = weights[is_inside].mean(axis=0, keepdims=True) if is_inside.any() else weights[:1] * np.nan
            else:
                weights[~is_inside] = np.nan
            values = np.moveaxis(np.tensordot(weights, values, axes=(1, place)), 0, place)
        return np.ascontiguousarray(values, dtype=np.float32)

    def _weights(self, axis: int, offsets: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """For samples along one axis: what each voxel of the box counts, and whether the sample is in the volume."""
        assert self.box is not None  # noqa: S101 - asked before
        finest = self.center_zyx[axis] + offsets / self.volume.spacing_zyx[axis]
        start, stop = self.box[axis]
        places = np.zeros((len(finest), 3))
        places[:, axis] = finest
        along = np.clip(self.volume.to_level(self.level, places)[:, axis], 0, self.volume.shapes[self.level][axis] - 1)
        below = np.clip(np.floor(along).astype(np.intp), start, stop - 1)
        above = np.minimum(below + 1, stop - 1)
        share = (along - below).astype(np.float32)
        weights = np.zeros((len(finest), stop - start), dtype=np.float32)
        rows = np.arange(len(finest))
        np.add.at(weights, (rows, below - start), 1 - share)
        np.add.at(weights, (rows, above - start), share)
        return weights, (finest >= -0.5) & (finest <= self.volume.shapes[0][axis] - 0.5)

    def _along_the_particle(self, content: NDArray[Any], axes_zyx: NDArray[np.float64]) -> NDArray[np.float32]:
        from scipy.ndimage import map_coordinates

        assert self.box is not None  # noqa: S101 - asked before
        finest = self.center_zyx + _places(self.lattice, axes_zyx) / self.volume.spacing_zyx
        is_inside = ((finest >= -0.5) & (finest <= np.asarray(self.volume.shapes[0]) - 0.5)).all(axis=-1)
        at = self.volume.to_level(self.level, finest) - [start for start, _ in self.box]
        values = map_coordinates(
            content.astype(np.float32, copy=False), np.moveaxis(at, -1, 0), order=1, mode="nearest", output=np.float32
        )
        values[~is_inside] = np.nan
        return np.asarray(values, dtype=np.float32)


def cut_around(
    volume: ReviewVolume,
    shape: Frame | Cube,
    center_zyx: NDArray[np.float64],
    rotation_zyx: NDArray[np.float64] | None = None,
) -> Cut:
    """How to cut a frame or a cube around a place.

    Parameters
    ----------
    center_zyx
        In voxels of the volume's finest level.
    rotation_zyx
        The particle's, whose columns are its z, y and x axis; None cuts along the volume's axes.
    """
    level = level_of(volume, shape)
    lattice = shape.lattice(volume.voxel_angstrom(level))
    axes = np.eye(3) if rotation_zyx is None else rotation_zyx
    reach = sum(
        np.abs(axes[:, axis]) * offsets.max() for axis, offsets in zip(lattice.axes, lattice.offsets, strict=True)
    )
    low, high = (center_zyx + sign * reach / np.abs(volume.spacing_zyx) for sign in (-1, 1))
    finest_shape = np.asarray(volume.shapes[0])
    box: Box | None = None
    if (high >= -0.5).all() and (low <= finest_shape - 0.5).all():
        box = _box(volume.to_level(level, low), volume.to_level(level, high), volume.shapes[level])
    return Cut(volume, level, center_zyx, rotation_zyx, lattice, box)


def _box(low: NDArray[np.float64], high: NDArray[np.float64], shape: tuple[int, ...]) -> Box:
    """The voxels around two corners that interpolation needs, at least one along each axis."""
    starts = [min(max(0, math.floor(start)), size - 1) for start, size in zip(low, shape, strict=True)]
    stops = [min(max(math.floor(stop) + 2, 1), size) for stop, size in zip(high, shape, strict=True)]
    return tuple((start, max(stop, start + 1)) for start, stop in zip(starts, stops, strict=True))


def _places(lattice: Lattice, axes_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """The samples as vectors from the pick, in ångström: depth, down, right, (z, y, x)."""
    depth, down, right = (
        offsets[:, None] * axes_zyx[:, axis] for axis, offsets in zip(lattice.axes, lattice.offsets, strict=True)
    )
    places: NDArray[np.float64] = depth[:, None, None] + down[None, :, None] + right[None, None, :]
    return places


def _offsets(length: float, step: float, fewest: int, most: int) -> NDArray[np.float64]:
    """An odd number of samples in the middle of equal parts of a length, symmetric about its middle."""
    count = max(fewest, min(most, math.ceil(length / step - 1e-6)))
    count += 1 - count % 2
    count = count if count <= most else count - 2
    return np.asarray((np.arange(count) - (count - 1) / 2) * (length / count), dtype=np.float64)


def _mean_inside(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over depth of what isn't NaN; NaN where all of it is."""
    is_inside = ~np.isnan(values)
    count = is_inside.sum(axis=0)
    total = np.where(is_inside, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
