"""What is planted in each run, and where: computed from ``scenes.toml`` and a seed, without rendering a volume.

Positions are in ångström, x, y, z, from the centre of voxel (0, 0, 0), whatever the size in which the demo is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.demo.shapes import (
    MICROTUBULE_RADIUS_ANGSTROM,
    Floats,
    Membrane,
    Microtubule,
    Molecule,
    Vector,
    random_rotations,
    rotations_to,
    sphere_directions,
)

_BOUND_RIBOSOME_ANGSTROM: Final = 138.0  # from the middle of a membrane to the centre of a ribosome on it
_SEED: Final = 20261124
_TRIES_PER_PARTICLE: Final = 400
_CLEARANCE_ANGSTROM: Final = 45.0  # between a particle and the middle of a membrane


class Recipe(msgspec.Struct, frozen=True):
    """What to plant."""

    extent_xyz: Vector
    particles: dict[str, int]  # how many of each molecule
    membranes: tuple[Membrane, ...] = ()
    microtubules: tuple[Microtubule, ...] = ()
    gold_beads: tuple[Vector, ...] = ()
    bound_ribosomes: int = 0  # how many more are on the first membrane
    crowding: float = 0.02  # density of the small proteins in the background; 1 is a cell's


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A recipe with every particle in its place, by molecule: centres (n, 3), rotations (n, 3, 3).

    Rotations are active, particle to tomogram: their columns are the particle's axes, x, y, z.
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
    """A random generator for one purpose: the same words give the same numbers on every machine."""
    return np.random.default_rng([_SEED, *(byte for word in words for byte in str(word).encode())])


def scene_of_run(run_name: str) -> Scene:
    """What was planted in a run, e.g. ``"DEMO_001"``; raises KeyError if the demo has no such run."""
    from napari_cryoet.demo.content import RUNS

    return scene({run.name: run.scene for run in RUNS}[run_name])


@cache
def beads_of(molecule: str) -> tuple[Floats, Floats]:
    """The beads of a molecule, and their weights."""
    return MOLECULES[molecule].beads(np.random.default_rng([20260, *molecule.encode()]))


@cache
def scene(name: str) -> Scene:
    """The scene of a recipe."""
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


def _bound_ribosomes(recipe: Recipe, room: _Room, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Ribosomes on the outside of the first membrane, their tunnels (+z) toward it: positions and rotations."""
    if not recipe.bound_ribosomes:
        return np.empty((0, 3)), np.empty((0, 3, 3))
    membrane, radius = recipe.membranes[0], MOLECULES["ribosome"].radius
    on_surface = membrane.surface(sphere_directions(6000))
    outward = membrane.normals(on_surface)
    candidates = on_surface + _BOUND_RIBOSOME_ANGSTROM * outward
    kept: list[int] = []
    for k in rng.permutation(len(candidates)).tolist():
        if len(kept) < recipe.bound_ribosomes and room.is_free(candidates[k], radius, other_than=membrane):
            room.add(candidates[k], radius)
            kept.append(k)
    return candidates[kept], rotations_to(-outward[kept], rng.uniform(0, 2 * np.pi, len(kept)))


class _Room:
    """What is in the way of the next particle."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._centres = np.asarray(recipe.gold_beads, dtype=float).reshape(-1, 3)
        self._radii: NDArray[np.float64] = np.full(len(self._centres), 70.0)

    def place(self, radius: float, count: int, rng: np.random.Generator) -> Floats:
        """Up to ``count`` centres of spheres that touch nothing, by trial; fewer where there is no more room."""
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

    def is_free(self, centre: Floats, radius: float, other_than: Membrane | None = None) -> bool:
        margin = np.asarray((0.5, 0.5, 0.85)) * radius  # along x and y particles may be cut, as at a real field's edge
        if (centre < margin).any() or (centre > self._recipe.extent_xyz - margin).any():
            return False
        if (((self._centres - centre) ** 2).sum(axis=1) < (self._radii + radius) ** 2).any():
            return False
        for membrane in self._recipe.membranes:
            if membrane is not other_than and float(membrane.distance(*centre)) < radius + _CLEARANCE_ANGSTROM:
                return False  # too close, or inside
        reach = radius + MICROTUBULE_RADIUS_ANGSTROM + 30
        return all(float(tube.distance(centre[None])[0]) > reach for tube in self._recipe.microtubules)
