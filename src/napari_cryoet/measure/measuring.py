"""Measure picks: distances to others, to the volume's edge and a mask's surface; density, contrast."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.diameters import DEFAULT_DIAMETER_ANGSTROM, known_diameter
from napari_cryoet.exceptions import require_known, require_positive
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.task import UNWATCHED, Task, shows_progress, stoppable
from napari_cryoet.volumes import LevelGrid, Mask, Volume, are_inside, edge_distances
from napari_cryoet.volumes.crops import mean_of_known
from napari_cryoet.wording import count_text

#: Names of the columns.
NEAREST: Final = "nearest_neighbour_nm"
EDGE: Final = "edge_distance_nm"
DENSITY: Final = "density"
CONTRAST: Final = "contrast"
SURFACE: Final = "surface_distance_nm"
INSIDE: Final = "is_inside"
LABEL: Final = "mask_label"
#: The columns of picks in a volume, and of picks in a mask.
COLUMNS: Final = {
    Volume: (NEAREST, EDGE, DENSITY, CONTRAST),
    Mask: (NEAREST, EDGE, SURFACE, INSIDE, LABEL),
}

_MAX_WORDS: Final = 4  # in an object name that is part of a file name
_VOXELS_ACROSS: Final = 6  # minimum across a ball at the level that is read
_MOST_STEPS: Final = 16  # maximum of samples along the radius
_CELL_VOXELS: Final = 96  # picks in the same cell of the volume are read together
_SAMPLES_AT_ONCE: Final = 2**21
#: The label of picks outside the volume.
NO_LABEL: Final = -1
#: Distance from the centre of a voxel's face to its corner.
_FACE_REACH: Final = np.sqrt(0.5)
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
class PicksFrame:
    """Picks in a volume, as given. Picks without a voxel spacing are in voxels of the volume."""

    picks: Picks
    shape_zyx: tuple[int, int, int]  # of the volume in voxels
    spacing_zyx: tuple[float, float, float]  # of the volume in ångström
    #: The volume's first voxel in the picks' frame, in voxels.
    origin_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, picks: Picks, volume: Volume) -> PicksFrame:
        """Picks in an open volume; FormatError if its voxel spacing is unknown."""
        z, y, x = volume.spacing_zyx.tolist()
        start_z, start_y, start_x = volume.start_angstrom
        return cls(picks, volume.shape_zyx, (z, y, x), (start_z / z, start_y / y, start_x / x))

    @property
    def voxels_zyx(self) -> NDArray[np.float64]:
        """The positions (n, 3) in voxels of the volume."""
        own = self.picks.spacing_angstrom
        scale = np.ones(3) if own is None else own / np.array(self.spacing_zyx)
        return np.asarray(self.picks.points_zyx * scale - self.origin_zyx)

    @property
    def picks_angstrom(self) -> float:
        """The voxel size of the picks' grid."""
        return self.picks.spacing_angstrom or self.mean_spacing

    @property
    def mean_spacing(self) -> float:
        """The volume's voxel size, averaged over axes."""
        return float(np.mean(self.spacing_zyx))


@shows_progress
def measure_picks(
    picks: Picks,
    volume: Volume | Mask,
    *,
    columns: Collection[str] = (),
    diameter_angstrom: float | None = None,
    task: Task = UNWATCHED,
) -> Picks:
    """Measure picks in a volume or a mask; returns the picks with the columns as features.

    Every volume gives ``nearest_neighbour_nm`` (NaN for a single pick) and ``edge_distance_nm``
    (negative outside). A tomogram adds ``density``, the mean over a sphere, and ``contrast``: the
    rank of the density relative to its surroundings, from -1 (darkest) to 1. A mask adds
    ``surface_distance_nm`` (negative inside, NaN without a surface), ``is_inside`` and
    ``mask_label`` (0 in the background, -1 outside the volume).

    Parameters
    ----------
    picks
        Picks without a voxel spacing are in voxels of the volume.
    volume
        What `open_volume` or `open_annotation` opens. Its voxel spacing must be known.
    columns
        Names of columns, by default all; contrast reads the whole volume at a coarse level.
    diameter_angstrom
        The diameter of the sphere; by default that of the object that the picks name, else 100 Å.
    task
        Its progress, and Stop.

    Raises
    ------
    FormatError
        If the voxel spacing of the volume is unknown, or a mask isn't one.
    CryoETError
        If there is no such column.
    StreamError
        If the volume can't be read.
    StoppedError
        If ``task`` is stopped.
    """
    if not isinstance(picks, Picks):
        raise TypeError(f"picks must be Picks, not {type(picks).__name__}; read_picks reads a file")
    if not isinstance(volume, Volume | Mask):
        kind = type(volume).__name__
        raise TypeError(f"volume must be a Volume or a Mask, not {kind}; open_volume opens a file")
    possible = COLUMNS[type(volume)]
    wanted = {columns} if isinstance(columns, str) else set(columns) or set(possible)
    for name in wanted:
        require_known(name, possible, "column")
    if diameter_angstrom is not None:
        require_positive("diameter_angstrom", diameter_angstrom)
    frame = PicksFrame.of(picks, volume if isinstance(volume, Volume) else volume.volume)
    values = measured_columns(
        frame.voxels_zyx,
        volume,
        wanted,
        diameter_angstrom=diameter_angstrom or diameter_of(picks.about)[0],
        task=task,
    )
    kept = {name: values[name] for name in possible if name in wanted}
    return picks.changed(features=dict(picks.features) | kept)


def measured_columns(
    points_zyx: NDArray[np.float64],
    volume: Volume | Mask,
    wanted: Collection[str],
    *,
    diameter_angstrom: float,
    task: Task = UNWATCHED,
) -> dict[str, NDArray[Any]]:
    """Columns of points (n, 3) in voxels of a volume, and others that come along with them."""
    grid = volume if isinstance(volume, Volume) else volume.volume
    columns: dict[str, NDArray[Any]] = {}
    if not {NEAREST, EDGE}.isdisjoint(wanted):
        columns |= distances_nm(points_zyx, grid.shape_zyx, grid.spacing_zyx)
    if isinstance(volume, Mask):
        mask = volume
        if not {SURFACE, INSIDE, LABEL}.isdisjoint(wanted):
            at = stoppable(lambda: read_surface(mask, points_zyx, task), task)
            lengths_nm = at.distances * grid.spacing_zyx[0] / 10
            columns |= {SURFACE: lengths_nm, INSIDE: at.labels > 0, LABEL: at.labels}
        return columns
    if DENSITY in wanted:
        columns[DENSITY] = densities_at(volume, points_zyx, diameter_angstrom, task=task)
    if CONTRAST in wanted:
        coarse = grid_for(volume, diameter_angstrom)
        contrast = read_contrast(volume, coarse, diameter_angstrom, task=task)
        ranks = contrast.interpolated(coarse.from_finest(points_zyx))
        columns[CONTRAST] = np.where(are_inside(points_zyx, volume.shape_zyx), ranks, np.nan)
    return columns


def distances_nm(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Distances of points in voxels of a volume to the nearest other and to the edge, as columns."""
    nearest = nearest_neighbours(points_zyx * spacing_zyx) / 10
    return {NEAREST: nearest, EDGE: edge_distances(points_zyx, shape_zyx, spacing_zyx) / 10}


def nearest_neighbours(points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance from each point to its nearest neighbour; NaN for a single point."""
    from scipy.spatial import KDTree

    if len(points_zyx) < 2:
        return np.full(len(points_zyx), np.nan)
    distances, _ = KDTree(points_zyx).query(points_zyx, k=[2])
    return np.asarray(distances[:, 0])


def diameter_of(about: Provenance) -> tuple[float, bool]:
    """A particle's diameter in ångström from the provenance of its picks, else 100 Å; and whether it is known."""
    names = [about.object_name]
    if about.source_url:  # such as 101-fatty_acid_synthase-1.0_point.ndjson
        words = re.findall(r"[A-Za-z0-9]+", Location.of(about.source_url).name[:120])
        lengths = range(min(_MAX_WORDS, len(words)), 0, -1)
        names += [
            " ".join(words[start : start + n])
            for n in lengths
            for start in range(len(words) - n + 1)
        ]
    for name in names:
        diameter = known_diameter(about.object_id, name)
        if diameter is not None:
            return diameter, True
    return DEFAULT_DIAMETER_ANGSTROM, False


# density


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


# the surface of a mask


class AtSurface(NamedTuple):
    """Labels int64 (n,) and distances (n,) of points, as `read_surface` returns them."""

    labels: NDArray[np.int64]
    distances: NDArray[np.float64]


def read_surface(
    mask: Mask,
    points_zyx: NDArray[np.float64],
    task: Task = UNWATCHED,
) -> AtSurface:
    """The mask's labels at points (n, 3), and their distances to its surface, all in voxels.

    Labels are 0 in the background and `NO_LABEL` outside the volume. Distances are negative inside,
    and NaN if the mask has no surface.
    """
    voxels = np.floor(points_zyx + 0.5).astype(np.int64)
    is_in_volume = ((voxels >= 0) & (voxels < mask.shape_zyx)).all(axis=1)
    labels = np.full(len(points_zyx), NO_LABEL, dtype=np.int64)
    distances = np.full(len(points_zyx), np.inf)
    last_plane = np.zeros((0, *mask.shape_zyx[1:]), dtype=bool)
    for start, slab in mask.slabs(task):
        is_in_slab = (voxels[:, 0] >= start) & (voxels[:, 0] < start + len(slab))
        rows = np.flatnonzero(is_in_volume & is_in_slab)
        z, y, x = voxels[rows].T
        labels[rows] = slab[z - start, y, x]
        _update_distances(distances, points_zyx, _faces(last_plane, slab > 0, start))
        last_plane = slab[-1:] > 0
    signs = np.where(labels > 0, -1.0, 1.0)
    return AtSurface(labels, np.where(np.isfinite(distances), signs * distances, np.nan))


def _faces(
    last_plane: NDArray[np.bool_], slab: NDArray[np.bool_], start: int
) -> NDArray[np.float64]:
    """Centres of the faces between mask and background, in voxels: half-way between two voxels along one axis.

    ``last_plane`` is the plane before the slab, for faces across z.
    """
    centres = []
    for axis in range(3):
        part, first = (
            (np.concatenate([last_plane, slab]), start - len(last_plane))
            if axis == 0
            else (slab, start)
        )
        part_centres = np.argwhere(np.diff(part, axis=axis)).astype(np.float64)
        part_centres[:, axis] += 0.5
        part_centres[:, 0] += first
        centres.append(part_centres)
    return np.concatenate(centres)


def _update_distances(
    distances: NDArray[np.float64], points: NDArray[np.float64], centres: NDArray[np.float64]
) -> None:
    """Update the distance of each point to the nearest face, given more faces; all in voxels.

    The face with the nearest centre needn't be the nearest face, but the centre of that is little
    further away.
    """
    from scipy.spatial import KDTree

    if not len(centres):
        return
    tree = KDTree(centres, balanced_tree=False, compact_nodes=False)  # builds three times as fast
    to_centres, _ = tree.query(points)
    for row in np.flatnonzero(to_centres - _FACE_REACH < distances):
        near = centres[
            tree.query_ball_point(points[row], min(to_centres[row], distances[row]) + _FACE_REACH)
        ]
        half_widths = np.where(near % 1 == 0, 0.5, 0.0)  # 0 along the normal of a face
        offsets = np.maximum(np.abs(points[row] - near) - half_widths, 0)
        distances[row] = min(distances[row], np.linalg.norm(offsets, axis=1).min(initial=np.inf))


# contrast


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
        first = max(start - reach[0], 0)
        last = min(end + reach[0], size_z)
        missing = reach[0] - (start - first), reach[0] - (last - end)
        slab = np.pad(
            voxels[first:last], (missing, (reach[1],) * 2, (reach[2],) * 2), mode="symmetric"
        )
        contrast[start:end] = fftconvolve(slab - slab.mean(), kernel, mode="valid")
    return contrast
