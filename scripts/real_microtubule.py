"""Build large volumes from a small real one: a crop of a microtubule, resampled, inverted and repeated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP_SPACING_ANGSTROM = 10.52
CROP_LEAN_ANGSTROM = 63 * CROP_SPACING_ANGSTROM


@dataclass(frozen=True)
class Microtubule:
    """The real crop at one spacing, with dark protein: integer grey values as float32, z, y, x."""

    crop: NDArray[np.uint8]
    spacing_angstrom: float

    @cached_property
    def grey(self) -> NDArray[np.float32]:
        from scipy import ndimage

        resampled = ndimage.zoom(
            self.crop.astype(np.float32), CROP_SPACING_ANGSTROM / self.spacing_angstrom, order=3
        )
        return np.asarray(255 - np.clip(np.round(resampled), 0, 255), dtype=np.float32)

    @cached_property
    def is_protein(self) -> NDArray[np.int8]:
        """1 for the darkest 5 % of the smoothed density."""
        from scipy import ndimage

        smooth = ndimage.gaussian_filter(self.grey, 1.5)
        return np.asarray(smooth <= np.percentile(smooth, 5), dtype=np.int8)

    @property
    def drift(self) -> int:
        """Shift of the microtubule along x, in voxels, between the ends of the crop along y."""
        return round(CROP_LEAN_ANGSTROM / self.spacing_angstrom)


class Tiled:
    """A small volume repeated to fill a large one, computed on demand.

    It is mirrored along z and repeated along y and x. Each repeat along y is shifted along x by
    ``drift``, so that an oblique structure continues in the next tile.
    """

    def __init__(
        self,
        tile: NDArray[Any],
        shape_zyx: tuple[int, int, int],
        drift: int,
        rows: slice = slice(None),
    ) -> None:
        self.tile, self.shape, self.dtype = tile, shape_zyx, tile.dtype
        z, y, x = (np.arange(n) for n in shape_zyx)
        depth, height, width = tile.shape
        phase = z % (2 * depth)
        self._z = np.where(phase < depth, phase, 2 * depth - 1 - phase)
        self._y = y % height
        self._x = (x[None, :] + drift * (y // height)[:, None]) % width
        self._is_inside = np.zeros(shape_zyx[1], dtype=bool)
        self._is_inside[rows] = True

    def __getitem__(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Compute a box; repeated planes are computed once, and empty rows are skipped."""
        z, y, x = region
        inside = np.flatnonzero(self._is_inside[y])
        planes, repeats = np.unique(self._z[z], return_inverse=True)
        columns = self._x[y, x]
        box = np.zeros((len(repeats), *columns.shape), self.dtype)
        if len(inside):
            rows = slice(inside[0], inside[-1] + 1)
            voxels = self._y[y][rows, None] * self.tile.shape[2] + columns[rows]
            box[:, rows] = self.tile[planes].reshape(len(planes), -1).take(voxels, axis=1)[repeats]
        return box

    def at(self, points_xyz: NDArray[np.int64]) -> NDArray[Any]:
        """Values at integer voxels (n, 3) in x, y, z."""
        x, y, z = points_xyz.T
        return np.asarray(self.tile[self._z[z], self._y[y], self._x[y, x]])
