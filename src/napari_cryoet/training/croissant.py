"""A Croissant description of a selection: what there is, where, and in which split, without any download.

A folder of ``metadata.json`` and small CSV files whose ``url`` columns lead to the portal. The record sets are those of
copick's own Croissant, so that mlcroissant reads them as records, and copick opens them as a project; see
https://docs.mlcommons.org/croissant.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import raise_if_stopped
from napari_cryoet.files import replace_file
from napari_cryoet.training.selection import ExportReport, Progress, Selection, folder_to_write

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
METADATA_NAME: Final = "metadata.json"
_SPLIT_URLS: Final = {
    "train": "https://mlcommons.org/definitions/training_split",
    "validation": "https://mlcommons.org/definitions/validation_split",
    "test": "https://mlcommons.org/definitions/test_split",
}
_ANNOTATION: Final = "portal_object_name portal_session_id portal_annotation_id portal_annotation_file_id"
#: copick's CSV files and their columns; it wants all files, also empty ones.
_COLUMNS: Final[dict[str, str]] = {
    "runs": "name portal_run_id split",
    "voxel_spacings": "run voxel_size",
    "tomograms": "run voxel_size tomo_type url portal_tomo_type portal_tomogram_id",
    "features": "run voxel_size tomo_type feature_type url",
    "picks": f"run user_id session_id object_name voxel_size url sha256 {_ANNOTATION}",
    "meshes": "run user_id session_id object_name url sha256",
    "segmentations": f"run voxel_size user_id session_id name is_multilabel url {_ANNOTATION}",
    "instance_segmentations": f"run voxel_size user_id session_id name url {_ANNOTATION}",
    "panoptic_segmentations": f"run voxel_size user_id session_id name url {_ANNOTATION}",
    "objects": "name url",
}
_VOLUMES: Final = ("tomograms", "segmentations", "instance_segmentations")
_TYPES: Final = {"voxel_size": "sc:Float", "is_multilabel": "sc:Boolean"}  # all others are texts
_TERMS: Final = (
    "citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate "
    "separator source subField transform"
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "copick": "https://copick.org/schema/",
    "copick:baseUrl": "copick:baseUrl",
    "copick:config": {"@id": "copick:config", "@type": "@json"},
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


def export_croissant(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write ``metadata.json`` and its CSV files into a folder; nothing is downloaded, so it takes no time.

    Parameters and errors are those of `export_copick`.
    """
    raise_if_stopped(stop)
    folder = folder_to_write(folder, METADATA_NAME, overwrite=overwrite)
    if progress is not None:
        progress(0.0, "describing")
    rows = _rows_of(selection)
    files = {name: _csv_of(name, found) for name, found in rows.items()}
    for name, content in files.items():
        replace_file(folder / f"{name}.csv", content)
    described = _description(selection, files, folder.name)
    replace_file(folder / METADATA_NAME, (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode())
    n_volumes = sum(len(rows[name]) for name in _VOLUMES)
    return ExportReport(path=folder, n_runs=len(selection.runs), n_volumes=n_volumes, left_out=selection.left_out)


def _rows_of(selection: Selection) -> dict[str, list[dict[str, Any]]]:
    """The rows of each CSV file."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}
    for run in selection.runs:
        found["runs"].append({"name": run.name, "portal_run_id": run.run.id, "split": run.split})
        found["tomograms"] += [
            {
                "run": run.name,
                "voxel_size": each.tomogram.voxel_spacing,
                "tomo_type": each.kind,
                "url": each.url,
                "portal_tomogram_id": each.tomogram.id,
            }
            for each in run.tomograms
            if each.url
        ]
    for each in selection.annotations:
        kind = "picks" if each.is_points else "instance_segmentations" if each.is_instances else "segmentations"
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
        found[kind].append(row | ({"is_multilabel": "false"} if kind == "segmentations" else {}))
    spacings = dict.fromkeys((row["run"], row["voxel_size"]) for name in _VOLUMES for row in found[name])
    found["voxel_spacings"] = [{"run": run, "voxel_size": spacing} for run, spacing in spacings]
    return found


def _csv_of(name: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS[name].split(), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _description(selection: Selection, files: Mapping[str, bytes], title: str) -> dict[str, Any]:
    """What metadata.json holds."""
    datasets = {run.run.dataset_id: run.run.dataset for run in selection.runs}
    terms = next((run.run.terms for run in selection.runs if run.run.terms), None)
    titles = [f"{dataset.title} (DS-{number})" for number, dataset in datasets.items() if dataset is not None]
    about = f"{len(selection.runs)} runs of"
    record_sets = [_record_set(name, has_splits=bool(selection.splits)) for name in _COLUMNS]
    if selection.splits:
        record_sets.append(_splits(selection))
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
        "copick:baseUrl": "",
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
        "recordSet": record_sets,
    }


def _file_id(name: str) -> str:
    return f"{name.replace('_', '-')}-csv"


def _record_set(name: str, *, has_splits: bool) -> dict[str, Any]:
    fields = [
        _field(name, column, _TYPES.get(column, "sc:Text"))
        | {"source": {"fileObject": {"@id": _file_id(name)}, "extract": {"column": column}}}
        for column in _COLUMNS[name].split()
    ]
    if name == "runs" and has_splits:
        fields[-1]["references"] = {"field": {"@id": "copick/splits/name"}}
    return {"@type": "cr:RecordSet", "@id": f"copick/{name}", "name": name, "field": fields}


def _splits(selection: Selection) -> dict[str, Any]:
    """What each name of a split means."""
    names = sorted(selection.splits)
    return {
        "@type": "cr:RecordSet",
        "@id": "copick/splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "copick/splits/name"},
        "field": [_field("splits", "name", "sc:Text"), _field("splits", "url", "sc:URL")],
        "data": [{"copick/splits/name": name, "copick/splits/url": _SPLIT_URLS.get(name, "")} for name in names],
    }


def _field(record_set: str, name: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"copick/{record_set}/{name}", "name": name, "dataType": kind}
