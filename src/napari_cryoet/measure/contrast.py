"""Local contrast of a volume: the mean over a sphere of the particle's size, minus that over a shell around it.

The volume is read once, at the coarsest level that resolves the particle. Each coarse voxel gets
the rank of its contrast, from -1 (darkest relative to its surroundings) to 1. Ranks don't depend on
the grey scale, and outliers such as gold beads don't dominate them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from napari_cryoet.volumes import LevelGrid, Volume

#: A particle counts as resolved if it is at least this many voxels wide.
VOXELS_A_DIAMETER: Final = 4.0
#: Maximum number of voxels in memory (4 bytes each, with three copies during ranking).
MAX_VOXELS: Final = 2**25
#: Number of voxels read and filtered at a time.
SLAB_VOXELS: Final = 2**20
#: Outer radius of the shell, in particle radii; the shell has three times as many voxels as the
#: sphere.
_SHELL: Final = 1.6
_SAMPLE: Final = 2**17
#: Larger numbers count as missing; their sums would overflow.
_LARGEST_DENSITY: Final = 1e30


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """The ranks of all coarse voxels, float32 from -1 to 1; all 0 if the volume is uniform."""

    grid: LevelGrid
    ranks: NDArray[np.float32]

    def nearest(self, positions_zyx: NDArray[np.float64]) -> NDArray[np.float32]:
        """The ranks of the nearest coarse voxels; periodic beyond the volume."""
        index = np.rint(positions_zyx).astype(np.intp) % self.ranks.shape
        _, size_y, size_x = self.ranks.shape
        return np.asarray(
            self.ranks.ravel()[(index[..., 0] * size_y + index[..., 1]) * size_x + index[..., 2]]
        )

    def interpolated(self, positions_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linearly interpolated ranks; beyond the volume, those at its border."""
        from scipy import ndimage

        flat = ndimage.map_coordinates(
            self.ranks, positions_zyx.reshape(-1, 3).T, order=1, mode="nearest"
        )
        return np.asarray(flat, dtype=np.float64).reshape(positions_zyx.shape[:-1])


def grid_for(volume: Volume, diameter_angstrom: float) -> LevelGrid:
    """The coarsest grid with `VOXELS_A_DIAMETER` voxels per particle, limited to `MAX_VOXELS`.

    Reads nothing.
    """
    widest = diameter_angstrom / VOXELS_A_DIAMETER
    grid = volume.grid_for(widest)
    binned_by = max(1, min(int(widest / grid.voxel_angstrom), *grid.shape_zyx))
    while math.prod(size // binned_by for size in grid.shape_zyx) > MAX_VOXELS:
        binned_by += 1
    return grid.binned(binned_by)


def read_contrast(
    volume: Volume,
    grid: LevelGrid,
    diameter_angstrom: float,
    *,
    task: Task = UNWATCHED,
) -> Contrast:
    """Read the grid's level once and rank its voxels by contrast."""
    voxels = _read(volume, grid, task)
    if voxels.min() == voxels.max():
        return Contrast(grid, np.zeros_like(voxels))
    contrast = _filtered(voxels, _kernel(grid.spacing_zyx, diameter_angstrom), task)
    sample = np.sort(np.random.default_rng(0).choice(contrast.ravel(), _SAMPLE))
    for plane in contrast:  # replace values by ranks
        below, above = (np.searchsorted(sample, plane, side=side) for side in ("left", "right"))
        plane[...] = (below + above) / len(sample) - 1
    return Contrast(grid, contrast)


def _read(volume: Volume, grid: LevelGrid, task: Task) -> NDArray[np.float32]:
    """Read and bin the level slab by slab; missing values become the median."""
    bins = grid.binned_by
    size_z, size_y, size_x = grid.shape_zyx
    voxels = np.empty(grid.shape_zyx, np.float32)
    planes = max(1, SLAB_VOXELS // (size_y * size_x * bins**3))
    for start in range(0, size_z, planes):
        task.step(0.78 * start / size_z, "reading the density")
        end = min(start + planes, size_z)
        box = ((start * bins, end * bins), (0, size_y * bins), (0, size_x * bins))
        with np.errstate(over="ignore"):
            slab = volume.read(grid.level, box, task=task).astype(np.float32)
        slab[~(np.abs(slab) < _LARGEST_DENSITY)] = np.nan
        if bins > 1:
            slab = slab.reshape(end - start, bins, size_y, bins, size_x, bins).mean(
                axis=(1, 3, 5), dtype=np.float32
            )
        voxels[start:end] = slab
    is_missing = np.isnan(voxels)
    if is_missing.any():
        voxels[is_missing] = 0 if is_missing.all() else np.median(voxels[~is_missing])
    return voxels


def _kernel(spacing_zyx: NDArray[np.float64], diameter_angstrom: float) -> NDArray[np.float32]:
    """Soft-edged weights that sum to 1 over the sphere and to -1 over the shell."""
    width = float(spacing_zyx.max())
    radius = max(diameter_angstrom / 2, width / 2)
    outer = max(_SHELL * radius, radius + 1.5 * width)
    reach = np.ceil(outer / spacing_zyx).astype(int)
    axes = [np.arange(-n, n + 1) * size for n, size in zip(reach, spacing_zyx, strict=True)]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    sphere, ball = (np.clip((edge - distance) / width + 0.5, 0, 1) for edge in (radius, outer))
    shell = ball - sphere
    return np.asarray(sphere / sphere.sum() - shell / shell.sum(), dtype=np.float32)


def _filtered(
    voxels: NDArray[np.float32], kernel: NDArray[np.float32], task: Task
) -> NDArray[np.float32]:
    """Convolve the volume with the symmetric kernel, slab by slab, mirroring it at the borders."""
    from scipy.signal import fftconvolve

    reach = [size // 2 for size in kernel.shape]
    size_z, size_y, size_x = voxels.shape
    planes = max(4 * reach[0], SLAB_VOXELS // (size_y * size_x), 1)
    contrast = np.empty_like(voxels)
    for start in range(0, size_z, planes):
        task.step(0.78 + 0.22 * start / size_z, "comparing with the surroundings")
        end = min(start + planes, size_z)
        first, last = max(start - reach[0], 0), min(end + reach[0], size_z)
        missing = reach[0] - (start - first), reach[0] - (last - end)
        slab = np.pad(
            voxels[first:last], (missing, (reach[1],) * 2, (reach[2],) * 2), mode="symmetric"
        )
        contrast[start:end] = fftconvolve(slab - slab.mean(), kernel, mode="valid")
    return contrast
