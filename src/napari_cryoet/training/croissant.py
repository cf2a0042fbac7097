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

from napari_cryoet.exceptions import ExistsError, raise_if_stopped
from napari_cryoet.files import path_to_write, replace_file
from napari_cryoet.training.copick import ExportReport, Progress, object_config
from napari_cryoet.training.naming import Names, name_all
from napari_cryoet.training.selection import Selection, annotation_of, spacing_of

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
_TYPES: Final = {"voxel_size": "sc:Float", "is_multilabel": "sc:Boolean"}  # all others are texts
_TERMS: Final = (
    *("citeAs", "column", "containedIn", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references"),
    *(
        "equivalentProperty",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    ),
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
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
    folder = path_to_write(folder).expanduser().absolute()
    if (folder / METADATA_NAME).exists() and not overwrite:
        raise ExistsError(f"There is a {METADATA_NAME} in {folder} already.", hint="Choose another folder.")
    if progress is not None:
        progress(0.0, "describing")
    names = name_all(selection)
    files = {name: _csv_of(name, rows) for name, rows in _rows_of(names).items()}
    for name, content in files.items():
        replace_file(folder / f"{name}.csv", content)
    described = _description(selection, names, files, folder.name)
    replace_file(folder / METADATA_NAME, (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode())
    masks = [named for named in names.annotations if not named.is_points]
    return ExportReport(
        path=folder,
        n_runs=len(names.runs),
        n_volumes=len(names.tomograms) + len(masks),
        n_files=len(names.annotations) - len(masks),
        left_out=selection.left_out,
    )


def _rows_of(names: Names) -> dict[str, list[dict[str, Any]]]:
    """The rows of each CSV file."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}
    found["runs"] = [{"name": name, "portal_run_id": run.run.id, "split": run.split} for name, run in names.runs]
    found["tomograms"] = [
        {
            "run": named.run,
            "voxel_size": named.tomogram.voxel_spacing,
            "tomo_type": named.kind,
            "url": named.url,
            "portal_tomogram_id": named.tomogram.id,
        }
        for named in names.tomograms
        if named.url
    ]
    for named in names.annotations:
        row = {
            "run": named.run,
            "user_id": named.user,
            "session_id": named.session,
            "object_name" if named.is_points else "name": named.object,
            "voxel_size": spacing_of(named.file),
            "url": named.url,
            "portal_object_name": annotation_of(named.file).object_name,
            "portal_annotation_id": annotation_of(named.file).id,
            "portal_annotation_file_id": named.file.id,
        }
        if named.is_points:
            found["picks"].append(row)
        elif named.is_instances:
            found["instance_segmentations"].append(row)
        else:
            found["segmentations"].append(row | {"is_multilabel": "false"})
    volumes = (found[name] for name in ("tomograms", "segmentations", "instance_segmentations"))
    spacings = dict.fromkeys((row["run"], row["voxel_size"]) for rows in volumes for row in rows)
    found["voxel_spacings"] = [{"run": run, "voxel_size": spacing} for run, spacing in spacings]
    return found


def _csv_of(name: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS[name].split(), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _description(selection: Selection, names: Names, files: Mapping[str, bytes], title: str) -> dict[str, Any]:
    """What metadata.json holds."""
    datasets = {run.run.dataset_id: run.run.dataset for run in selection.runs}
    terms = next((run.run.terms for run in selection.runs if run.run.terms), None)
    titles = [f"{dataset.title} (DS-{number})" for number, dataset in datasets.items() if dataset is not None]
    record_sets = [_record_set(name, has_splits=bool(names.splits)) for name in _COLUMNS]
    if names.splits:
        record_sets.append(_splits(names))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": title,
        "description": f"{len(names.runs)} runs of {'; '.join(titles)}",
        "conformsTo": CONFORMS_TO,
        "version": "1.0.0",
        "license": (terms.licence_url or terms.licence if terms else "") or "unknown",
        "citeAs": "; ".join(titles),
        "datePublished": datetime.now(UTC).date().isoformat(),
        "url": terms.site if terms and terms.site else selection.source.location,
        "copick:baseUrl": "",
        "copick:config": {
            "name": title,
            "description": f"{len(names.runs)} runs of {selection.source.label}",
            "version": "1.0.0",
            "pickable_objects": [object_config(each) for each in names.objects],
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
        {
            "@type": "cr:Field",
            "@id": f"copick/{name}/{column}",
            "name": column,
            "dataType": _TYPES.get(column, "sc:Text"),
            "source": {"fileObject": {"@id": _file_id(name)}, "extract": {"column": column}},
        }
        for column in _COLUMNS[name].split()
    ]
    if name == "runs" and has_splits:
        fields[-1]["references"] = {"field": {"@id": "copick/splits/name"}}
    return {"@type": "cr:RecordSet", "@id": f"copick/{name}", "name": name, "field": fields}


def _splits(names: Names) -> dict[str, Any]:
    """What each name of a split means."""
    rows = [
        {"copick/splits/name": name, "copick/splits/url": _SPLIT_URLS.get(name, "")} for name in sorted(names.splits)
    ]
    kinds = {"name": "sc:Text", "url": "sc:URL"}
    return {
        "@type": "cr:RecordSet",
        "@id": "copick/splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "copick/splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"copick/splits/{column}", "name": column, "dataType": kind}
            for column, kind in kinds.items()
        ],
        "data": rows,
    }
