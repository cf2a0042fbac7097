"""Density and label volumes of a scene: solid protein is 1, vitreous ice is 0."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo.geometry import (
    LEAFLET_GAP_ANGSTROM,
    MICROTUBULE_RADIUS_ANGSTROM,
    Floats,
    Membrane,
    Microtubule,
)
from napari_cryoet.packs.demo.species import BEAD_PITCH_ANGSTROM, species
from napari_cryoet.packs.demo.truth import Scene, rng_for
from napari_cryoet.stopping import raise_if_stopped

Volume32 = NDArray[np.float32]
Shape3 = tuple[int, int, int]

_BEAD_SIGMA_ANGSTROM: Final = 7.0
_DALTON_PER_CUBIC_ANGSTROM: Final = 0.81
_TUBULIN_DALTON: Final = 50e3
_MEMBRANE_PER_PROTEIN_SQUARE_ANGSTROM: Final = 130.0**2
_CROWD_PER_CUBIC_ANGSTROM: Final = 1.7e-6
_HEAD_DENSITY: Final = 1.0
_TAIL_DENSITY: Final = -0.12
_GOLD_DENSITY: Final = 11.0
_GOLD_RADIUS_ANGSTROM: Final = 50.0
MASK_HALF_THICKNESS_ANGSTROM: Final = 32.0


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid of voxels whose first has its centre at the world's origin."""

    shape_zyx: Shape3
    spacing_angstrom: float

    def axes(self) -> tuple[Volume32, Volume32, Volume32]:
        """Coordinates z, y, x in ångström, shaped to broadcast."""
        z, y, x = (np.arange(n, dtype=np.float32) * np.float32(self.spacing_angstrom) for n in self.shape_zyx)
        return z[:, None, None], y[None, :, None], x[None, None, :]


def density(scene: Scene, grid: Grid, stop: threading.Event | None = None) -> Volume32:
    """The scene's density, float32, z, y, x; raises StoppedError when told to."""
    from scipy import ndimage

    points, masses = (np.concatenate(parts) for parts in zip(*_beads(scene, stop), strict=True))
    raise_if_stopped(stop)
    volume = np.zeros(grid.shape_zyx, np.float32)
    _deposit(volume, points / grid.spacing_angstrom, masses / grid.spacing_angstrom**3)
    raise_if_stopped(stop)
    sigma = _BEAD_SIGMA_ANGSTROM / grid.spacing_angstrom
    volume = ndimage.gaussian_filter(volume, sigma, mode="constant", truncate=3)
    for membrane in scene.recipe.membranes:
        raise_if_stopped(stop)
        _add_bilayer(volume, membrane, grid)
    for centre in scene.recipe.gold_beads:
        _add_ball(volume, centre, grid)
    return np.asarray(volume)


def membrane_labels(
    membranes: tuple[Membrane, ...], grid: Grid, stop: threading.Event | None = None
) -> NDArray[np.uint16]:
    """Which membrane's bilayer a voxel is in, from 1; 0 elsewhere."""
    labels = np.zeros(grid.shape_zyx, np.uint16)
    half = max(MASK_HALF_THICKNESS_ANGSTROM, 0.6 * grid.spacing_angstrom)
    for number, membrane in enumerate(membranes, start=1):
        raise_if_stopped(stop)
        box = _box(membrane, grid)
        labels[box][np.abs(_distance_in(box, membrane, grid)) <= half] = number
    return labels


def filled_mask(membrane: Membrane, grid: Grid) -> NDArray[np.int8]:
    """One inside a membrane and on it."""
    z, y, x = grid.axes()
    return np.asarray(membrane.distance(x, y, z) <= MASK_HALF_THICKNESS_ANGSTROM, dtype=np.int8)


def microtubule_labels(scene: Scene, grid: Grid) -> NDArray[np.uint16]:
    """Which microtubule a voxel is in, wall and lumen, from 1; 0 elsewhere."""
    tubes = [tube.sample_axis(grid.spacing_angstrom / 2) for tube in scene.recipe.microtubules]
    return _ball_labels(tubes, MICROTUBULE_RADIUS_ANGSTROM + 22, grid)


def particle_labels(scene: Scene, key: str, grid: Grid) -> NDArray[np.uint16]:
    """Which particle of a species a voxel is in, from 1 in the order of the positions; 0 elsewhere."""
    centres = scene.positions_angstrom_xyz(key)
    return _ball_labels([centre[None] for centre in centres], 0.95 * species(key).radius_angstrom, grid)


def _beads(scene: Scene, stop: threading.Event | None) -> Iterator[tuple[Floats, Floats]]:
    """Positions, shape (n, 3), and masses (density times volume) of all that is made of beads."""
    volume_of_bead = BEAD_PITCH_ANGSTROM**3
    for key, particles in scene.particles.items():
        raise_if_stopped(stop)
        kind = species(key)
        placed = np.einsum("nij,bj->nbi", particles.rotations, kind.beads_xyz) + particles.positions_xyz[:, None]
        masses = np.broadcast_to(kind.weights * volume_of_bead, placed.shape[:2])
        yield placed.reshape(-1, 3), masses.ravel()
    for tube in scene.recipe.microtubules:
        yield _tubulin(tube)
    yield _crowd(scene)
    for number, membrane in enumerate(scene.recipe.membranes):
        raise_if_stopped(stop)
        yield _membrane_proteins(membrane, rng_for(scene.recipe.name, "membrane protein", number))


def _tubulin(tube: Microtubule) -> tuple[Floats, Floats]:
    """Each monomer as a block of beads, 4 nm along the protofilament, 5 nm around and 5 nm deep."""
    monomers, along, outward = tube.monomers()
    around = np.cross(along, outward)
    offsets = [(a, t, r) for a in (-10, 10) for t in (-15, 0, 15) for r in (-10, 8)] + [(0, 0, 20)]
    parts = [monomers + a * along + t * around + r * outward for a, t, r in offsets]
    points = np.concatenate(parts)
    return points, np.full(len(points), _TUBULIN_DALTON / len(parts) / _DALTON_PER_CUBIC_ANGSTROM)


def _crowd(scene: Scene) -> tuple[Floats, Floats]:
    """Everything in the background that nobody annotates: small proteins, fewer of them inside vesicles."""
    rng = rng_for(scene.recipe.name, "crowd")
    extent = np.asarray(scene.recipe.extent_xyz)
    count = round(scene.recipe.crowding * _CROWD_PER_CUBIC_ANGSTROM * float(np.prod(extent)))
    centres = rng.uniform(0, 1, (count, 3)) * extent
    daltons = np.minimum(rng.lognormal(np.log(60e3), 0.7, count), 350e3)
    kept = _outside_particles(centres, scene)
    for membrane in scene.recipe.membranes:
        distance = membrane.distance(*centres.T)
        kept &= np.abs(distance) > 40
        if membrane.name == "vesicle":
            kept &= (distance > 0) | (rng.uniform(0, 1, count) < 0.3)
    return _globules(centres[kept], daltons[kept], rng)


def _outside_particles(points: Floats, scene: Scene) -> NDArray[np.bool_]:
    from scipy.spatial import KDTree

    outside = np.ones(len(points), np.bool_)
    tree = KDTree(points)
    for key, particles in scene.particles.items():
        for inside in tree.query_ball_point(particles.positions_xyz, 0.85 * species(key).radius_angstrom):
            outside[inside] = False
    for tube in scene.recipe.microtubules:
        for inside in tree.query_ball_point(tube.sample_axis(60.0), MICROTUBULE_RADIUS_ANGSTROM + 20):
            outside[inside] = False
    return outside


def _membrane_proteins(membrane: Membrane, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Proteins that stick out of a membrane on one side or the other."""
    _, b, c = sorted(membrane.radii_xyz)
    count = round(4 * np.pi * b * c / _MEMBRANE_PER_PROTEIN_SQUARE_ANGSTROM)
    directions = rng.normal(size=(count, 3))
    surface = membrane.surface(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    height = rng.choice([-1.0, 1.0], len(surface)) * rng.uniform(20, 55, len(surface))
    centres = surface + height[:, None] * membrane.normals(surface)
    return _globules(centres, rng.lognormal(np.log(70e3), 0.5, len(surface)), rng)


def _globules(centres: Floats, daltons: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Irregular clusters of beads of about 4 kDa."""
    beads = np.maximum(1, np.round(daltons / 4e3)).astype(int)
    owner = np.repeat(np.arange(len(centres)), beads)
    directions = rng.normal(size=(len(owner), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    inside = directions * np.cbrt(rng.uniform(0, 1, len(owner)))[:, None]
    radii = 11.5 * np.cbrt(beads)[:, None] * rng.uniform(0.7, 1.4, (len(centres), 3))
    points = centres[owner] + inside * radii[owner]
    return points, (daltons / beads / _DALTON_PER_CUBIC_ANGSTROM)[owner]


def _deposit(volume: Volume32, points_xyz: Floats, masses: Floats) -> None:
    """Share each mass among the eight voxels around its point (in voxels); what lies outside is lost."""
    z_size, y_size, x_size = volume.shape
    low = np.floor(points_xyz).astype(np.int64)
    fraction = points_xyz - low
    indices, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        x, y, z = (low + np.asarray(corner)).T
        weight = np.prod(np.where(np.asarray(corner), fraction, 1 - fraction), axis=1) * masses
        inside = (x >= 0) & (x < x_size) & (y >= 0) & (y < y_size) & (z >= 0) & (z < z_size)
        indices.append(((z * y_size + y) * x_size + x)[inside])
        weights.append(weight[inside])
    sums = np.bincount(np.concatenate(indices), np.concatenate(weights), minlength=volume.size)
    volume += sums.reshape(volume.shape).astype(np.float32)


def _add_bilayer(volume: Volume32, membrane: Membrane, grid: Grid) -> None:
    box = _box(membrane, grid)
    distance = _distance_in(box, membrane, grid)
    # A voxel averages over its own size: widen the leaflets of a coarse grid, keeping their mass.
    sigma = math.hypot(7.0, 0.29 * grid.spacing_angstrom)
    heads = np.float32(_HEAD_DENSITY * 7.0 / sigma)
    for side in (-0.5, 0.5):
        volume[box] += heads * _gauss(distance - np.float32(side * LEAFLET_GAP_ANGSTROM), sigma)
    volume[box] += np.float32(_TAIL_DENSITY) * _gauss(distance, math.hypot(9.0, 0.29 * grid.spacing_angstrom))


def _gauss(distance: NDArray[Any], sigma: float) -> NDArray[Any]:
    return np.asarray(np.exp(np.square(distance) * np.float32(-0.5 / sigma**2)))


def _distance_in(box: tuple[slice, slice, slice], membrane: Membrane, grid: Grid) -> NDArray[Any]:
    z, y, x = grid.axes()
    return membrane.distance(x[:, :, box[2]], y[:, box[1], :], z[box[0], :, :])


def _box(membrane: Membrane, grid: Grid) -> tuple[slice, slice, slice]:
    """The part of the grid that can hold the membrane, undulations included."""
    reach = 1 + sum(abs(wave[4]) for wave in membrane.waves)
    slices = []
    for axis, size in zip((2, 1, 0), grid.shape_zyx, strict=True):
        half = membrane.radii_xyz[axis] * reach + 100 + (abs(membrane.sway[0]) if axis == 0 else 0)
        start = math.floor((membrane.centre_xyz[axis] - half) / grid.spacing_angstrom)
        end = math.ceil((membrane.centre_xyz[axis] + half) / grid.spacing_angstrom)
        slices.append(slice(min(max(start, 0), size), min(max(end, 0), size)))
    return slices[0], slices[1], slices[2]


def _add_ball(volume: Volume32, centre_xyz: tuple[float, float, float], grid: Grid) -> None:
    z, y, x = grid.axes()
    distance = np.sqrt((x - centre_xyz[0]) ** 2 + (y - centre_xyz[1]) ** 2 + (z - centre_xyz[2]) ** 2)
    edge = np.float32(max(6.0, grid.spacing_angstrom / 2))
    volume += np.float32(_GOLD_DENSITY) * np.clip((_GOLD_RADIUS_ANGSTROM - distance) / edge + 0.5, 0, 1)


def _ball_labels(objects: list[Floats], radius_angstrom: float, grid: Grid) -> NDArray[np.uint16]:
    labels = np.zeros(grid.shape_zyx, np.uint16)
    shape = np.asarray(grid.shape_zyx[::-1])
    radius = radius_angstrom / grid.spacing_angstrom
    for number, points in enumerate(objects, start=1):
        for point in points / grid.spacing_angstrom:
            low = np.maximum(np.ceil(point - radius), 0).astype(int)
            high = np.minimum(np.floor(point + radius) + 1, shape).astype(int)
            if (low >= high).any():
                continue
            x, y, z = (np.arange(a, b) - p for a, b, p in zip(low, high, point, strict=True))
            inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 <= radius**2
            labels[low[2] : high[2], low[1] : high[1], low[0] : high[0]][inside] = number
    return labels
