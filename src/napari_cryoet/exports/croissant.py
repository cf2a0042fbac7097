"""Describe a selection in the Croissant format: files with their URLs and splits, without a download.

The folder has ``metadata.json`` and small CSV files whose ``url`` columns point to the portal. The
record sets are those of copick's Croissant export, so mlcroissant can read them and copick can open
them as a project. Empty record sets are left out. See https://docs.mlcommons.org/croissant.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exports.selection import ExportReport, Selection, folder_to_write
from napari_cryoet.files import replace_file
from napari_cryoet.task import UNWATCHED, Task

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
METADATA_NAME: Final = "metadata.json"
_SPLIT_URLS: Final = {
    "train": "https://mlcommons.org/definitions/training_split",
    "validation": "https://mlcommons.org/definitions/validation_split",
    "test": "https://mlcommons.org/definitions/test_split",
}
_VOLUMES: Final = ("tomograms", "segmentations", "instance_segmentations")
#: mlcroissant requires all terms of the standard, even unused ones.
_TERMS: Final = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "copick": "https://copick.org/schema/",
    "copick:config": {"@id": "copick:config", "@type": "@json"},
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_Rows = Mapping[str, list[dict[str, Any]]]  # by record set


def export_croissant(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write ``metadata.json`` and its CSV files into a folder, without downloading anything.

    For parameters and errors see `export_copick`.
    """
    import pandas as pd

    folder = folder_to_write(folder, METADATA_NAME, overwrite=overwrite)
    task.step(0.0, "describing")
    rows = _rows_of(selection)
    files = {name: pd.DataFrame(found).to_csv(index=False).encode() for name, found in rows.items()}
    for name, content in files.items():
        replace_file(folder / f"{name}.csv", content)
    described = _description(selection, rows, files, folder.name)
    replace_file(
        folder / METADATA_NAME,
        (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode(),
    )
    n_volumes = sum(len(rows.get(name, ())) for name in _VOLUMES)
    return ExportReport(
        path=folder,
        n_runs=len(selection.runs),
        n_volumes=n_volumes,
        left_out=selection.left_out,
        remarks=selection.remarks,
    )


def _rows_of(selection: Selection) -> _Rows:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in selection.runs:
        split = {"split": run.split} if selection.splits else {}
        found["runs"].append({"name": run.name, "portal_run_id": run.run.id, **split})
        for tomogram in run.tomograms:
            found["tomograms"].append(
                {
                    "run": run.name,
                    "voxel_size": tomogram.tomogram.voxel_spacing,
                    "tomo_type": tomogram.kind,
                    "url": tomogram.url,
                    "portal_tomogram_id": tomogram.tomogram.id,
                }
            )
    for each in selection.annotations:
        kind = (
            "picks"
            if each.is_points
            else "instance_segmentations"
            if each.is_instances
            else "segmentations"
        )
        row = {
            "run": each.run.name,
            "user_id": each.user,
            "session_id": each.session,
            "object_name" if each.is_points else "name": each.object,
            "voxel_size": each.spacing_angstrom,
            "url": each.file.https_path,
            "portal_object_name": each.annotation.object_name,
            "portal_annotation_id": each.annotation.id,
            "portal_annotation_file_id": each.file.id,
        }
        found[kind].append(row)
    spacings = dict.fromkeys(
        (row["run"], row["voxel_size"]) for name in _VOLUMES for row in found[name]
    )
    found["voxel_spacings"] = [{"run": run, "voxel_size": spacing} for run, spacing in spacings]
    return {name: rows for name, rows in found.items() if rows}


def _description(
    selection: Selection, rows: _Rows, files: Mapping[str, bytes], title: str
) -> dict[str, Any]:
    """The content of ``metadata.json``."""
    datasets = {run.run.dataset_id: run.run.dataset for run in selection.runs}
    terms = next((run.run.terms for run in selection.runs if run.run.terms), None)
    titles = [
        f"{dataset.title} (DS-{number})"
        for number, dataset in datasets.items()
        if dataset is not None
    ]
    about = f"{len(selection.runs)} runs of"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": title,
        "description": f"{about} {'; '.join(titles)}",
        "conformsTo": CONFORMS_TO,
        "version": "1.0.0",
        "license": (terms.licence_url or terms.licence if terms else "") or "unknown",
        "citeAs": "; ".join(titles),
        "datePublished": datetime.now(UTC).date().isoformat(),
        "url": terms.site if terms and terms.site else selection.source.location,
        "copick:config": {
            "name": title,
            "description": f"{about} {selection.source.label}",
            "version": "1.0.0",
            "pickable_objects": selection.objects,
        },
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": _file_id(name),
                "name": _file_id(name),
                "contentUrl": f"{name}.csv",
                "encodingFormat": "text/csv",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in files.items()
        ],
        "recordSet": [
            *(_record_set(name, found[0]) for name, found in rows.items()),
            *([_splits(selection)] if selection.splits else []),
        ],
    }


def _file_id(name: str) -> str:
    return f"{name.replace('_', '-')}-csv"


def _record_set(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The record set of a CSV file; ``row`` is one of its rows."""
    fields = []
    for column, value in row.items():
        field = _field(name, column, "sc:Float" if isinstance(value, float) else "sc:Text")
        field["source"] = {"fileObject": {"@id": _file_id(name)}, "extract": {"column": column}}
        if column == "split":
            field["references"] = {"field": {"@id": "copick/splits/name"}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": f"copick/{name}", "name": name, "field": fields}


def _splits(selection: Selection) -> dict[str, Any]:
    """The record set of splits with their definitions."""
    names = sorted(selection.splits)
    return {
        "@type": "cr:RecordSet",
        "@id": "copick/splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "copick/splits/name"},
        "field": [_field("splits", "name", "sc:Text"), _field("splits", "url", "sc:URL")],
        "data": [
            {"copick/splits/name": name, "copick/splits/url": _SPLIT_URLS.get(name, "")}
            for name in names
        ],
    }


def _field(record_set: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"copick/{record_set}/{name}",
        "name": name,
        "dataType": kind,
    }
