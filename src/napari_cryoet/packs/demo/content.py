"""What the demo's portal holds: depositions, datasets, runs, and in each run its tomograms and annotations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Size = Literal["full", "tiny"]
Method = Literal["planted", "manual", "template_matching", "sloppy"]
Subject = Literal["particles", "membranes", "microtubules", "organelle", "vesicles", "scene"]

HTTPS_PREFIX: Final = "https://files.napari-cryoet-demo.invalid/"
S3_PREFIX: Final = "s3://napari-cryoet-demo/"
COARSENING: Final[dict[str, int]] = {"full": 1, "tiny": 4}
"""How much larger a voxel is than in the full demo; the scene in ångström is the same."""

CELL_DEPOSITION: Final = 90901
MIXTURE_DEPOSITION: Final = 90902
COMMUNITY_DEPOSITION: Final = 90903
CELL_DATASET: Final = 90001
MIXTURE_DATASET: Final = 90002


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What the portal calls an object."""

    id: str
    name: str


MEMBRANE: Final = ObjectName("GO:0016020", "membrane")
MICROTUBULE: Final = ObjectName("GO:0005874", "microtubule")
MITOCHONDRION: Final = ObjectName("GO:0005739", "mitochondrion")
CYTOPLASM: Final = ObjectName("GO:0005737", "cytoplasm")


@dataclass(frozen=True, slots=True, kw_only=True)
class TomogramPlan:
    """One tomogram: its folder's number, and how it is made from the run's simulated tilt series."""

    number: int
    processing: Literal["raw", "denoised"]
    binning: int = 1
    alignment: int = 100
    is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationPlan:
    """One annotation: its folder's number, what it is about, and how it was (or pretends to have been) made.

    Parameters
    ----------
    number
        Of its folder; counts per run and voxel spacing.
    subject, species
        What is annotated; the species for particles.
    method
        Which positions it has: the planted ones, or what an imitated person or program would find.
    shapes
        The portal's words.
    default_shapes
        Those whose files the curator shows by default.
    alignment
        The folder's number of the alignment its files belong to; None where it is unknown.
    is_later_addition
        Whether its rows take ids from a range of their own, so that those of older rows stayed as they were.
    """

    number: int
    subject: Subject
    shapes: tuple[str, ...]
    species: str = ""
    method: Method = "planted"
    binning: int = 1
    alignment: int | None = 100
    deposition: int = 0
    is_recommended: bool = False
    default_shapes: tuple[str, ...] = ()
    is_later_addition: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One run; the shape is that of the full demo."""

    id: int
    dataset_id: int
    name: str
    recipe: str
    full_shape_zyx: tuple[int, int, int]
    full_spacing_angstrom: float
    noise: float
    tomograms: tuple[TomogramPlan, ...] = ()
    annotations: tuple[AnnotationPlan, ...] = ()
    has_tilt_series: bool = False
    defocus_angstrom: float = 46_000.0

    def shape_zyx(self, size: Size, binning: int = 1) -> tuple[int, int, int]:
        """Size of its volumes in voxels."""
        factor = COARSENING[size] * binning
        z, y, x = (math.ceil(n / factor) for n in self.full_shape_zyx)
        return z, y, x

    def spacing_angstrom(self, size: Size, binning: int = 1) -> float:
        """Edge of a voxel."""
        return round(self.full_spacing_angstrom * COARSENING[size] * binning, 3)

    @property
    def binnings(self) -> tuple[int, ...]:
        """All binnings at which it has a tomogram or annotation."""
        return tuple(sorted({t.binning for t in self.tomograms} | {a.binning for a in self.annotations}))

    @property
    def alignments(self) -> tuple[int, ...]:
        """The folders' numbers of its alignments; a run with a tilt series has one at least."""
        used = {100} | {t.alignment for t in self.tomograms} | {a.alignment for a in self.annotations if a.alignment}
        return tuple(sorted(used))


def _particles(
    number: int,
    species: str,
    *shapes: str,
    method: Method = "planted",
    binning: int = 1,
    alignment: int | None = 100,
    deposition: int = 0,
    is_recommended: bool = False,
    default_shapes: tuple[str, ...] = (),
) -> AnnotationPlan:
    return AnnotationPlan(
        number=number,
        subject="particles",
        species=species,
        method=method,
        shapes=shapes,
        binning=binning,
        alignment=alignment,
        deposition=deposition,
        is_recommended=is_recommended,
        default_shapes=default_shapes,
    )


RUNS: Final = (
    RunPlan(
        id=9001,
        dataset_id=CELL_DATASET,
        name="DEMO_001",
        recipe="cytoplasm",
        full_shape_zyx=(89, 305, 281),
        full_spacing_angstrom=10.012,
        noise=0.45,
        tomograms=(
            TomogramPlan(number=100, processing="raw"),
            TomogramPlan(number=101, processing="denoised", is_default=True),
            TomogramPlan(number=102, processing="denoised", binning=2),
            TomogramPlan(number=103, processing="raw", binning=2, alignment=101),
        ),
        annotations=(
            _particles(
                100, "ribosome", "OrientedPoint", "Point", is_recommended=True, default_shapes=("OrientedPoint",)
            ),
            _particles(101, "ribosome", "Point", method="manual"),
            _particles(102, "ribosome", "OrientedPoint", method="template_matching", deposition=COMMUNITY_DEPOSITION),
            _particles(103, "ribosome", "Point", method="sloppy", deposition=COMMUNITY_DEPOSITION),
            _particles(104, "fatty_acid_synthase", "OrientedPoint", is_recommended=True),
            _particles(105, "proteasome", "OrientedPoint", is_recommended=True),
            AnnotationPlan(number=106, subject="microtubules", shapes=("InstanceSegmentation",), is_recommended=True),
            AnnotationPlan(
                number=107,
                subject="membranes",
                shapes=("SegmentationMask", "InstanceSegmentation"),
                is_recommended=True,
                default_shapes=("SegmentationMask",),
            ),
            AnnotationPlan(number=108, subject="scene", shapes=("GlobalCaption",)),
            AnnotationPlan(number=109, subject="vesicles", shapes=("Mesh",), is_later_addition=True),
            AnnotationPlan(
                number=100,
                subject="membranes",
                shapes=("InstanceSegmentationMask",),
                binning=2,
                deposition=COMMUNITY_DEPOSITION,
            ),
            _particles(
                101, "ribosome", "Point", method="manual", binning=2, alignment=101, deposition=COMMUNITY_DEPOSITION
            ),
        ),
        has_tilt_series=True,
    ),
    RunPlan(
        id=9002,
        dataset_id=CELL_DATASET,
        name="DEMO_002",
        recipe="mitochondrion",
        full_shape_zyx=(81, 189, 213),
        full_spacing_angstrom=10.012,
        noise=0.45,
        tomograms=(TomogramPlan(number=100, processing="raw", is_default=True),),
        annotations=(
            _particles(100, "ribosome", "OrientedPoint", is_recommended=True),
            AnnotationPlan(
                number=101,
                subject="membranes",
                shapes=("SegmentationMask",),
                is_recommended=True,
                default_shapes=("SegmentationMask",),
            ),
            AnnotationPlan(number=102, subject="organelle", shapes=("SegmentationMask",)),
            _particles(103, "fatty_acid_synthase", "Point", method="manual"),
        ),
    ),
    RunPlan(
        id=9003,
        dataset_id=CELL_DATASET,
        name="DEMO_003",
        recipe="cytosol",
        full_shape_zyx=(76, 172, 151),
        full_spacing_angstrom=10.012,
        noise=0.45,
        tomograms=(TomogramPlan(number=100, processing="raw", is_default=True),),
    ),
    RunPlan(
        id=9004,
        dataset_id=CELL_DATASET,
        name="DEMO_004",
        recipe="tilt_only",
        full_shape_zyx=(69, 161, 149),
        full_spacing_angstrom=10.012,
        noise=0.45,
        has_tilt_series=True,
    ),
    RunPlan(
        id=9005,
        dataset_id=MIXTURE_DATASET,
        name="MIX_001",
        recipe="mixture",
        full_shape_zyx=(69, 157, 149),
        full_spacing_angstrom=7.84,
        noise=0.3,
        defocus_angstrom=28_000.0,
        tomograms=(
            TomogramPlan(number=100, processing="raw"),
            TomogramPlan(number=101, processing="denoised", is_default=True),
        ),
        annotations=(
            _particles(
                100, "apoferritin", "Point", "InstanceSegmentationMask", is_recommended=True, default_shapes=("Point",)
            ),
            _particles(101, "beta_galactosidase", "OrientedPoint", is_recommended=True),
            _particles(102, "thyroglobulin", "OrientedPoint", is_recommended=True),
            _particles(103, "ribosome", "OrientedPoint", is_recommended=True),
            _particles(104, "apoferritin", "Point", method="template_matching", deposition=COMMUNITY_DEPOSITION),
        ),
    ),
    RunPlan(
        id=9006,
        dataset_id=MIXTURE_DATASET,
        name="MIX_002",
        recipe="microtubules",
        full_shape_zyx=(65, 149, 137),
        full_spacing_angstrom=7.84,
        noise=0.3,
        defocus_angstrom=28_000.0,
        tomograms=(TomogramPlan(number=100, processing="raw", is_default=True),),
        annotations=(
            AnnotationPlan(
                number=100,
                subject="microtubules",
                shapes=("InstanceSegmentationMask", "InstanceSegmentation"),
                is_recommended=True,
                default_shapes=("InstanceSegmentationMask",),
            ),
            _particles(101, "beta_galactosidase", "Point"),
        ),
    ),
    RunPlan(
        id=9007,
        dataset_id=MIXTURE_DATASET,
        name="MIX_003",
        recipe="ribosomes",
        full_shape_zyx=(64, 120, 132),
        full_spacing_angstrom=7.84,
        noise=0.3,
        defocus_angstrom=28_000.0,
        tomograms=(TomogramPlan(number=100, processing="raw", is_default=True),),
        annotations=(
            _particles(100, "ribosome", "OrientedPoint", "AnnotationCaption", is_recommended=True),
            _particles(101, "ribosome", "Point", method="manual", alignment=None, deposition=COMMUNITY_DEPOSITION),
        ),
    ),
)


def run_plan(name: str) -> RunPlan:
    """The run of that name.

    Raises
    ------
    KeyError
        The demo has no such run.
    """
    for plan in RUNS:
        if plan.name == name:
            return plan
    raise KeyError(name)
