"""Every field of the portal's schema is shown on a page, or left out for a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from napari_cryoet import records
from napari_cryoet.pages.about import about_dataset, about_deposition
from napari_cryoet.pages.run import (
    about_annotation,
    about_tilt_series,
    about_tomogram,
    annotation_rows,
    tomogram_rows,
)
from napari_cryoet.portal.pages import DepositionPage, Freshness
from napari_cryoet.records import Author
from napari_cryoet.runs.fit import Fit
from napari_cryoet.runs.outline import AnnotationRow, RunOutline
from napari_cryoet.tables.database import Column, is_url, tables
from samples import make_annotation, make_dataset, make_tomogram

#: The values of a column before and after a change.
VALUES: dict[str, tuple[Any, Any]] = {
    "int": (7, 9),
    "float": (7.5, 9.5),
    "bool": (False, True),
    "text": ("before", "after"),
    "word": ("before", "after"),
    "date": ("2024-05-06T00:00:00+00:00", "2025-07-08T00:00:00+00:00"),
}


def deposition_text(deposition: records.Deposition) -> str:
    page = DepositionPage(
        deposition=deposition,
        datasets=(),
        objects=(),
        tomogram_count=0,
        annotation_count=0,
        freshness=Freshness(fetched_at=datetime(2024, 5, 1, tzinfo=UTC)),
    )
    return repr(about_deposition(page, ""))


def annotation_text(annotation: records.Annotation) -> str:
    return about_annotation(AnnotationRow(annotation=annotation))


def shape_text(shape: records.AnnotationShape) -> str:
    return about_annotation(AnnotationRow(annotation=make_annotation(), shape=shape))


def file_text(file: records.AnnotationFile) -> str:
    unaligned = Fit("other_alignment")
    row = AnnotationRow(annotation=make_annotation(), files=(file,), fit=unaligned)
    return about_annotation(row)


def identified_text(identified: records.IdentifiedObject) -> str:
    outline = RunOutline(groups=(), other_alignment=(), identified_only=(identified,))
    return repr(annotation_rows(outline, {}))


#: The record of a table, and the text that is shown of it.
SHOWN: dict[str, tuple[type[records.Record], Any]] = {
    "depositions": (records.Deposition, deposition_text),
    "datasets": (records.Dataset, lambda each: repr(about_dataset(each, ""))),
    "datasetFunding": (
        records.Funding,
        lambda each: repr(about_dataset(make_dataset(funding_sources=(each,)), "")),
    ),
    "datasetAuthors": (
        records.Author,
        lambda each: repr(about_dataset(make_dataset(authors=(each,)), "")),
    ),
    "tomograms": (records.Tomogram, about_tomogram),
    "tomogramAuthors": (
        records.Author,
        lambda each: about_tomogram(make_tomogram(authors=(each,))),
    ),
    "annotations": (records.Annotation, annotation_text),
    "annotationAuthors": (
        records.Author,
        lambda each: annotation_text(make_annotation(authors=(each,))),
    ),
    "annotationMethodLinks": (
        records.MethodLink,
        lambda each: annotation_text(make_annotation(method_links=(each,))),
    ),
    "annotationShapes": (records.AnnotationShape, shape_text),
    "annotationFiles": (records.AnnotationFile, file_text),
    "identifiedObjects": (records.IdentifiedObject, identified_text),
    "tiltseries": (records.TiltSeries, about_tilt_series),
    "alignments": (
        records.Alignment,
        lambda each: about_tomogram(make_tomogram(alignment_id=17), each),
    ),
}
_FOR_FILES = "raw data, which whole runs are downloaded with"
#: Tables without a text of their own, and why.
TABLES_LEFT_OUT = {
    "runs": "its name is the title, and it has no other facts",
    "tomogramVoxelSpacings": "tomograms give it, and annotations where theirs is another",
    "depositionAuthors": "shown like the authors of datasets",
    "depositionTypes": "shown as what a deposition holds",
    "frames": _FOR_FILES,
    "gainFiles": _FOR_FILES,
    "frameAcquisitionFiles": _FOR_FILES,
    "perSectionParameters": _FOR_FILES,
    "perSectionAlignmentParameters": _FOR_FILES,
}
#: Columns of any table that are left out, by the reason.
LEFT_OUT = {
    "the page, or the record's parent, is named by it": "id",
    "14 kB for another viewer": "neuroglancerConfig",
    "internal to the portal": "annotationIngestId",
    "addresses of people aren't requested": "email",
    "shown with the authors of datasets and depositions": "orcid",
    "the name says who it is": "kaggleId affiliationName affiliationAddress affiliationIdentifier "
    "correspondingAuthorStatus primaryAuthorStatus",
    "authors are listed in this order": "authorListOrder",
    "the name says it": "assayOntologyId developmentStageOntologyId diseaseOntologyId tissueId "
    "cellTypeId cellStrainId cellComponentId",
    "the release date is shown": "depositionDate",
    "that of the dataset is shown": "releaseDate",
    "baskets compare it": "lastModifiedDate",
    "ranks tomograms": "isPortalStandard isAuthorSubmitted",
    "ranks tomograms, and chooses the annotations to show": "isVisualizationDefault",
    "the portal replaces older versions": "tomogramVersion",
    "follows from the size": "scale0Dimensions scale1Dimensions scale2Dimensions",
    "moves the layer": "offsetX offsetY offsetZ",
    "shown beside the shape": "objectCount",
    "the deposition says who made it": "source",
    "shown if there is no OME-Zarr": "fileSizeMrc",
    "follows from the first and the last tilt": "tiltRange",
    "the pixel spacing says it": "binningFromFrames alignedTiltseriesBinning",
    "tomograms give their own": "volumeXDimension volumeYDimension volumeZDimension "
    "volumeXOffset volumeYOffset volumeZOffset",
    "in the alignment's file, which whole runs are downloaded with": "tiltOffset xRotationOffset",
    "the portal's matrix is a placeholder": "affineTransformationMatrix",
    "tomograms give their alignments": "isAligned",
    "shown with the opened images": "sizeX sizeY",
}
COLUMNS_LEFT_OUT = {column for columns in LEFT_OUT.values() for column in columns.split()}


def is_left_out(table: str, column: Column) -> bool:
    """Whether there is a reason; keys and URLs are there to be followed."""
    keys = {relation.key for relation in tables()[table].parents.values()}
    return column.name in COLUMNS_LEFT_OUT or column.name in keys or is_url(column.name)


def changes_text(table: str, column: Column) -> bool:
    """Whether a page's text of a record changes with a column."""
    record_type, text_of = SHOWN[table]
    before = {each.name: VALUES[each.kind][0] for each in tables()[table].columns.values()}
    after = before | {column.name: VALUES[column.kind][1]}
    texts = [text_of(msgspec.convert(row, record_type)) for row in (before, after)]
    return texts[0] != texts[1]


def test_every_table_is_shown_or_left_out() -> None:
    assert SHOWN.keys() | TABLES_LEFT_OUT.keys() == tables().keys()
    assert not SHOWN.keys() & TABLES_LEFT_OUT.keys()


@pytest.mark.parametrize("table", SHOWN)
def test_every_column_is_shown_or_left_out(table: str) -> None:
    for column in tables()[table].columns.values():
        assert changes_text(table, column) or is_left_out(table, column), column.name


def test_orcids_and_alignments_are_shown() -> None:
    people = (Author(name="Ada", orcid="0000-0001"), Author(name="Bob"))
    details = about_dataset(make_dataset(authors=people), "").details
    assert "Authors: Ada, Bob\nORCID: Ada 0000-0001\n" in details
    alignment = records.Alignment(id=17, alignment_type="LOCAL", alignment_method="patch_tracking")
    (row,) = tomogram_rows([make_tomogram(alignment_id=17)], None, (), [alignment])
    assert "Alignment: AL-17 · local · patch tracking" in row.tooltip


def test_each_reason_is_needed() -> None:
    hidden = {
        column.name
        for table in SHOWN
        for column in tables()[table].columns.values()
        if not changes_text(table, column)
    }
    assert hidden >= COLUMNS_LEFT_OUT
