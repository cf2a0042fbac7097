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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import ExistsError, raise_if_stopped
from napari_cryoet.files import path_to_write, replace_file
from napari_cryoet.training.copick import ExportReport, Progress, object_config
from napari_cryoet.training.naming import NamedAnnotation, Names, name_all
from napari_cryoet.training.selection import Selection, annotation_of, spacing_of

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
METADATA_NAME: Final = "metadata.json"
_SPLIT_URLS: Final = {
    "train": "https://mlcommons.org/definitions/training_split",
    "validation": "https://mlcommons.org/definitions/validation_split",
    "test": "https://mlcommons.org/definitions/test_split",
}
_TEXT, _NUMBER, _BOOLEAN = "sc:Text", "sc:Float", "sc:Boolean"
_OF_ANNOTATION: Final = {
    "portal_object_name": _TEXT,
    "portal_session_id": _TEXT,
    "portal_annotation_id": _TEXT,
    "portal_annotation_file_id": _TEXT,
}
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


@dataclass(frozen=True, slots=True)
class _Records:
    """A CSV file and what its columns hold."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]] = ()


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
    records = _records_of(names)
    files = {name: _csv_of(each) for name, each in records.items()}
    for name, content in files.items():
        replace_file(folder / f"{name}.csv", content)
    described = _description(selection, names, records, files, folder.name)
    replace_file(folder / METADATA_NAME, (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode())
    masks = [named for named in names.annotations if not named.is_points]
    return ExportReport(
        path=folder,
        n_runs=len(names.runs),
        n_volumes=len(names.tomograms) + len(masks),
        n_files=len(names.annotations) - len(masks),
        left_out=selection.left_out,
    )


def _records_of(names: Names) -> dict[str, _Records]:
    """The rows of each CSV file; copick wants all of its own, also empty ones."""
    place = {"run": _TEXT, "voxel_size": _NUMBER}
    made_by = {"user_id": _TEXT, "session_id": _TEXT}
    mask = {**place, **made_by, "name": _TEXT}
    picks = [_pick_row(named) for named in names.annotations if named.is_points]
    masks = [named for named in names.annotations if not named.is_points]
    plain = [_mask_row(named) | {"is_multilabel": "false"} for named in masks if not named.is_instances]
    instances = [_mask_row(named) for named in masks if named.is_instances]
    tomograms = [
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
    runs = [{"name": name, "portal_run_id": run.run.id, "split": run.split} for name, run in names.runs]
    spacings = dict.fromkeys((row["run"], row["voxel_size"]) for row in (*tomograms, *plain, *instances))
    return {
        "runs": _Records({"name": _TEXT, "portal_run_id": _TEXT, "split": _TEXT}, runs),
        "voxel_spacings": _Records(place, [{"run": run, "voxel_size": spacing} for run, spacing in spacings]),
        "tomograms": _Records(
            {**place, "tomo_type": _TEXT, "url": _TEXT, "portal_tomo_type": _TEXT, "portal_tomogram_id": _TEXT},
            tomograms,
        ),
        "features": _Records({**place, "tomo_type": _TEXT, "feature_type": _TEXT, "url": _TEXT}),
        "picks": _Records(
            {
                "run": _TEXT,
                **made_by,
                "object_name": _TEXT,
                "voxel_size": _NUMBER,
                "url": _TEXT,
                "sha256": _TEXT,
                **_OF_ANNOTATION,
            },
            picks,
        ),
        "meshes": _Records({"run": _TEXT, **made_by, "object_name": _TEXT, "url": _TEXT, "sha256": _TEXT}),
        "segmentations": _Records({**mask, "is_multilabel": _BOOLEAN, "url": _TEXT, **_OF_ANNOTATION}, plain),
        "instance_segmentations": _Records({**mask, "url": _TEXT, **_OF_ANNOTATION}, instances),
        "panoptic_segmentations": _Records({**mask, "url": _TEXT, **_OF_ANNOTATION}),
        "objects": _Records({"name": _TEXT, "url": _TEXT}),
    }


def _pick_row(named: NamedAnnotation) -> dict[str, Any]:
    return _row_of(named) | {"object_name": named.object}


def _mask_row(named: NamedAnnotation) -> dict[str, Any]:
    return _row_of(named) | {"name": named.object}


def _row_of(named: NamedAnnotation) -> dict[str, Any]:
    annotation = annotation_of(named.file)
    return {
        "run": named.run,
        "user_id": named.user,
        "session_id": named.session,
        "voxel_size": spacing_of(named.file),
        "url": named.url,
        "portal_object_name": annotation.object_name,
        "portal_annotation_id": annotation.id,
        "portal_annotation_file_id": named.file.id,
    }


def _csv_of(records: _Records) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, records.columns, restval="")
    writer.writeheader()
    writer.writerows(records.rows)
    return text.getvalue().encode()


def _description(
    selection: Selection, names: Names, records: Mapping[str, _Records], files: Mapping[str, bytes], title: str
) -> dict[str, Any]:
    """What metadata.json holds."""
    datasets = {run.run.dataset_id: run.run.dataset for run in selection.runs}
    terms = next((run.run.terms for run in selection.runs if run.run.terms), None)
    titles = [f"{dataset.title} (DS-{number})" for number, dataset in datasets.items() if dataset is not None]
    record_sets = [_record_set(name, each) for name, each in records.items()]
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


def _record_set(name: str, records: _Records) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"copick/{name}/{column}",
            "name": column,
            "dataType": kind,
            "source": {"fileObject": {"@id": _file_id(name)}, "extract": {"column": column}},
        }
        for column, kind in records.columns.items()
    ]
    if name == "runs" and any(row["split"] for row in records.rows):
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
