"""What the demo's portal holds, read from ``portal.toml``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from napari_cryoet.demo.scenes import RECIPES
from napari_cryoet.demo.shapes import Vector
from napari_cryoet.packs.pack import Manifest

Size = Literal["full", "tiny"]

#: How much larger a voxel is than in the full demo; the scene in ångström is the same.
COARSENING: Final[dict[Size, int]] = {"full": 1, "tiny": 4}


class DepositionPlan(msgspec.Struct, frozen=True):
    """A deposition; the portal's three dates are all the same."""

    id: int
    date: str
    types: tuple[str, ...]
    authors: tuple[str, ...]
    title: str
    description: str


class DatasetPlan(msgspec.Struct, frozen=True):
    """A dataset, and how its runs are imaged; noise is relative to the contrast of solid protein."""

    id: int
    deposition_id: int
    spacing_angstrom: float
    defocus_angstrom: float
    noise: float
    columns: dict[str, Any]
    is_float: bool = False


class TomogramPlan(msgspec.Struct, frozen=True):
    """A tomogram: the number of its folder, and how it is made."""

    number: int
    processing: Literal["raw", "denoised"]
    binning: int = 1
    alignment: int = 100
    is_default: bool = False


class AnnotationPlan(msgspec.Struct, frozen=True):
    """An annotation: the number of its folder, what it is about, and how it was (or pretends to have been) made."""

    number: int
    subject: str
    shapes: tuple[str, ...]
    method: str = "planted"
    binning: int = 1
    alignment: int = 100  # 0 where it is unknown
    is_recommended: bool = False
    is_default: bool = False  # its first shape is shown by default
    community: bool = False


class RunPlan(msgspec.Struct, frozen=True):
    """A run, and the name of its scene."""

    id: int
    name: str
    dataset_id: int
    scene: str
    tomograms: tuple[TomogramPlan, ...] = ()
    annotations: tuple[AnnotationPlan, ...] = ()
    has_tilt_series: bool = False

    @property
    def dataset(self) -> DatasetPlan:
        """The dataset that it belongs to."""
        return DATASETS[self.dataset_id]

    def shape_zyx(self, size: Size, binning: int = 1) -> tuple[int, int, int]:
        """Size of its volumes in voxels: the scene, and a voxel more."""
        full = (math.ceil(length / self.dataset.spacing_angstrom) + 1 for length in RECIPES[self.scene].extent_xyz)
        x, y, z = (math.ceil(n / (COARSENING[size] * binning)) for n in full)
        return z, y, x

    def spacing_angstrom(self, size: Size, binning: int = 1) -> float:
        """Edge of a voxel."""
        return round(self.dataset.spacing_angstrom * COARSENING[size] * binning, 3)


class Method(msgspec.Struct, frozen=True):
    """A way to annotate, and how it errs: distances in ångström, angles in degrees, shares 0..1."""

    words: str
    kind: str
    jitter: float = 0.0
    shift_xyz: Vector = (0.0, 0.0, 0.0)
    turn: float = 0.0
    missed: float = 0.0
    invented: float = 0.0
    is_scored: bool = False


class _Content(msgspec.Struct, frozen=True):
    manifest: Manifest
    depositions: tuple[DepositionPlan, ...]
    datasets: tuple[DatasetPlan, ...]
    runs: tuple[RunPlan, ...]
    objects: dict[str, tuple[str, str]]
    methods: dict[str, Method]
    columns: dict[str, dict[str, Any]]


_CONTENT: Final = msgspec.toml.decode(Path(__file__).with_name("portal.toml").read_bytes(), type=_Content)
MANIFEST: Final = _CONTENT.manifest
DEPOSITIONS: Final = {plan.id: plan for plan in _CONTENT.depositions}
DATASETS: Final = {plan.id: plan for plan in _CONTENT.datasets}
RUNS: Final = _CONTENT.runs
OBJECTS: Final = _CONTENT.objects
METHODS: Final = _CONTENT.methods
COLUMNS: Final = _CONTENT.columns
