"""Where everything in the demo was planted: recomputed from the seed in milliseconds, without rendering a volume.

Positions are in ångström, x, y, z, from the centre of voxel (0, 0, 0); they do not depend on the size in which the
demo is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo.content import run_plan
from napari_cryoet.packs.demo.geometry import (
    MICROTUBULE_RADIUS_ANGSTROM,
    Floats,
    Membrane,
    Microtubule,
    Vector,
    random_rotations,
    rotations_to,
    sphere_directions,
)
from napari_cryoet.packs.demo.recipes import RECIPES, SceneRecipe
from napari_cryoet.packs.demo.species import species

SEED: Final = 20261124
_TRIES_PER_PARTICLE: Final = 400
_MEMBRANE_CLEARANCE_ANGSTROM: Final = 45.0
BOUND_RIBOSOME_DISTANCE_ANGSTROM: Final = 138.0
"""From the middle of a membrane to the centre of a ribosome that sits on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Particles:
    """All particles of one kind.

    Parameters
    ----------
    positions_xyz
        Shape (n, 3), ångström.
    rotations
        Shape (n, 3, 3): active, particle to tomogram, columns are the particle's axes, in x, y, z.
    """

    positions_xyz: Floats
    rotations: Floats

    def __len__(self) -> int:
        return len(self.positions_xyz)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What lies in a run: the recipe's membranes and microtubules, and the particles with their places."""

    recipe: SceneRecipe
    particles: Mapping[str, Particles]

    def positions_angstrom_xyz(self, key: str) -> Floats:
        """Centres of the particles of a species, shape (n, 3), ångström, x, y, z."""
        return self.particles[key].positions_xyz

    def positions_voxel_xyz(self, key: str, spacing_angstrom: float) -> Floats:
        """The same in voxels of the given spacing."""
        return self.particles[key].positions_xyz / spacing_angstrom

    def rotations(self, key: str) -> Floats:
        """Their rotations, shape (n, 3, 3): active, particle to tomogram, columns are the particle's axes, x, y, z."""
        return self.particles[key].rotations

    def count(self, key: str) -> int:
        """How many there are."""
        return len(self.particles[key])


def rng_for(*words: str | int) -> np.random.Generator:
    """A random generator for one purpose: the same words give the same numbers on every machine."""
    entropy = [SEED]
    for word in words:
        entropy.extend(str(word).encode())
    return np.random.default_rng(entropy)


@cache
def scene(recipe_name: str) -> Scene:
    """The scene of that name, with every particle in its place."""
    return _plant(RECIPES[recipe_name])


def scene_of_run(run_name: str) -> Scene:
    """What was planted in a run of the demo, e.g. ``"DEMO_001"``.

    Raises
    ------
    KeyError
        The demo has no such run.
    """
    return scene(run_plan(run_name).recipe)


def _plant(recipe: SceneRecipe) -> Scene:
    rng = rng_for(recipe.name, "place")
    obstacles = _Obstacles(recipe)
    planted: dict[str, Particles] = {}
    bound = _bound_ribosomes(recipe, obstacles, rng)
    largest_first = sorted(recipe.particles, key=lambda key: -species(key).radius_angstrom)
    for key in largest_first:
        centres = obstacles.place(species(key).radius_angstrom, recipe.particles[key], rng)
        free = Particles(centres, random_rotations(len(centres), rng))
        planted[key] = _joined(bound, free) if key == "ribosome" else free
    return Scene(recipe, planted)


def _joined(first: Particles, second: Particles) -> Particles:
    return Particles(
        np.concatenate([first.positions_xyz, second.positions_xyz]),
        np.concatenate([first.rotations, second.rotations]),
    )


def _bound_ribosomes(recipe: SceneRecipe, obstacles: _Obstacles, rng: np.random.Generator) -> Particles:
    """Ribosomes on the outside of membranes, their tunnels (+z) toward it."""
    radius = species("ribosome").radius_angstrom
    centres, normals = [np.empty((0, 3))], [np.empty((0, 3))]
    for index, count in (recipe.bound_ribosomes or {}).items():
        membrane = recipe.membranes[index]
        on_surface = membrane.surface(sphere_directions(6000))
        outward = membrane.normals(on_surface)
        candidates = on_surface + BOUND_RIBOSOME_DISTANCE_ANGSTROM * outward
        order = rng.permutation(len(candidates))
        kept: list[int] = []
        for k in order:
            if len(kept) == count:
                break
            if obstacles.is_free(candidates[k], radius, other_than=membrane):
                obstacles.add(candidates[k], radius)
                kept.append(int(k))
        centres.append(candidates[kept])
        normals.append(outward[kept])
    positions, directions = np.concatenate(centres), -np.concatenate(normals)
    return Particles(positions, rotations_to(directions, rng.uniform(0, 2 * np.pi, len(positions))))


class _Obstacles:
    """What is in the way of the next particle."""

    def __init__(self, recipe: SceneRecipe) -> None:
        self._extent = np.asarray(recipe.extent_xyz)
        self._membranes = recipe.membranes
        self._microtubules = recipe.microtubules
        self._centres = np.asarray(recipe.gold_beads, dtype=float).reshape(-1, 3)
        self._radii: NDArray[np.float64] = np.full(len(self._centres), 70.0)

    def place(self, radius: float, count: int, rng: np.random.Generator) -> Floats:
        """Up to ``count`` centres of spheres that touch nothing, by trial; fewer where there is no more room."""
        start = len(self._centres)
        for _ in range(count * _TRIES_PER_PARTICLE):
            if len(self._centres) == start + count:
                break
            centre = rng.uniform(0, 1, 3) * self._extent
            if self.is_free(centre, radius):
                self.add(centre, radius)
        return self._centres[start:]

    def add(self, centre: Floats, radius: float) -> None:
        self._centres = np.vstack([self._centres, centre])
        self._radii = np.append(self._radii, radius)

    def is_free(self, centre: Floats, radius: float, other_than: Membrane | None = None) -> bool:
        margin = np.asarray((0.5, 0.5, 0.85)) * radius  # along x and y particles may be cut, as at a real field's edge
        if (centre < margin).any() or (centre > self._extent - margin).any():
            return False
        if (((self._centres - centre) ** 2).sum(axis=1) < (self._radii + radius) ** 2).any():
            return False
        clearance = radius + _MEMBRANE_CLEARANCE_ANGSTROM
        x, y, z = centre
        for membrane in self._membranes:
            if membrane is not other_than and float(membrane.distance(x, y, z)) < clearance:
                return False  # too close, or inside
        points = centre[None]
        return all(
            float(tube.distance(points)[0]) > radius + MICROTUBULE_RADIUS_ANGSTROM + 30 for tube in self._microtubules
        )


def membrane_points(
    membranes: Sequence[Membrane], extent_xyz: Vector, step_angstrom: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Points on the membranes inside the extent, about ``step_angstrom`` apart, and the number (from 1) of each's."""
    points, ids = [np.empty((0, 3))], [np.empty(0, np.int64)]
    for number, membrane in enumerate(membranes, start=1):
        a, b, c = membrane.radii_xyz
        area = 4 * np.pi * (((a * b) ** 1.6 + (a * c) ** 1.6 + (b * c) ** 1.6) / 3) ** (1 / 1.6)
        found = membrane.surface(sphere_directions(round(area / step_angstrom**2)))
        found = found[((found >= 0) & (found <= np.asarray(extent_xyz))).all(axis=1)]
        points.append(found)
        ids.append(np.full(len(found), number))
    return np.concatenate(points), np.concatenate(ids)


def microtubule_points(
    tubes: Sequence[Microtubule], extent_xyz: Vector, step_angstrom: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Points on the microtubules' axes inside the extent, and the number (from 1) of each's."""
    points, ids = [np.empty((0, 3))], [np.empty(0, np.int64)]
    for number, tube in enumerate(tubes, start=1):
        found = tube.sample_axis(step_angstrom)
        found = found[((found >= 0) & (found <= np.asarray(extent_xyz))).all(axis=1)]
        points.append(found)
        ids.append(np.full(len(found), number))
    return np.concatenate(points), np.concatenate(ids)
