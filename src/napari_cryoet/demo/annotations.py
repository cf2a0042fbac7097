"""Annotations of a run and their files: ground truth, and simulated results of people or programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.demo.rows import METHODS, AnnotationPlan, DemoPath, Method, RunPlan, Size
from napari_cryoet.demo.scenes import (
    Floats,
    Membrane,
    Microtubule,
    Scene,
    random_rotations,
    rng_for,
    scene,
)
from napari_cryoet.demo.simulate import VoxelGrid, labels, other_alignment
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.picks import Picks
from napari_cryoet.task import Task

_MEMBRANE_STEP_ANGSTROM: Final = 90.0
_MICROTUBULE_STEP_ANGSTROM: Final = 41.0
_CAPTIONS: Final = {
    "GlobalCaption": "Simulated, crowded cytoplasm: a cisterna with ribosomes on the left, vesicles, two microtubules.",
    "AnnotationCaption": "Ribosomes at random orientations; the small subunit points to the particle's -z.",
}


@dataclass(frozen=True, slots=True, eq=False)
class DemoPoints:
    """The points of an annotation, in ångström; ``marks`` are rotations of particles, else numbers of objects.

    ``precision`` and ``recall`` are relative to the ground truth, in percent.
    """

    positions_xyz: Floats
    marks: NDArray[Any]
    precision: float = 100.0
    recall: float = 100.0

    @property
    def are_particles(self) -> bool:
        """Whether each point is a particle."""
        return self.marks.ndim == 3


def points_of(run: RunPlan, plan: AnnotationPlan, size: Size) -> DemoPoints | None:
    """The points of an annotation inside the volume; None if it has no points."""
    truth = scene(run.scene)
    match plan.subject:
        case "membranes":
            points = _spread(truth.recipe.membranes, _MEMBRANE_STEP_ANGSTROM)
        case "microtubules":
            points = _spread(truth.recipe.microtubules, _MICROTUBULE_STEP_ANGSTROM)
        case kind if kind in truth.recipe.particles:
            rng = rng_for(run.name, kind, plan.method, plan.number, plan.binning)
            points = pick_particles(METHODS[plan.method], truth, kind, rng)
        case _:
            return None
    positions = points.positions_xyz
    if plan.alignment == 101:
        matrix, offset_xyz = other_alignment(run)
        positions = positions @ matrix.T + offset_xyz
    z, y, x = run.shape_zyx(size, plan.binning)
    last = (np.array([x, y, z]) - 1) * run.spacing_angstrom(size, plan.binning)
    inside = ((positions >= 0) & (positions <= last)).all(axis=1)
    return replace(points, positions_xyz=positions[inside], marks=points.marks[inside])


def object_count(run: RunPlan, plan: AnnotationPlan, points: DemoPoints | None) -> int:
    """The number of objects in an annotation."""
    if points is not None and points.are_particles:
        return len(points.positions_xyz)
    recipe = scene(run.scene).recipe
    counts = {
        "membranes": recipe.membranes,
        "microtubules": recipe.microtubules,
        "vesicles": _vesicles(run),
    }
    return len(counts.get(plan.subject, ()))


def write_shape(
    stem: DemoPath,
    run: RunPlan,
    plan: AnnotationPlan,
    shape: str,
    points: DemoPoints | None,
    *,
    size: Size,
    task: Task,
) -> list[DemoPath]:
    """Write the files for one shape of an annotation; their names start with ``stem``."""
    spacing = run.spacing_angstrom(size, plan.binning)
    match shape:
        case "SegmentationMask" | "InstanceSegmentationMask":
            grid = VoxelGrid(run.shape_zyx(size, plan.binning), spacing)
            voxels: NDArray[Any] = labels(scene(run.scene), plan.subject, grid, task)
            is_mask = shape == "SegmentationMask"
            if is_mask:
                voxels = (voxels > 0).astype(np.int8)
            zarr, mrc = (stem + f"_{shape.lower()}.{suffix}" for suffix in ("zarr", "mrc"))
            write_pyramid(zarr.path, voxels, spacing, "mask" if is_mask else "instances", task=task)
            write_mrc(mrc.path, voxels, spacing, task=task)
            return [zarr, mrc]
        case "GlobalCaption":
            file, content = stem + "_globalcaption.json", _caption(shape)
        case "AnnotationCaption":
            file, content = stem + f"_{plan.shapes[0].lower()}_caption.json", _caption(shape)
        case "Mesh":
            file, content = stem + "_triangularmesh.glb", _mesh(_vesicles(run))
        case _ if points is not None:
            lines = ndjson.lines_of(_picks(points, shape, spacing))
            file, content = stem + f"_{shape.lower()}.ndjson", b"".join(lines)
    file.write(content)
    return [file]


def _picks(points: DemoPoints, shape: str, spacing_angstrom: float) -> Picks:
    """The points in voxels, with what annotation files of a shape hold of them."""
    return Picks(
        points.positions_xyz[:, ::-1] / spacing_angstrom,
        rotations_zyx=points.marks[:, ::-1, ::-1] if shape == "OrientedPoint" else None,
        instance_ids=points.marks if shape == "InstanceSegmentation" else None,
    )


def _spread(objects: tuple[Membrane, ...] | tuple[Microtubule, ...], step: float) -> DemoPoints:
    """Points on membranes or along microtubules; objects are numbered from 1."""
    parts = [item.points(step) for item in objects]
    return DemoPoints(
        np.concatenate(parts),
        np.repeat(np.arange(1, len(parts) + 1), [len(points) for points in parts]),
    )


def pick_particles(method: Method, truth: Scene, kind: str, rng: np.random.Generator) -> DemoPoints:
    """Simulate a method of picking: missed, displaced and false picks."""
    from scipy.spatial.transform import Rotation

    planted, rotations = truth.positions_angstrom_xyz[kind], truth.rotations[kind]
    count = len(planted)
    kept = np.sort(rng.permutation(count)[round(method.missed * count) :])
    invented = round(method.invented * count)
    positions = planted[kept] + method.jitter * rng.normal(size=(len(kept), 3)) + method.shift_xyz
    rotations = rotations[kept]
    if method.turn:
        axes = rng.normal(size=(len(kept), 3))
        angles = np.deg2rad(method.turn) * rng.normal(size=len(kept)) / np.linalg.norm(axes, axis=1)
        rotations = Rotation.from_rotvec(axes * angles[:, None]).as_matrix() @ rotations
    if invented:
        positions = np.concatenate(
            [positions, rng.uniform(0, 1, (invented, 3)) * truth.recipe.extent_xyz]
        )
        rotations = np.concatenate([rotations, random_rotations(invented, rng)])
    precision = round(100 * len(kept) / (len(kept) + invented), 1)
    return DemoPoints(positions, rotations, precision, round(100 * len(kept) / count, 1))


def _vesicles(run: RunPlan) -> list[Membrane]:
    return [
        membrane for membrane in scene(run.scene).recipe.membranes if membrane.name == "vesicle"
    ]


def _mesh(membranes: list[Membrane]) -> bytes:
    """The mid-surfaces of closed bilayers as binary glTF, in ångström, x, y, z.

    Triangles face outwards.
    """
    import trimesh
    from trimesh.exchange.gltf import export_glb

    ball = trimesh.creation.icosphere(subdivisions=3)
    parts = [
        trimesh.Trimesh(membrane.surface(ball.vertices), ball.faces, process=False)
        for membrane in membranes
    ]
    return bytes(export_glb(trimesh.Scene(trimesh.util.concatenate(parts))))  # type: ignore[no-untyped-call] # in parts


def _caption(shape: str) -> bytes:
    return json.dumps({"captions": [{"id": 0, "text": _CAPTIONS[shape]}]}, indent=4).encode()
