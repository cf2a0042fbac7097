"""Membranes and filaments as formulas, in ångström, x, y, z."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floating = NDArray[np.floating]
Vector = tuple[float, float, float]

LEAFLET_GAP_ANGSTROM: Final = 40.0
"""Between the head groups of the two leaflets of a bilayer."""
MICROTUBULE_RADIUS_ANGSTROM: Final = 112.0
PROTOFILAMENTS: Final = 13
MONOMER_RISE_ANGSTROM: Final = 41.0
_GOLDEN_ANGLE: Final = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class Membrane:
    """A closed bilayer: an undulating ellipsoid.

    It is the zero of r - 1 - sum of waves, where r is the distance from the centre in units of the radii.

    Parameters
    ----------
    name
        What it encloses, in the portal's words.
    centre_xyz, radii_xyz
        Of the bilayer's middle, in ångström.
    waves
        Undulations: wave vector x, y, z per radius, phase, amplitude in radii.
    sway
        The whole swings along x by an amplitude, with a wave length along y, and a phase: ångström, ångström, radians.
    """

    name: str
    centre_xyz: Vector
    radii_xyz: Vector
    waves: tuple[tuple[float, float, float, float, float], ...] = ()
    sway: Vector = (0.0, 1.0, 0.0)

    def distance(self, x: Floating, y: Floating, z: Floating) -> Floating:
        """Distance to the middle of the bilayer in ångström, negative inside; to first order, exact at the surface."""
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

    def surface(self, directions: Floats) -> Floats:
        """Points of the middle of the bilayer, found from these directions of the unit sphere; shape (n, 3)."""
        points = np.asarray(self.centre_xyz) + np.asarray(self.radii_xyz) * directions
        for _ in range(12):
            distances = np.clip(self.distance(*points.T), -60, 60)
            points = points - distances[:, None] * self.normals(points)
        return np.asarray(points[np.abs(self.distance(*points.T)) < 1])

    def normals(self, points: Floats) -> Floats:
        """Outward unit normals at points near the surface; shape (n, 3)."""
        step = 4.0
        slopes = [self.distance(*(points + s).T) - self.distance(*(points - s).T) for s in np.eye(3) * step]
        gradient = np.stack(slopes, axis=-1)
        return np.asarray(gradient / np.linalg.norm(gradient, axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Microtubule:
    """Thirteen protofilaments around a slightly bent axis; ends and bend in ångström."""

    start_xyz: Vector
    end_xyz: Vector
    bend_xyz: Vector = (0.0, 0.0, 0.0)

    def axis(self, fractions: Floats) -> Floats:
        """Points on the axis, at fractions 0..1 of its length; shape (n, 3)."""
        t = np.asarray(fractions)[:, None]
        start, end, bend = (np.asarray(v) for v in (self.start_xyz, self.end_xyz, self.bend_xyz))
        return np.asarray(start + t * (end - start) + 4 * t * (1 - t) * bend)

    @property
    def length_angstrom(self) -> float:
        """Length of its axis, by its chord."""
        return float(np.linalg.norm(np.subtract(self.end_xyz, self.start_xyz)))

    def sample_axis(self, step_angstrom: float) -> Floats:
        """Points about ``step_angstrom`` apart along the axis; shape (n, 3)."""
        return self.axis(np.linspace(0, 1, max(2, round(self.length_angstrom / step_angstrom) + 1)))

    def monomers(self) -> tuple[Floats, Floats, Floats]:
        """The tubulin monomers of a left-handed three-start helix: centres, and unit vectors along and outward.

        Each has shape (n, 3).
        """
        count = int(self.length_angstrom / MONOMER_RISE_ANGSTROM)
        rows, columns = np.meshgrid(np.arange(count), np.arange(PROTOFILAMENTS), indexing="ij")
        along = (rows + 3 * columns / PROTOFILAMENTS).ravel() * MONOMER_RISE_ANGSTROM / self.length_angstrom
        angle = (-2 * np.pi * columns / PROTOFILAMENTS).ravel()
        side, up = self._frame()
        outward = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up
        tangent = self.axis(along + 1e-3) - self.axis(along - 1e-3)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        return self.axis(along) + MICROTUBULE_RADIUS_ANGSTROM * outward, tangent, outward

    def distance(self, points: Floats) -> Floats:
        """Distance of points, shape (n, 3), to the axis in ångström."""
        axis = self.sample_axis(20.0)
        squares = ((points[:, None, :] - axis[None]) ** 2).sum(axis=-1)
        return np.asarray(np.sqrt(squares.min(axis=1)))

    def _frame(self) -> tuple[Floats, Floats]:
        direction = np.subtract(self.end_xyz, self.start_xyz) / self.length_angstrom
        side = np.cross(direction, (0.0, 0.0, 1.0))
        side /= np.linalg.norm(side)
        return side, np.cross(direction, side)


def sphere_directions(count: int) -> Floats:
    """Unit vectors spread evenly over the sphere (a Fibonacci lattice); shape (count, 3)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(_GOLDEN_ANGLE * k), radius * np.sin(_GOLDEN_ANGLE * k), z], axis=-1)


def random_rotations(count: int, rng: np.random.Generator) -> Floats:
    """Rotations spread evenly over all orientations; shape (count, 3, 3), active, for column vectors in x, y, z."""
    quaternions = rng.normal(size=(count, 4))
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def rotations_to(directions: Floats, spins: Floats) -> Floats:
    """Rotations that turn the particle's z axis into each direction, after a spin about it; shape (n, 3, 3)."""
    helper = np.where(np.abs(directions[:, 2:]) < 0.9, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    side = np.cross(helper, directions)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(directions, side)
    cos, sin = np.cos(spins)[:, None], np.sin(spins)[:, None]
    return np.stack([cos * side + sin * up, cos * up - sin * side, directions], axis=-1)
