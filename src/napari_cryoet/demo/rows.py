"""What the demo's portal holds, read from ``portal.toml``; its rows, and where its files are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from napari_cryoet.demo.scenes import RECIPES, Vector
from napari_cryoet.formats.ome_zarr import folder_bytes
from napari_cryoet.packs.pack import Manifest

Row = dict[str, Any]
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
_COMMUNITY_DEPOSITION: Final = 90903
_FIRST_ID: Final = 9001
_PEOPLE: Final = sorted({name for deposition in DEPOSITIONS.values() for name in deposition.authors})


class Tables(dict[str, list[Row]]):
    """Tables that grow row by row; ids count up in each table from the same start, so kinds of records share ids."""

    def add(self, table: str, *parts: Mapping[str, Any]) -> int:
        """Append a row of the columns that are the same in all rows, and of some more; gives its id."""
        rows = self.setdefault(table, [])
        row: Row = {"id": _FIRST_ID + len(rows), **COLUMNS.get(table, {})}
        for part in parts:
            row |= part
        rows.append(row)
        return int(row["id"])

    def add_authors(self, of: str, parent_id: int, deposition_id: int) -> None:
        """Append the people of a deposition as authors of a record of it."""
        names = DEPOSITIONS[deposition_id].authors
        for order, name in enumerate(names, start=1):
            row = {
                f"{of}Id": parent_id,
                "authorListOrder": order,
                "name": name,
                "orcid": f"0000-0000-0000-{_PEOPLE.index(name) + 1:04d}",  # nobody's
                "affiliationName": "Institute of Imaginary Cells",
                "primaryAuthorStatus": order == 1,
                "correspondingAuthorStatus": order == len(names),
            }
            self.add(f"{of}Authors", row)


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder: ``key`` is its path below ``files``, and below the prefixes of the rows' URLs."""

    files: Path
    key: str

    def __add__(self, ending: str) -> Place:
        return Place(self.files, self.key + ending)

    @property
    def path(self) -> Path:
        """On disk."""
        return self.files / self.key

    @property
    def size_bytes(self) -> float:
        """Size of the file, or of all files in the folder."""
        return float(folder_bytes(self.path) if self.path.is_dir() else self.path.stat().st_size)

    def addresses(self, column: str) -> Row:
        """Its columns ``s3…`` and ``https…`` in a row."""
        return {f"s3{column}": MANIFEST.s3_prefix + self.key, f"https{column}": MANIFEST.https_prefix + self.key}

    def photos(self, start: str = "") -> Row:
        """The columns for the two photos in a folder; none if it isn't there."""
        if not self.path.exists():
            return {}
        url = f"{MANIFEST.https_prefix}{self.key}/{start}"
        return {"keyPhotoUrl": f"{url}snapshot.png", "keyPhotoThumbnailUrl": f"{url}thumbnail.png"}

    def write(self, content: bytes | Row) -> None:
        """Write a file, or a row as a metadata file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=4).encode())


def add_depositions(tables: Tables, files: Path) -> None:
    """Add the depositions with their types and authors, once photos are written."""
    for plan in DEPOSITIONS.values():
        row = {"id": plan.id, "title": plan.title, "description": plan.description, "tag": "demo", **dates(plan.id)}
        tables.add("depositions", row, deposition_images(files, plan.id).photos())
        for kind in plan.types:
            tables.add("depositionTypes", {"depositionId": plan.id, "type": kind})
        tables.add_authors("deposition", plan.id, plan.id)


def add_dataset(tables: Tables, plan: DatasetPlan, files: Path) -> None:
    """Add a dataset with its authors and funding, once all its files are written."""
    place = Place(files, str(plan.id))
    row = {"id": plan.id, "depositionId": plan.deposition_id, **plan.columns, **dates(plan.deposition_id)}
    row["fileSize"] = place.size_bytes
    tables.add("datasets", row, (place + "/").addresses("Prefix"), (place + "/Images").photos())
    tables.add_authors("dataset", plan.id, plan.deposition_id)
    tables.add("datasetFunding", {"datasetId": plan.id})


def annotation_row(run: RunPlan, plan: AnnotationPlan) -> Row:
    """What follows from the plan of an annotation."""
    deposition_id = _COMMUNITY_DEPOSITION if plan.community else run.dataset.deposition_id
    object_id, object_name = OBJECTS[plan.subject]
    return {
        "runId": run.id,
        "depositionId": deposition_id,
        "objectId": object_id,
        "objectName": object_name,
        "annotationMethod": METHODS[plan.method].words,
        "methodType": METHODS[plan.method].kind,
        "annotationIngestId": f"{plan.number}-{object_name}",
        "groundTruthStatus": plan.method == "planted" and plan.subject != "cytoplasm",
        "isCuratorRecommended": plan.is_recommended or plan.is_default,
        **dates(deposition_id),
    }


def deposition_images(files: Path, deposition_id: int) -> Place:
    """The folder of a deposition's photos."""
    return Place(files, f"depositions_metadata/{deposition_id}/Images")


def dates(deposition_id: int) -> Row:
    """The three dates that most records have; here all are the day of the deposition."""
    moment = f"{DEPOSITIONS[deposition_id].date}T00:00:00+00:00"
    return dict.fromkeys(("depositionDate", "releaseDate", "lastModifiedDate"), moment)
