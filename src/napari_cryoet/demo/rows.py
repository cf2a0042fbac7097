"""The rows of the demo's tables, and where each of its files is: on disk, over HTTPS and in S3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from napari_cryoet.demo.content import (
    COLUMNS,
    DEPOSITIONS,
    MANIFEST,
    METHODS,
    OBJECTS,
    AnnotationPlan,
    DatasetPlan,
    RunPlan,
)
from napari_cryoet.formats.ome_zarr import folder_bytes

Row = dict[str, Any]

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
