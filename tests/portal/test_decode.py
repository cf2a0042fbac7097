"""Decoding: what the schema promises is checked field by field, and what is wrong is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from napari_cryoet.exceptions import PortalError
from napari_cryoet.portal.decode import count_of, groups_of, nodes_of, record_of, records_of, rows_of
from napari_cryoet.portal.fields import scalar_fields
from napari_cryoet.records import Annotation, AnnotationFile, AnnotationShape, Tomogram
from portal_rows import blank_row


def tomogram_row(**values):
    return blank_row("tomograms") | {"id": 7} | values


def fails(call, *words: str) -> None:
    with pytest.raises(PortalError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_a_row_becomes_a_record():
    tomogram = record_of(
        Tomogram, tomogram_row(sizeX=960, sizeY=928, sizeZ=500, voxelSpacing=13.48, processing="raw"), "tomograms[0]"
    )
    assert tomogram.shape_zyx == (500, 928, 960)
    assert tomogram.voxel_spacing == 13.48
    assert tomogram.processing == "raw"
    assert tomogram.is_visualization_default is None


def test_a_whole_number_is_a_fine_spacing():
    spacing = record_of(Tomogram, tomogram_row(voxelSpacing=10), "t").voxel_spacing
    assert (spacing, type(spacing)) == (10.0, float)


@pytest.mark.parametrize("name", [field.name for field in scalar_fields(Annotation) if not field.is_nullable])
def test_a_null_where_the_schema_has_none_is_named(name):
    field = next(field for field in scalar_fields(Annotation) if field.name == name)
    row = blank_row("annotations") | {"id": 1} | {field.wire_name: None}
    fails(lambda: record_of(Annotation, row, "annotations[3]"), f"annotations[3].{field.wire_name} is missing")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("sizeX", "960", "isn't a whole number"),
        ("sizeX", 960.5, "isn't a whole number"),
        ("sizeX", True, "isn't a whole number"),
        ("sizeX", 10**30, "isn't a whole number"),
        ("voxelSpacing", "13.48", "isn't a number"),
        ("voxelSpacing", True, "isn't a number"),
        ("voxelSpacing", json.loads("1e999"), "isn't a number"),
        ("voxelSpacing", 10**400, "isn't a number"),
        ("name", 5, "isn't text"),
        ("name", ["a"], "isn't text"),
        ("processing", 5, "isn't text"),
        ("isVisualizationDefault", "true", "neither true nor false"),
        ("isVisualizationDefault", 1, "neither true nor false"),
        ("releaseDate", "yesterday", "isn't a date"),
        ("releaseDate", 20240506, "isn't a date"),
        ("releaseDate", "2024-13-01", "isn't a date"),
        ("releaseDate", "0001-01-01T00:00:00+14:00", "isn't a date"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(field, value, words):
    fails(lambda: record_of(Tomogram, tomogram_row(**{field: value}), "tomograms[0]"), f"tomograms[0].{field}", words)


def test_a_word_that_the_portal_added_later_survives():
    shape = record_of(AnnotationShape, {"id": 1, "annotationId": 2, "shapeType": "Hologram"}, "s")
    assert shape.shape_type == "Hologram"


def test_an_enumeration_may_be_null():
    row = blank_row("annotationFiles") | {"id": 1, "source": None}
    assert record_of(AnnotationFile, row, "f").source is None
    assert record_of(AnnotationFile, row | {"source": "community"}, "f").source == "community"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-06T07:08:09+00:00", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09.25+02:00", datetime(2024, 5, 6, 5, 8, 9, 250000, tzinfo=UTC)),
        ("2024-05-06", datetime(2024, 5, 6, tzinfo=UTC)),
    ],
)
def test_dates_are_understood_and_in_one_time_zone(text, moment):
    assert record_of(Tomogram, tomogram_row(releaseDate=text), "t").release_date == moment


def test_half_a_character_does_not_reach_the_screen():
    name = record_of(Tomogram, tomogram_row(name=json.loads('"a\\ud800b"')), "t").name
    assert name is not None
    assert name.encode("utf-8") == b"a?b"


@pytest.mark.parametrize("rows", [None, {}, "rows", [None], [[]], [1]])
def test_what_is_not_a_list_of_rows_is_named(rows):
    fails(lambda: records_of(Tomogram, {"tomograms": rows}, "tomograms"), "tomograms")
    fails(lambda: rows_of({}, "tomograms"), "tomograms")


@pytest.mark.parametrize("connection", [None, [], {"edges": None}, {"edges": [{}]}, {"edges": [{"node": None}]}])
def test_a_connection_of_the_wrong_form_is_named(connection):
    fails(lambda: nodes_of({"tomograms": connection}, "tomograms", "runs[0]"), "can't be understood")


def test_no_groups_are_no_counts():
    assert groups_of({"objects": {"aggregate": []}}, "objects") == []
    assert count_of({"total": {"aggregate": []}}, "total") == 0


@pytest.mark.parametrize("aggregate", [None, [{}], [{"count": None}], [{"count": "1"}], [{"count": 1.5}], [None]])
def test_a_count_of_the_wrong_form_is_named(aggregate):
    fails(lambda: count_of({"total": {"aggregate": aggregate}}, "total"), "can't be understood")
