"""The demo portal's content, read from ``portal.toml``: its rows and the paths of its files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from napari_cryoet.demo.scenes import RECIPES, Vector
from napari_cryoet.files import size_on_disk
from napari_cryoet.packs.pack import PackManifest

if TYPE_CHECKING:
    from napari_cryoet.tables.database import Row

Size = Literal["full", "tiny"]

#: Voxel size relative to the full demo; the scene in ångström is the same.
COARSENING: Final[dict[Size, int]] = {"full": 1, "tiny": 4}


class DepositionPlan(msgspec.Struct, frozen=True):
    """A deposition. All three dates of the portal are ``date``."""

    id: int
    date: str
    types: tuple[str, ...]
    authors: tuple[str, ...]
    title: str
    description: str


class DatasetPlan(msgspec.Struct, frozen=True):
    """A dataset and the imaging of its runs; noise is relative to the contrast of solid protein."""

    id: int
    deposition_id: int
    spacing_angstrom: float
    defocus_angstrom: float
    noise: float
    columns: dict[str, Any]
    is_float: bool = False


class TomogramPlan(msgspec.Struct, frozen=True):
    """A tomogram: the number of its folder, and its processing."""

    number: int
    processing: Literal["raw", "denoised"]
    binning: int = 1
    alignment: int = 100
    is_default: bool = False


class AnnotationPlan(msgspec.Struct, frozen=True):
    """An annotation: the number of its folder, its subject, and the simulated method."""

    number: int
    subject: str
    shapes: tuple[str, ...]
    method: str = "planted"
    binning: int = 1
    alignment: int = 100  # 0 if unknown
    is_recommended: bool = False
    is_default: bool = False  # the first shape is displayed by default
    community: bool = False


class RunPlan(msgspec.Struct, frozen=True):
    """A run, and the name of its scene."""

    id: int
    name: str
    dataset_id: int
    scene: str
    tomograms: tuple[TomogramPlan, ...] = ()
    annotations: tuple[AnnotationPlan, ...] = ()
    identified: tuple[str, ...] = ()  # objects
    has_tilt_series: bool = False

    @property
    def dataset(self) -> DatasetPlan:
        """The run's dataset."""
        return DATASETS[self.dataset_id]

    def shape_zyx(self, size: Size, binning: int = 1) -> tuple[int, int, int]:
        """Size of the volumes in voxels: the scene plus one voxel."""
        full = (
            math.ceil(length / self.dataset.spacing_angstrom) + 1
            for length in RECIPES[self.scene].extent_xyz
        )
        x, y, z = (math.ceil(n / (COARSENING[size] * binning)) for n in full)
        return z, y, x

    def spacing_angstrom(self, size: Size, binning: int = 1) -> float:
        """Voxel size."""
        return round(self.dataset.spacing_angstrom * COARSENING[size] * binning, 3)


class Method(msgspec.Struct, frozen=True):
    """An annotation method and its errors: distances in ångström, angles in degrees, fractions 0..1."""

    words: str
    kind: str
    jitter: float = 0.0
    shift_xyz: Vector = (0.0, 0.0, 0.0)
    turn: float = 0.0
    missed: float = 0.0
    invented: float = 0.0
    is_scored: bool = False


class _Content(msgspec.Struct, frozen=True):
    manifest: PackManifest
    depositions: tuple[DepositionPlan, ...]
    datasets: tuple[DatasetPlan, ...]
    runs: tuple[RunPlan, ...]
    objects: dict[str, tuple[str, str]]
    methods: dict[str, Method]
    columns: dict[str, dict[str, Any]]


_CONTENT: Final = msgspec.toml.decode(
    Path(__file__).with_name("portal.toml").read_bytes(), type=_Content
)
MANIFEST: Final = _CONTENT.manifest
DEPOSITIONS: Final = {plan.id: plan for plan in _CONTENT.depositions}
DATASETS: Final = {plan.id: plan for plan in _CONTENT.datasets}
RUNS: Final = _CONTENT.runs
OBJECTS: Final = _CONTENT.objects
METHODS: Final = _CONTENT.methods
COLUMNS: Final = _CONTENT.columns
_COMMUNITY_DEPOSITION: Final = 90903
_FIRST_ID: Final = 9001
_PEOPLE: Final = sorted(
    {name for deposition in DEPOSITIONS.values() for name in deposition.authors}
)


class Tables(dict[str, "list[Row]"]):
    """Tables to append rows to.

    Ids start at the same number in each table, so different kinds of records share ids.
    """

    def add(self, table: str, *parts: Mapping[str, Any]) -> int:
        """Append a row with the table's constant columns and the given ones; return its id."""
        rows = self.setdefault(table, [])
        row: Row = {"id": _FIRST_ID + len(rows), **COLUMNS.get(table, {})}
        for part in parts:
            row |= part
        rows.append(row)
        return int(row["id"])

    def add_authors(self, of: str, parent_id: int, deposition_id: int) -> None:
        """Append a deposition's authors as authors of one of its records."""
        names = DEPOSITIONS[deposition_id].authors
        for order, name in enumerate(names, start=1):
            row = {
                f"{of}Id": parent_id,
                "authorListOrder": order,
                "name": name,
                "orcid": f"0000-0000-0000-{_PEOPLE.index(name) + 1:04d}",  # not a real ORCID
                "affiliationName": "Institute of Imaginary Cells",
                "primaryAuthorStatus": order == 1,
                "correspondingAuthorStatus": order == len(names),
            }
            self.add(f"{of}Authors", row)


@dataclass(frozen=True, slots=True)
class DemoPath:
    """A file or folder.

    ``key`` is its path relative to ``files`` and to the URL prefixes in rows.
    """

    files: Path
    key: str

    def __add__(self, ending: str) -> DemoPath:
        return DemoPath(self.files, self.key + ending)

    @property
    def path(self) -> Path:
        """The path on disk."""
        return self.files / self.key

    @property
    def size_bytes(self) -> float:
        """Size of the file, or of all files in the folder."""
        return float(size_on_disk(self.path))

    def addresses(self, column: str) -> Row:
        """The columns ``s3…`` and ``https…`` for a row."""
        return {
            f"s3{column}": MANIFEST.s3_prefix + self.key,
            f"https{column}": MANIFEST.https_prefix + self.key,
        }

    def photos(self, start: str = "") -> Row:
        """The columns for the two photos in a folder; empty if it doesn't exist."""
        if not self.path.exists():
            return {}
        url = f"{MANIFEST.https_prefix}{self.key}/{start}"
        return {"keyPhotoUrl": f"{url}snapshot.png", "keyPhotoThumbnailUrl": f"{url}thumbnail.png"}

    def write(self, content: bytes | Row) -> None:
        """Write bytes, or a row as JSON."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(
            content if isinstance(content, bytes) else json.dumps(content, indent=4).encode()
        )


def add_depositions(tables: Tables, files: Path) -> None:
    """Add the depositions with types and authors. Write photos first."""
    for plan in DEPOSITIONS.values():
        row = {
            "id": plan.id,
            "title": plan.title,
            "description": plan.description,
            "tag": "demo",
            **dates(plan.id),
        }
        tables.add("depositions", row, deposition_images(files, plan.id).photos())
        for kind in plan.types:
            tables.add("depositionTypes", {"depositionId": plan.id, "type": kind})
        tables.add_authors("deposition", plan.id, plan.id)


def add_dataset(tables: Tables, plan: DatasetPlan, files: Path) -> None:
    """Add a dataset with authors and funding. Write all its files first."""
    folder = DemoPath(files, str(plan.id))
    row = {
        "id": plan.id,
        "depositionId": plan.deposition_id,
        **plan.columns,
        **dates(plan.deposition_id),
    }
    row["fileSize"] = folder.size_bytes
    tables.add("datasets", row, (folder + "/").addresses("Prefix"), (folder + "/Images").photos())
    tables.add_authors("dataset", plan.id, plan.deposition_id)
    tables.add("datasetFunding", {"datasetId": plan.id})


def annotation_row(run: RunPlan, plan: AnnotationPlan) -> Row:
    """Columns of an annotation that follow from its plan."""
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


def deposition_images(files: Path, deposition_id: int) -> DemoPath:
    """The folder of a deposition's photos."""
    return DemoPath(files, f"depositions_metadata/{deposition_id}/Images")


def dates(deposition_id: int) -> Row:
    """The three dates of most records; in the demo, all are the date of the deposition."""
    moment = f"{DEPOSITIONS[deposition_id].date}T00:00:00+00:00"
    return dict.fromkeys(("depositionDate", "releaseDate", "lastModifiedDate"), moment)
