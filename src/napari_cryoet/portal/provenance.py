"""The provenance of portal records."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from napari_cryoet._version import __version__
from napari_cryoet.portal.links import database_links, publication_links
from napari_cryoet.provenance import Provenance, plain_data
from napari_cryoet.records import (
    AnnotationFile,
    DepositionTitle,
    Run,
    Terms,
    TiltSeries,
    Tomogram,
)


def of_tomogram(tomogram: Tomogram, source_url: str) -> Provenance:
    """The provenance of a tomogram."""
    about = _common("tomogram", source_url, tomogram.run, tomogram.deposition)
    return replace(
        about,
        path=path_of(tomogram),
        authors=tuple(each.name for each in tomogram.authors),
        dois=_dois(tomogram.publications) or about.dois,
        database_entries=_entries(tomogram.related_database_entries),
        tomogram_id=tomogram.id,
        processing=tomogram.processing,
        run_id=tomogram.run_id,
        deposition_id=tomogram.deposition_id,
        alignment_id=tomogram.alignment_id,
        voxel_spacing_angstrom=tomogram.voxel_spacing,
        records=_records(tomogram=tomogram),
    )


def of_tilt_series(series: TiltSeries, run: Run | None, source_url: str) -> Provenance:
    """The provenance of a tilt series."""
    return replace(
        _common("tilt series", source_url, run),
        path=path_of(series),
        database_entries=_entries(series.related_empiar_entry),
        tilt_series_id=series.id,
        run_id=series.run_id,
        deposition_id=series.deposition_id,
        pixel_spacing_angstrom=series.pixel_spacing,
        records=_records(tilt_series=series, run=run),
    )


def of_annotation_file(
    file: AnnotationFile, source_url: str, spacing_angstrom: float | None
) -> Provenance:
    """The provenance of an annotation file."""
    annotation = file.annotation
    run = annotation.run if annotation is not None else None
    deposition = annotation.deposition if annotation is not None else None
    about = replace(
        _common("annotation", source_url, run, deposition),
        path=path_of(file),
        annotation_file_id=file.id,
        shape_type=file.shape_type or "",
        alignment_id=file.alignment_id,
        voxel_spacing_angstrom=spacing_angstrom,
        records=_records(annotation_file=file),
    )
    if annotation is None:
        return about
    return replace(
        about,
        authors=tuple(each.name for each in annotation.authors),
        dois=_dois(annotation.annotation_publication) or about.dois,
        database_entries=_entries(annotation.annotation_publication),
        annotation_id=annotation.id,
        run_id=annotation.run_id,
        deposition_id=annotation.deposition_id,
        object_id=annotation.object_id,
        object_name=annotation.object_name,
        object_state=annotation.object_state or "",
        method_type=annotation.method_type,
        annotation_method=annotation.annotation_method,
        annotation_software=annotation.annotation_software or "",
        is_ground_truth=annotation.ground_truth_status,
        is_curator_recommended=annotation.is_curator_recommended,
        confidence_precision_percent=annotation.confidence_precision,
        confidence_recall_percent=annotation.confidence_recall,
        ground_truth_used=annotation.ground_truth_used or "",
    )


def path_of(record: Tomogram | TiltSeries | AnnotationFile) -> str:
    """The path of the file that is opened in the portal's storage: its S3 URL after the bucket."""
    s3_url = record.s3_path if isinstance(record, AnnotationFile) else record.s3_url
    return (s3_url or "").removeprefix("s3://").partition("/")[2]


def _common(
    kind: str, source_url: str, run: Run | None, deposition: DepositionTitle | None = None
) -> Provenance:
    """The fields that all provenance has."""
    about = Provenance(
        kind=kind,
        source_url=source_url,
        deposition_title=deposition.title if deposition is not None else "",
        software=f"napari-cryoet {__version__}",
    )
    if run is None:
        return about
    dataset = run.dataset
    terms = run.terms or Terms()
    return replace(
        about,
        source=run.opened_from,
        portal_url=terms.page_url("run", run.id),
        licence=terms.licence,
        licence_url=terms.licence_url,
        dois=_dois(dataset.dataset_publications) if dataset is not None else (),
        dataset_id=run.dataset_id,
        dataset_title=dataset.title if dataset is not None else "",
        run_name=run.name,
    )


def _dois(publications: str | None) -> tuple[str, ...]:
    return tuple(link.text for link in publication_links(publications))


def _entries(databases: str | None) -> tuple[str, ...]:
    return tuple(link.text for link in database_links(databases))


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
