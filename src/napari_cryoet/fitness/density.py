"""How much a place in a volume stands out: the mean over a particle's sphere, less the mean over a shell around it.

Read at the coarsest level that resolves the particle, plane by plane, and coarser still where that level is finer than
it need be. What is kept is one number a coarse voxel: where its contrast ranks among all, from -1 (darkest against its
surroundings) to 1 (brightest). Ranks aren't impressed by gold beads, and know no grey scale.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.stopping import raise_if_stopped

if TYPE_CHECKING:
    from napari_cryoet.volumes import Volume

#: How many voxels a particle is wide at least where it counts as resolved.
VOXELS_A_DIAMETER: Final = 4.0
#: The most voxels that are kept in memory (4 bytes each, three times over while they are ranked).
MAX_VOXELS: Final = 2**25
#: Outer radius of the shell, in radii of the particle: it holds three times as many voxels as the sphere.
_SHELL: Final = 1.6
#: The most voxels of a kernel: more would fill the memory, and say that the volume is far thinner than a particle.
_MAX_KERNEL: Final = 2**23
_SLAB_VOXELS: Final = 2**22
_RANKED_SAMPLE: Final = 2**17
#: So many times the range of nearly all voxels, from the middle: gold is far below.
_SPIKE: Final = 1000.0
#: No density is so far from 0: it stands for no value, as the largest number of 32 bits does, and sums would overflow.
_NO_VALUE: Final = 1e30

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Grid:
    """The coarse grid on which a volume is judged.

    Attributes
    ----------
    level
        Of the pyramid that is read; 0 is the finest.
    binned_by
        How many voxels of that level become one, along each axis.
    shape_zyx
        In coarse voxels.
    step_zyx
        How many voxels of the full resolution a coarse one spans.
    first_zyx
        Where the centre of the first coarse voxel lies, in voxels of the full resolution.
    spacing_zyx
        The size of a coarse voxel in ångström.
    """

    level: int
    binned_by: int
    shape_zyx: tuple[int, int, int]
    step_zyx: NDArray[np.float64]
    first_zyx: NDArray[np.float64]
    spacing_zyx: NDArray[np.float64]

    def places(self, voxels_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxels of the full resolution, in coarse voxels."""
        return np.asarray((voxels_zyx - self.first_zyx) / self.step_zyx)


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What stands out where.

    Attributes
    ----------
    grid
        Where the values are.
    ranks
        float32, from -1 to 1; all 0 where nothing differs from anything.
    """

    grid: Grid
    ranks: NDArray[np.float32]

    def near(self, places_zyx: NDArray[np.float64]) -> NDArray[np.float32]:
        """The ranks of the nearest coarse voxels; what is beyond the volume comes in again at its other side."""
        index = np.rint(places_zyx).astype(np.intp) % self.ranks.shape
        _, size_y, size_x = self.ranks.shape
        flat = (index[..., 0] * size_y + index[..., 1]) * size_x + index[..., 2]
        return np.asarray(self.ranks.ravel()[flat])

    def between(self, places_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ranks between coarse voxels, linearly; beyond the volume those of its border."""
        from scipy import ndimage

        flat = ndimage.map_coordinates(self.ranks, places_zyx.reshape(-1, 3).T, order=1, mode="nearest")
        return np.asarray(flat, dtype=np.float64).reshape(places_zyx.shape[:-1])


def grid_for(volume: Volume, spacing_zyx: tuple[float, float, float], diameter_angstrom: float) -> Grid:
    """The coarsest grid on which a particle is still `VOXELS_A_DIAMETER` wide, within `MAX_VOXELS`; reads nothing."""
    widest = diameter_angstrom / VOXELS_A_DIAMETER
    shapes, factors, is_mean = _levels_of(volume)
    spacings = [np.multiply(spacing_zyx, factor) for factor in factors]
    resolving = [level for level, spacing in enumerate(spacings) if spacing.max() <= widest]
    level = resolving[-1] if resolving else 0
    shape, factor = np.array(shapes[level]), np.array(factors[level])
    binned_by = max(1, min(int(widest / spacings[level].max()), int(shape.min())))
    while math.prod(shape // binned_by) > MAX_VOXELS:
        binned_by += 1
    offset = (factor - 1) / 2 if is_mean else np.zeros(3)
    size_z, size_y, size_x = (int(size) for size in np.maximum(shape // binned_by, 1))
    return Grid(
        level,
        binned_by,
        (size_z, size_y, size_x),
        step_zyx=factor * binned_by,
        first_zyx=offset + factor * (binned_by - 1) / 2,
        spacing_zyx=spacings[level] * binned_by,
    )


def is_resolvable(grid: Grid, diameter_angstrom: float) -> bool:
    """Whether a particle can be looked for on a grid: not where it is very many voxels wide, as in a single plane."""
    outer, _ = _reach(grid.spacing_zyx, diameter_angstrom)
    return bool(np.prod(2 * np.ceil(outer / grid.spacing_zyx) + 1) <= _MAX_KERNEL)


def read_contrast(
    volume: Volume,
    grid: Grid,
    diameter_angstrom: float,
    *,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> Contrast:
    """Read the grid's level once and rank what stands out in it.

    Raises
    ------
    StreamError
        If it can't be read.
    StoppedError
        When ``stop`` is set.
    """
    voxels = _read(volume, grid, stop, progress)
    _clip_spikes(voxels)
    if voxels.min() == voxels.max():
        return Contrast(grid, np.zeros_like(voxels))
    contrast = _filtered(voxels, _kernel(grid.spacing_zyx, diameter_angstrom), stop, progress)
    _rank(contrast)
    return Contrast(grid, contrast)


def _levels_of(volume: Volume) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]], bool]:
    """Shapes, factors against the finest level, and whether coarse voxels sit in the middle of what they span."""
    if volume.pyramid is not None:
        pyramid = volume.pyramid
        return list(pyramid.shapes), list(pyramid.factors), pyramid.coarse_offset == "mean"
    shapes = [tuple(level.shape) for level in volume.levels]
    return shapes, [tuple(fine / size for fine, size in zip(shapes[0], shape, strict=True)) for shape in shapes], True


def _read(volume: Volume, grid: Grid, stop: threading.Event | None, progress: Progress | None) -> NDArray[np.float32]:
    """The level's voxels, averaged to the grid's, a slab of planes at a time."""
    bins = grid.binned_by
    size_z, size_y, size_x = grid.shape_zyx
    voxels = np.empty(grid.shape_zyx, np.float32)
    planes = max(1, _SLAB_VOXELS // (size_y * size_x * bins**3))
    for start in range(0, size_z, planes):
        raise_if_stopped(stop)
        _tell(progress, 0.7 * start / size_z, "reading the density")
        end = min(start + planes, size_z)
        box = ((start * bins, end * bins), (0, size_y * bins), (0, size_x * bins))
        if volume.pyramid is not None:
            slab = volume.pyramid.read(grid.level, box, stop=stop)
        else:
            slab = np.asarray(volume.levels[grid.level][tuple(slice(*span) for span in box)])
        slab = _densities(np.asarray(slab))
        if bins > 1:
            slab = slab.reshape(end - start, bins, size_y, bins, size_x, bins).mean(axis=(1, 3, 5), dtype=np.float32)
        voxels[start:end] = slab
    is_odd = ~np.isfinite(voxels)
    if is_odd.any():
        voxels[is_odd] = 0 if is_odd.all() else np.median(voxels[~is_odd])
    return voxels


def _densities(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Voxels as numbers of 32 bits, NaN where they can be no densities."""
    if voxels.dtype.kind != "f":
        return voxels.astype(np.float32)
    with np.errstate(over="ignore"):
        found = voxels.astype(np.float32)
    found[~(np.abs(found) < _NO_VALUE)] = np.nan
    return found


def _clip_spikes(voxels: NDArray[np.float32]) -> None:
    """Cut off, in place, what no density can be, such as a damaged voxel: it would drown the others in its rounding."""
    sample = np.random.default_rng(0).choice(voxels.ravel(), _RANKED_SAMPLE).astype(np.float64)
    low, middle, high = np.percentile(sample, (1, 50, 99))
    reach = _SPIKE * (high - low)
    if reach > 0:
        np.clip(voxels, middle - reach, middle + reach, out=voxels)


def _kernel(spacing_zyx: NDArray[np.float64], diameter_angstrom: float) -> NDArray[np.float32]:
    """Weights that sum to 0: 1 in all over the sphere, -1 in all over the shell, with soft edges."""
    width = float(spacing_zyx.max())
    outer, radius = _reach(spacing_zyx, diameter_angstrom)
    axes = [
        np.arange(-n, n + 1) * size
        for n, size in zip(np.ceil(outer / spacing_zyx).astype(int), spacing_zyx, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(z**2 + y**2 + x**2)
    sphere, ball = (np.clip((edge - distance) / width + 0.5, 0, 1) for edge in (radius, outer))
    shell = ball - sphere
    return np.asarray(sphere / sphere.sum() - shell / shell.sum(), dtype=np.float32)


def _reach(spacing_zyx: NDArray[np.float64], diameter_angstrom: float) -> tuple[float, float]:
    """The radii of the shell and of the sphere, in ångström."""
    width = float(spacing_zyx.max())
    radius = max(diameter_angstrom / 2, width / 2)
    return max(_SHELL * radius, radius + 1.5 * width), radius


def _filtered(
    voxels: NDArray[np.float32], kernel: NDArray[np.float32], stop: threading.Event | None, progress: Progress | None
) -> NDArray[np.float32]:
    """The volume weighed by the kernel about each voxel, slab by slab; mirrored at the borders."""
    from scipy.signal import fftconvolve

    reach = [size // 2 for size in kernel.shape]
    size_z, size_y, size_x = voxels.shape
    planes = max(4 * reach[0], _SLAB_VOXELS // (size_y * size_x), 1)
    contrast = np.empty_like(voxels)
    for start in range(0, size_z, planes):
        raise_if_stopped(stop)
        _tell(progress, 0.7 + 0.2 * start / size_z, "comparing with what lies around")
        end = min(start + planes, size_z)
        first, last = max(start - reach[0], 0), min(end + reach[0], size_z)
        missing = (reach[0] - (start - first), reach[0] - (last - end))
        padding = (missing, (reach[1], reach[1]), (reach[2], reach[2]))
        slab = np.pad(voxels[first:last], padding, mode="symmetric")
        contrast[start:end] = fftconvolve(slab - slab.mean(), kernel, mode="valid")
    return contrast


def _rank(contrast: NDArray[np.float32]) -> None:
    """Replace each value by its rank among all, from -1 to 1, in place."""
    sample = np.sort(np.random.default_rng(0).choice(contrast.ravel(), _RANKED_SAMPLE))
    for plane in contrast:
        below = np.searchsorted(sample, plane, side="left")
        above = np.searchsorted(sample, plane, side="right")
        plane[...] = (below + above) / len(sample) - 1


def _tell(progress: Progress | None, share: float, words: str) -> None:
    if progress is not None:
        progress(share, words)
