"""The ground truth of each run: objects and their positions, from ``scenes.toml`` and a seed, without rendering.

Lengths and positions are in ångström, x, y, z, from the centre of voxel (0, 0, 0). They don't
depend on the demo's size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vector = tuple[float, float, float]

BEAD_PITCH_ANGSTROM: Final = 12.0  # a bead of a molecule represents a cube of this size
MICROTUBULE_RADIUS_ANGSTROM: Final = 112.0
_PROTOFILAMENTS: Final = 13
_MONOMER_RISE_ANGSTROM: Final = 41.0
_MONOMER_CUBIC_ANGSTROM: Final = 50e3 / 0.81
_BOUND_RIBOSOME_ANGSTROM: Final = (
    138.0  # from the mid-surface of a membrane to the centre of a ribosome on it
)
_SEED: Final = 20261124
_TRIES_PER_PARTICLE: Final = 400
_CLEARANCE_ANGSTROM: Final = 45.0  # between a particle and the mid-surface of a membrane


class Membrane(msgspec.Struct, frozen=True):
    """A closed bilayer: an undulating ellipsoid, defined by r - 1 - (sum of waves) = 0."""

    name: str
    centre_xyz: Vector
    radii_xyz: Vector
    waves: tuple[
        tuple[float, float, float, float, float], ...
    ] = ()  # vector x, y, z per radius, phase, amplitude
    sway: Vector = (
        0.0,
        1.0,
        0.0,
    )  # sinusoidal displacement along x: amplitude, wavelength along y, phase

    def distance(
        self, x: NDArray[np.floating], y: NDArray[np.floating], z: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """First-order distance to the mid-surface, negative inside; exact at the surface."""
        a, b, c = self.radii_xyz
        amplitude, wave_length, phase = self.sway
        swing = 2 * np.pi / wave_length * (y + 0.4 * z) + phase
        u = (x - amplitude * np.sin(swing) - self.centre_xyz[0]) / a
        v, w = (y - self.centre_xyz[1]) / b, (z - self.centre_xyz[2]) / c
        r = np.sqrt(u * u + v * v + w * w) + np.float32(1e-4)
        value, du, dv, dw = r - 1, u / r, v / r, w / r
        for kx, ky, kz, start, height in self.waves:
            angle = kx * u + ky * v + kz * w + start
            value, slope = value - height * np.sin(angle), height * np.cos(angle)
            du, dv, dw = du - kx * slope, dv - ky * slope, dw - kz * slope
        lean = amplitude * 2 * np.pi / wave_length * np.cos(swing)
        dx = du / a
        gradient = np.sqrt(dx * dx + (dv / b - lean * dx) ** 2 + (dw / c - 0.4 * lean * dx) ** 2)
        return np.asarray(value / (gradient + np.float32(1e-6)))

    def bounds(self, margin: float) -> tuple[Floats, Floats]:
        """The corners of a bounding box."""
        reach = np.asarray(self.radii_xyz) * (1 + sum(abs(wave[4]) for wave in self.waves)) + margin
        reach[0] += abs(self.sway[0])
        return self.centre_xyz - reach, self.centre_xyz + reach

    def surface(self, directions: Floats) -> Floats:
        """Points (n, 3) of the mid-surface, near the given directions of the unit sphere."""
        points = np.asarray(self.centre_xyz) + np.asarray(self.radii_xyz) * directions
        for _ in range(12):
            distances = np.clip(self.distance(*points.T), -60, 60)
            points = points - distances[:, None] * self.normals(points)
        return np.asarray(points[np.abs(self.distance(*points.T)) < 1])

    def normals(self, points: Floats) -> Floats:
        """Outward unit normals (n, 3) at points near the surface."""
        slopes = [
            self.distance(*(points + s).T) - self.distance(*(points - s).T) for s in np.eye(3) * 4.0
        ]
        gradient = np.stack(slopes, axis=-1)
        return np.asarray(gradient / np.linalg.norm(gradient, axis=-1, keepdims=True))

    def points(self, step: float) -> Floats:
        """Points (n, 3) on the surface, about ``step`` apart."""
        a, b, c = self.radii_xyz
        area = 4 * np.pi * (((a * b) ** 1.6 + (a * c) ** 1.6 + (b * c) ** 1.6) / 3) ** (1 / 1.6)
        return self.surface(sphere_directions(round(area / step**2)))


class Microtubule(msgspec.Struct, frozen=True):
    """Thirteen protofilaments around a slightly bent axis."""

    start_xyz: Vector
    end_xyz: Vector
    bend_xyz: Vector = (0.0, 0.0, 0.0)

    def axis(self, fractions: Floats) -> Floats:
        """Points (n, 3) on the axis at fractions 0..1 of its length."""
        t = np.asarray(fractions)[:, None]
        start, end, bend = (np.asarray(v) for v in (self.start_xyz, self.end_xyz, self.bend_xyz))
        return np.asarray(start + t * (end - start) + 4 * t * (1 - t) * bend)

    @property
    def length_angstrom(self) -> float:
        """Length of the axis, approximated by its chord."""
        return float(np.linalg.norm(np.subtract(self.end_xyz, self.start_xyz)))

    def points(self, step: float) -> Floats:
        """Points (n, 3) on the axis, about ``step`` apart."""
        return self.axis(np.linspace(0, 1, max(2, round(self.length_angstrom / step) + 1)))

    def distance(self, points: Floats) -> Floats:
        """Distance of points (n, 3) to the axis."""
        squares = ((points[:, None, :] - self.points(20.0)[None]) ** 2).sum(axis=-1)
        return np.asarray(np.sqrt(squares.min(axis=1)))

    def beads(self) -> tuple[Floats, Floats]:
        """Positions and masses (density times volume) of the wall's beads: 3 x 2 per protofilament, every 2 nm."""
        turns = 2 * np.pi * np.arange(_PROTOFILAMENTS) / _PROTOFILAMENTS
        angles = (turns[:, None] + [-0.13, 0, 0.13]).ravel()
        radii = MICROTUBULE_RADIUS_ANGSTROM + np.array([-10, 8])
        along = np.arange(0, self.length_angstrom, _MONOMER_RISE_ANGSTROM / 2)
        along, angles, radii = (part.ravel() for part in np.meshgrid(along, angles, radii))
        direction = np.subtract(self.end_xyz, self.start_xyz) / self.length_angstrom
        side = np.cross(direction, (0.0, 0.0, 1.0))
        side /= np.linalg.norm(side)
        outward = np.outer(np.cos(angles), side) + np.outer(
            np.sin(angles), np.cross(direction, side)
        )
        points = self.axis(along / self.length_angstrom) + radii[:, None] * outward
        return points, np.full(len(points), _MONOMER_CUBIC_ANGSTROM / 12)


class Molecule(msgspec.Struct, frozen=True):
    """A molecule's radius, and the ellipsoids that it consists of: density, centre and radii."""

    radius: float
    ellipsoids: tuple[tuple[float, Vector, Vector], ...]

    def beads(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Beads on a jittered lattice around the centre of mass.

        Random weights imitate secondary structure.
        """
        ticks = np.arange(-1.25 * self.radius, 1.25 * self.radius, BEAD_PITCH_ANGSTROM)
        beads = np.stack(np.meshgrid(ticks, ticks, ticks), axis=-1).reshape(-1, 3)
        beads += rng.uniform(-0.25, 0.25, beads.shape) * BEAD_PITCH_ANGSTROM
        weights = np.zeros(len(beads))
        for density, centre, radii in self.ellipsoids:
            weights[(((beads - centre) / radii) ** 2).sum(axis=-1) <= 1] = density
        beads, weights = (
            beads[weights > 0],
            weights[weights > 0] * rng.uniform(0.6, 1.4, np.count_nonzero(weights)),
        )
        return beads - np.average(beads, axis=0, weights=weights), weights


class Recipe(msgspec.Struct, frozen=True):
    """The objects in a scene."""

    extent_xyz: Vector
    particles: dict[str, int]  # number of each molecule
    membranes: tuple[Membrane, ...] = ()
    microtubules: tuple[Microtubule, ...] = ()
    gold_beads: tuple[Vector, ...] = ()
    bound_ribosomes: int = 0  # additional ones on the first membrane
    crowding: float = 0.02  # density of small proteins in the background, relative to a cell


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A recipe with all particles placed: centres (n, 3) and rotations (n, 3, 3) by molecule.

    Rotations are active, from particle to tomogram: their columns are the particle's axes, x, y, z.
    """

    name: str
    recipe: Recipe
    positions_angstrom_xyz: Mapping[str, Floats]
    rotations: Mapping[str, Floats]


class _File(msgspec.Struct, frozen=True):
    molecules: dict[str, Molecule]
    scenes: dict[str, Recipe]


_FILE: Final = msgspec.toml.decode(Path(__file__).with_name("scenes.toml").read_bytes(), type=_File)
RECIPES: Final = _FILE.scenes
MOLECULES: Final = _FILE.molecules


def rng_for(*words: str | int) -> np.random.Generator:
    """A random generator for one purpose; the same words give the same numbers on every machine."""
    return np.random.default_rng([_SEED, *(byte for word in words for byte in str(word).encode())])


@cache
def beads_of(molecule: str) -> tuple[Floats, Floats]:
    """The beads of a molecule and their weights."""
    return MOLECULES[molecule].beads(np.random.default_rng([20260, *molecule.encode()]))


@cache
def scene(name: str) -> Scene:
    """Create the scene for a recipe."""
    recipe = RECIPES[name]
    rng = rng_for(name, "place")
    room = _Room(recipe)
    positions: dict[str, Floats] = {}
    rotations: dict[str, Floats] = {}
    bound, bound_rotations = _bound_ribosomes(recipe, room, rng)
    for kind in sorted(recipe.particles, key=lambda kind: -MOLECULES[kind].radius):
        positions[kind] = room.place(MOLECULES[kind].radius, recipe.particles[kind], rng)
        rotations[kind] = random_rotations(len(positions[kind]), rng)
    if len(bound):
        positions["ribosome"] = np.concatenate([bound, positions["ribosome"]])
        rotations["ribosome"] = np.concatenate([bound_rotations, rotations["ribosome"]])
    return Scene(name, recipe, positions, rotations)


def _bound_ribosomes(
    recipe: Recipe, room: _Room, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Positions and rotations of ribosomes on the outside of the first membrane, exit tunnels (+z) towards it."""
    if not recipe.bound_ribosomes:
        return np.empty((0, 3)), np.empty((0, 3, 3))
    membrane, radius = recipe.membranes[0], MOLECULES["ribosome"].radius
    on_surface = membrane.surface(sphere_directions(6000))
    outward = membrane.normals(on_surface)
    candidates = on_surface + _BOUND_RIBOSOME_ANGSTROM * outward
    kept: list[int] = []
    for k in rng.permutation(len(candidates)).tolist():
        if len(kept) < recipe.bound_ribosomes and room.is_free(
            candidates[k], radius, ignored=membrane
        ):
            room.add(candidates[k], radius)
            kept.append(k)
    return candidates[kept], rotations_to(-outward[kept], rng.uniform(0, 2 * np.pi, len(kept)))


class _Room:
    """Keeps track of occupied space while particles are placed."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._centres = np.asarray(recipe.gold_beads, dtype=float).reshape(-1, 3)
        self._radii: NDArray[np.float64] = np.full(len(self._centres), 70.0)

    def place(self, radius: float, count: int, rng: np.random.Generator) -> Floats:
        """Place up to ``count`` spheres at random without overlaps.

        Fewer if there is no more room.
        """
        start = len(self._centres)
        for _ in range(count * _TRIES_PER_PARTICLE):
            if len(self._centres) == start + count:
                break
            centre = rng.uniform(0, 1, 3) * self._recipe.extent_xyz
            if self.is_free(centre, radius):
                self.add(centre, radius)
        return self._centres[start:]

    def add(self, centre: Floats, radius: float) -> None:
        self._centres = np.vstack([self._centres, centre])
        self._radii = np.append(self._radii, radius)

    def is_free(self, centre: Floats, radius: float, ignored: Membrane | None = None) -> bool:
        margin = np.asarray((0.5, 0.5, 0.85)) * radius  # particles may be cut off along x and y
        if (centre < margin).any() or (centre > self._recipe.extent_xyz - margin).any():
            return False
        if (((self._centres - centre) ** 2).sum(axis=1) < (self._radii + radius) ** 2).any():
            return False
        for membrane in self._recipe.membranes:
            if (
                membrane is not ignored
                and float(membrane.distance(*centre)) < radius + _CLEARANCE_ANGSTROM
            ):
                return False  # too close, or inside
        reach = radius + MICROTUBULE_RADIUS_ANGSTROM + 30
        return all(
            float(tube.distance(centre[None])[0]) > reach for tube in self._recipe.microtubules
        )


def sphere_directions(count: int) -> Floats:
    """Evenly distributed unit vectors (count, 3), from a Fibonacci lattice."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    radius, angle = np.sqrt(1 - z * z), math.pi * (3 - math.sqrt(5)) * k
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)


def random_rotations(count: int, rng: np.random.Generator) -> Floats:
    """Uniformly distributed rotations (count, 3, 3), active, for column vectors in x, y, z."""
    from scipy.spatial.transform import Rotation

    w, x, y, z = rng.normal(size=(count, 4)).T
    return np.asarray(Rotation.from_quat(np.stack([x, y, z, w], axis=-1)).as_matrix())


def rotations_to(directions: Floats, spins: Floats) -> Floats:
    """Rotations (n, 3, 3) that turn the particle's z axis into each direction, after a spin about z."""
    helper = np.where(np.abs(directions[:, 2:]) < 0.9, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    side = np.cross(helper, directions)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(directions, side)
    cos, sin = np.cos(spins)[:, None], np.sin(spins)[:, None]
    return np.stack([cos * side + sin * up, cos * up - sin * side, directions], axis=-1)
