"""Annotated positions: the planted ones, and what an imitated person or program would have found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo.content import AnnotationPlan, RunPlan, Size
from napari_cryoet.packs.demo.geometry import Floats, Vector, random_rotations
from napari_cryoet.packs.demo.truth import Particles, membrane_points, microtubule_points, rng_for, scene

MEMBRANE_STEP_ANGSTROM: Final = 90.0
MICROTUBULE_STEP_ANGSTROM: Final = 41.0
_OTHER_TURN_DEGREE: Final = 5.0
_OTHER_SHIFT_XYZ: Final = (60.0, -45.0, 25.0)


@dataclass(frozen=True, slots=True)
class _Habits:
    """How an annotator errs: distances in ångström, angles in degrees, shares 0..1."""

    jitter: float = 0.0
    shift_xyz: Vector = (0.0, 0.0, 0.0)
    turn: float = 0.0
    missed: float = 0.0
    invented: float = 0.0


_HABITS: Final = {
    "planted": _Habits(),
    "manual": _Habits(jitter=8, missed=0.08),
    "template_matching": _Habits(jitter=4, turn=4, missed=0.14, invented=0.1),
    "sloppy": _Habits(jitter=25, shift_xyz=(38, -26, 22), missed=0.35, invented=0.3),
}


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Points of one annotation, and what they are worth.

    Parameters
    ----------
    positions_xyz
        Shape (n, 3), ångström.
    rotations
        Shape (n, 3, 3), or None.
    instance_ids
        Shape (n,), or None.
    precision, recall
        Percent of picks that are planted particles, and of planted particles that were picked.
    """

    positions_xyz: Floats
    rotations: Floats | None = None
    instance_ids: NDArray[np.int64] | None = None
    precision: float = 100.0
    recall: float = 100.0

    @property
    def object_count(self) -> int:
        """Points, or instances where points are parts of one."""
        return len(self.positions_xyz) if self.instance_ids is None else len(np.unique(self.instance_ids))


def picks_of(run: RunPlan, plan: AnnotationPlan, size: Size) -> Picks:
    """The points of an annotation, in ångström, without those that an error or an alignment put outside the volume."""
    found = _points(run, plan)
    z, y, x = run.shape_zyx(size, plan.binning)
    limit = (np.asarray((x, y, z)) - 1) * run.spacing_angstrom(size, plan.binning)
    positions = to_other_alignment(found.positions_xyz, run) if plan.alignment == 101 else found.positions_xyz
    inside = ((positions >= 0) & (positions <= limit)).all(axis=1)
    return replace(
        found,
        positions_xyz=positions[inside],
        rotations=None if found.rotations is None else found.rotations[inside],
        instance_ids=None if found.instance_ids is None else found.instance_ids[inside],
    )


def to_other_alignment(points_xyz: Floats, run: RunPlan) -> Floats:
    """Where points lie in the run's second alignment: turned about z through the middle, then shifted."""
    matrix, offset = other_alignment(run)
    return points_xyz @ matrix.T + offset


def other_alignment(run: RunPlan) -> tuple[Floats, Floats]:
    """Rotation and offset (ångström, x, y, z) that lead from the first alignment of a run to its second."""
    angle = np.deg2rad(_OTHER_TURN_DEGREE)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    middle = np.asarray(scene(run.recipe).recipe.extent_xyz) / 2
    return matrix, middle - matrix @ middle + np.asarray(_OTHER_SHIFT_XYZ)


def ndjson(picks: Picks, shape_type: str, spacing_angstrom: float) -> str:
    """The picks as the portal's annotation file: voxel coordinates x, y, z, one JSON object a line."""
    return "".join(json.dumps(line) + "\n" for line in _lines(picks, shape_type, spacing_angstrom))


def _lines(picks: Picks, shape_type: str, spacing_angstrom: float) -> Iterable[dict[str, Any]]:
    for number, (x, y, z) in enumerate((picks.positions_xyz / spacing_angstrom).tolist()):
        location = {"x": x, "y": y, "z": z}
        match shape_type:
            case "Point":
                yield {"type": "point", "location": location}
            case "OrientedPoint" if picks.rotations is not None:
                matrix = picks.rotations[number].tolist()
                yield {"type": "orientedPoint", "location": location, "xyz_rotation_matrix": matrix}
            case "InstanceSegmentation" if picks.instance_ids is not None:
                yield {"type": "instancePoint", "location": location, "instance_id": int(picks.instance_ids[number])}
            case _:
                raise ValueError(f"these picks can't be written as {shape_type}")


def _points(run: RunPlan, plan: AnnotationPlan) -> Picks:
    truth = scene(run.recipe)
    extent = truth.recipe.extent_xyz
    match plan.subject:
        case "particles":
            rng = rng_for(run.name, plan.species, plan.method, plan.number, plan.binning)
            return _found_by(_HABITS[plan.method], truth.particles[plan.species], extent, rng)
        case "membranes":
            points, ids = membrane_points(truth.recipe.membranes, extent, MEMBRANE_STEP_ANGSTROM)
            return Picks(points, instance_ids=ids)
        case "microtubules":
            points, ids = microtubule_points(truth.recipe.microtubules, extent, MICROTUBULE_STEP_ANGSTROM)
            return Picks(points, instance_ids=ids)
        case _:
            raise ValueError(f"{plan.subject} has no points")


def _found_by(habits: _Habits, planted: Particles, extent_xyz: Vector, rng: np.random.Generator) -> Picks:
    count = len(planted)
    kept = np.sort(rng.permutation(count)[round(habits.missed * count) :])
    invented = round(habits.invented * count)
    positions = planted.positions_xyz[kept] + habits.jitter * rng.normal(size=(len(kept), 3)) + habits.shift_xyz
    rotations = planted.rotations[kept]
    if habits.turn:
        rotations = _slight_turns(len(kept), habits.turn, rng) @ rotations
    if invented:
        positions = np.concatenate([positions, rng.uniform(0, 1, (invented, 3)) * np.asarray(extent_xyz)])
        rotations = np.concatenate([rotations, random_rotations(invented, rng)])
    precision = round(100 * len(kept) / (len(kept) + invented), 1)
    return Picks(positions, rotations, None, precision, round(100 * len(kept) / count, 1))


def _slight_turns(count: int, degree: float, rng: np.random.Generator) -> Floats:
    """Rotations about random axes by normally distributed small angles (Rodrigues' formula); shape (count, 3, 3)."""
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.deg2rad(degree) * rng.normal(size=count)
    cross = np.cross(axes[:, None, :], np.eye(3)[None]).transpose(0, 2, 1)
    sin, cos = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.asarray(np.eye(3) + sin * cross + (1 - cos) * (cross @ cross))
