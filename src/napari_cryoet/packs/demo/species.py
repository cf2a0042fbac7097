"""What the demo's molecules look like: clouds of beads in ångström around each particle's own origin.

A bead stands for a cube of `BEAD_PITCH_ANGSTROM`; its weight is the density there, with solid protein as 1 and RNA,
which scatters more, above. The shapes are drawn from the outlines in the literature, not from any deposited map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Inside = Callable[[Floats], NDArray[np.bool_]]

BEAD_PITCH_ANGSTROM: Final = 12.0
_SEED: Final = 20260


@dataclass(frozen=True, slots=True, eq=False)
class Species:
    """One kind of particle.

    Parameters
    ----------
    key
        Its name in this package.
    object_id, object_name
        What the portal calls it.
    beads_xyz
        Shape (n, 3), ångström, in the particle's own frame, whose origin is the centre of mass.
    weights
        Shape (n,), density relative to solid protein.
    radius_angstrom
        Of the sphere that nothing else should enter.
    """

    key: str
    object_id: str
    object_name: str
    beads_xyz: Floats
    weights: Floats
    radius_angstrom: float


@cache
def species(key: str) -> Species:
    """The particle of that name.

    Raises
    ------
    KeyError
        The demo has no such particle.
    """
    object_id, object_name, radius, build = _CATALOGUE[key]
    rng = np.random.default_rng([_SEED, *key.encode()])
    beads, weights = build(rng)
    beads -= np.average(beads, axis=0, weights=weights)
    return Species(key, object_id, object_name, beads, weights, radius)


def _fill(inside: Inside, half_size: float, rng: np.random.Generator, roughness: float = 0.35) -> tuple[Floats, Floats]:
    """Beads on a jittered lattice wherever ``inside``, with uneven weights as secondary structure gives."""
    ticks = np.arange(-half_size, half_size + BEAD_PITCH_ANGSTROM, BEAD_PITCH_ANGSTROM)
    lattice = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    points = lattice + rng.uniform(-0.25, 0.25, lattice.shape) * BEAD_PITCH_ANGSTROM
    points = points[inside(points)]
    weights = 1 + roughness * rng.uniform(-1, 1, len(points))
    return points, weights


def _ellipsoid(
    points: Floats, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> NDArray[np.bool_]:
    scaled = (points - np.asarray(centre)) / np.asarray(radii)
    return np.asarray((scaled**2).sum(axis=-1) <= 1)


def _ribosome(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Two unequal subunits, 27 nm across; +z points from the small to the large one, out of its tunnel."""

    def large(p: Floats) -> NDArray[np.bool_]:
        body = _ellipsoid(p, (0, 0, 35), (108, 100, 84)) & (p[:, 2] > -18)
        tunnel = (np.hypot(p[:, 0] - 8, p[:, 1] + 5) < 11) & (p[:, 2] > 20)
        return np.asarray(
            (body & ~tunnel)
            | _ellipsoid(p, (0, 104, 0), (34, 30, 26))  # central protuberance
            | _ellipsoid(p, (-118, 48, -4), (36, 17, 17))  # L1 stalk
            | _ellipsoid(p, (116, 40, -6), (44, 14, 14))  # P stalk
        )

    def small(p: Floats) -> NDArray[np.bool_]:
        return np.asarray(
            _ellipsoid(p, (-6, -42, -68), (64, 80, 37))  # body
            | _ellipsoid(p, (52, -6, -58), (36, 38, 27))  # platform
            | _ellipsoid(p, (0, 68, -66), (58, 44, 37))  # head
            | _ellipsoid(p, (-68, 88, -72), (38, 15, 16))  # beak
            | _ellipsoid(p, (14, 10, -26), (18, 30, 14))  # tRNA and bridges
        )

    points_large, weights_large = _fill(large, 165, rng, 0.5)
    points_small, weights_small = _fill(small, 165, rng, 0.5)
    return np.concatenate([points_large, points_small]), np.concatenate([1.55 * weights_large, 1.35 * weights_small])


def _fatty_acid_synthase(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A barrel of two hollow domes, 26 nm high and 22 nm wide, with a wheel across its middle."""

    def inside(p: Floats) -> NDArray[np.bool_]:
        shell = _ellipsoid(p, (0, 0, 0), (112, 112, 132)) & ~_ellipsoid(p, (0, 0, 0), (82, 82, 104))
        wheel = (np.abs(p[:, 2]) < 15) & _ellipsoid(p, (0, 0, 0), (112, 112, 132))
        angle = np.arctan2(p[:, 1], p[:, 0])
        windows = (np.abs(np.abs(p[:, 2]) - 58) < 22) & (np.cos(3 * angle) > 0.55)
        return np.asarray((shell & ~windows) | wheel)

    return _fill(inside, 140, rng)


def _proteasome(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A 20S barrel with its three chambers and one 19S cap at +z."""

    def inside(p: Floats) -> NDArray[np.bool_]:
        radius = np.hypot(p[:, 0], p[:, 1])
        barrel = (np.abs(p[:, 2] + 40) < 75) & (radius < 58)
        chambers = (radius < 24) & (np.abs((p[:, 2] + 40 + 22) % 44 - 22) < 15)
        neck = (radius < 45) & (p[:, 2] >= 35) & (p[:, 2] < 70)
        cap = _ellipsoid(p, (22, 0, 95), (78, 60, 42)) | _ellipsoid(p, (62, 0, 135), (40, 34, 30))
        return np.asarray((barrel & ~chambers) | neck | cap)

    return _fill(inside, 175, rng)


def _apoferritin(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A hollow sphere of 12 nm with a wall of 2 nm."""

    def inside(p: Floats) -> NDArray[np.bool_]:
        radius = np.linalg.norm(p, axis=-1)
        return np.asarray((radius < 62) & (radius > 38))

    return _fill(inside, 66, rng, 0.2)


def _beta_galactosidase(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Four subunits in a flat cross, 18 by 14 by 9 nm."""

    def inside(p: Floats) -> NDArray[np.bool_]:
        corners = [(sx * 35.0, sy * 23.0, sx * sy * 8.0) for sx in (-1, 1) for sy in (-1, 1)]
        return np.asarray(np.logical_or.reduce([_ellipsoid(p, corner, (50, 36, 38)) for corner in corners]))

    return _fill(inside, 95, rng)


def _thyroglobulin(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A loose dimer, 24 nm long, of elongated lobes."""

    def inside(p: Floats) -> NDArray[np.bool_]:
        lobes = [
            ((72.0, 18.0, 0.0), (52.0, 30.0, 30.0)),
            ((-72.0, -18.0, 0.0), (52.0, 30.0, 30.0)),
            ((24.0, -34.0, 18.0), (30.0, 40.0, 24.0)),
            ((-24.0, 34.0, -18.0), (30.0, 40.0, 24.0)),
            ((0.0, 0.0, 0.0), (44.0, 26.0, 26.0)),
        ]
        return np.asarray(np.logical_or.reduce([_ellipsoid(p, centre, radii) for centre, radii in lobes]))

    return _fill(inside, 130, rng)


_CATALOGUE: Final = {
    "ribosome": ("GO:0022626", "cytosolic ribosome", 140.0, _ribosome),
    "fatty_acid_synthase": ("GO:0005835", "fatty acid synthase complex", 128.0, _fatty_acid_synthase),
    "proteasome": ("GO:0000502", "proteasome complex", 148.0, _proteasome),
    "apoferritin": ("GO:0070288", "ferritin complex", 64.0, _apoferritin),
    "beta_galactosidase": ("UniProtKB:P00722", "beta-galactosidase", 90.0, _beta_galactosidase),
    "thyroglobulin": ("UniProtKB:P01267", "thyroglobulin", 115.0, _thyroglobulin),
}
