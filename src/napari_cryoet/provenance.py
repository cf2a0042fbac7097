"""The provenance of layers as JSON-compatible data: source, citation, and units.

Every layer has it in its ``metadata`` under `METADATA_KEY`, so that pictures and exports can be
traced to the portal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from napari_cryoet._version import __version__
from napari_cryoet.formats.notes import plain_data
from napari_cryoet.portal.links import database_links, publication_links
from napari_cryoet.records import (
    PORTAL_TERMS,
    AnnotationFile,
    Author,
    DepositionTitle,
    Run,
    Terms,
    TiltSeries,
    Tomogram,
)


def of_tomogram(tomogram: Tomogram, source_url: str) -> dict[str, Any]:
    """The provenance of a tomogram."""
    about = _common("tomogram", source_url, tomogram.run, tomogram.deposition)
    return about | {
        "authors": _names(tomogram.authors),
        "dois": _dois(tomogram.publications) or about["dois"],
        "database_entries": _entries(tomogram.related_database_entries),
        "tomogram_id": tomogram.id,
        "run_id": tomogram.run_id,
        "deposition_id": tomogram.deposition_id,
        "alignment_id": tomogram.alignment_id,
        "voxel_spacing_angstrom": tomogram.voxel_spacing,
        "records": _records(tomogram=tomogram),
    }


def of_tilt_series(series: TiltSeries, run: Run | None, source_url: str) -> dict[str, Any]:
    """The provenance of a tilt series."""
    return _common("tilt series", source_url, run) | {
        "database_entries": _entries(series.related_empiar_entry),
        "tilt_series_id": series.id,
        "run_id": series.run_id,
        "deposition_id": series.deposition_id,
        "pixel_spacing_angstrom": series.pixel_spacing,
        "records": _records(tilt_series=series, run=run),
    }


def of_annotation_file(
    file: AnnotationFile, source_url: str, spacing_angstrom: float | None
) -> dict[str, Any]:
    """The provenance of an annotation file."""
    shape = file.shape
    annotation = shape.annotation if shape is not None else None
    of_file = {
        "annotation_file_id": file.id,
        "shape_type": shape.shape_type if shape is not None else None,
        "alignment_id": file.alignment_id,
        "voxel_spacing_angstrom": spacing_angstrom,
        "records": _records(annotation_file=file),
    }
    if annotation is None:
        return _common("annotation", source_url, None) | of_file
    about = _common("annotation", source_url, annotation.run, annotation.deposition) | of_file
    return about | {
        "authors": _names(annotation.authors),
        "dois": _dois(annotation.annotation_publication) or about["dois"],
        "database_entries": _entries(annotation.annotation_publication),
        "annotation_id": annotation.id,
        "run_id": annotation.run_id,
        "deposition_id": annotation.deposition_id,
        "object_id": annotation.object_id,
        "object_name": annotation.object_name,
        "object_state": annotation.object_state,
        "method_type": annotation.method_type,
        "annotation_method": annotation.annotation_method,
        "annotation_software": annotation.annotation_software,
        "is_ground_truth": annotation.ground_truth_status,
        "is_curator_recommended": annotation.is_curator_recommended,
        "confidence_precision_percent": annotation.confidence_precision,
        "confidence_recall_percent": annotation.confidence_recall,
        "ground_truth_used": annotation.ground_truth_used,
    }


def citation(about: Mapping[str, Any]) -> str:
    """The citation and URL of a layer's data, in a few lines of plain text.

    Empty for other files.
    """
    authors = ", ".join(about.get("authors") or ())
    title = about.get("dataset_title") or about.get("deposition_title")
    where = (
        "CryoET Data Portal, " if str(about.get("portal_url")).startswith(PORTAL_TERMS.site) else ""
    )
    dataset = f"{where}DS-{about['dataset_id']}" if about.get("dataset_id") else ""
    lines = (
        ". ".join(part for part in (authors, title, dataset) if part),
        "  ".join(f"https://doi.org/{doi}" for doi in about.get("dois") or ()),
        about.get("portal_url"),
        f"Licence: {about['licence']}" if about.get("licence") else "",
    )
    return "\n".join(line for line in lines if line)


def _common(
    kind: str, source_url: str, run: Run | None, deposition: DepositionTitle | None = None
) -> dict[str, Any]:
    """The fields that all provenance has, in reading order."""
    dataset = run.dataset if run is not None else None
    terms = (run.terms if run is not None else None) or Terms()
    return {
        "kind": kind,
        "source_url": source_url,
        "portal_url": (terms.page_url("run", run.id) if run is not None else "") or None,
        "licence": terms.licence or None,
        "licence_url": terms.licence_url or None,
        "authors": [],
        "dois": _dois(dataset.dataset_publications) if dataset is not None else [],
        "database_entries": [],
        "deposition_title": deposition.title if deposition is not None else None,
        "dataset_id": run.dataset_id if run is not None else None,
        "dataset_title": dataset.title if dataset is not None else None,
        "run_name": run.name if run is not None else None,
        "software": f"napari-cryoet {__version__}",
    }


def _names(authors: Iterable[Author]) -> list[str]:
    return [author.name for author in sorted(authors, key=lambda author: author.author_list_order)]


def _dois(publications: str | None) -> list[str]:
    return [link.text for link in publication_links(publications)]


def _entries(databases: str | None) -> list[str]:
    return [link.text for link in database_links(databases)]


def _records(**start: Any) -> dict[str, Any]:
    """Records by name; the parents that they refer to become entries of their own."""
    records: dict[str, Any] = {}
    pending = list(start.items())
    while pending:
        name, record = pending.pop()
        if record is None or name in records:
            continue
        fields = msgspec.structs.asdict(record)
        fields.pop("terms", None)  # given once for all records
        parents = {
            field: value for field, value in fields.items() if isinstance(value, msgspec.Struct)
        }
        pending.extend(parents.items())
        records[name] = {
            field: plain_data(value) for field, value in fields.items() if field not in parents
        }
    return records
