"""What a run's page lists, and in which order."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.portal.pages import RunPage
from napari_cryoet.run.outline import deposition_shares, first_sight_bytes, outline_run
from qt.fake_portal import run_page


@pytest.fixture
def page() -> RunPage:
    return run_page(506, "TS_006")


def ids(rows):
    return [row.annotation.id for row in rows]


def test_what_the_curators_recommend_stands_first(page):
    groups = outline_run(page, page.default_tomogram).groups
    assert [group.object_name for group in groups] == ["cytosolic ribosome", "fatty acid synthase", "membrane"]
    assert ids(groups[0].rows) == [5061, 5062, 5068, 5067]


def test_what_cannot_be_drawn_is_listed_with_the_reason(page):
    strange = tuple(
        replace(file, shape=replace(file.shape, shape_type="Hologram")) if file.format == "glb" else file
        for file in page.annotation_files
    )
    shapes = tuple(
        {file.shape.id: file.shape for file in strange}.get(each.id, each) for each in page.annotation_shapes
    )
    page = replace(page, annotation_files=strange, annotation_shapes=shapes)
    rows = {row.annotation.id: row for row in outline_run(page, page.default_tomogram).rows()}
    hologram, fileless = rows[5066], rows[5067]
    assert (hologram.shown_file, fileless.shown_file) == (None, None)
    assert hologram.files, "it can still be downloaded"
    assert hologram.summary == "Hologram"
    assert "Hologram" in hologram.reason
    assert "no file" in fileless.reason


def test_an_annotation_without_shape_is_listed(page):
    outline = outline_run(replace(page, annotation_shapes=()), page.default_tomogram)
    assert {row.summary for row in outline.rows()} == {"no shape"}


def test_only_what_the_curators_chose_is_shown_by_default(page):
    assert [file.annotation_shape_id for file in outline_run(page, page.default_tomogram).defaults()] == [5061]


def test_a_default_on_another_alignment_is_not_shown_by_default(page):
    assert outline_run(page, replace(page.tomograms[0], alignment_id=18)).defaults() == ()


def test_rows_say_how_much_of_what(page):
    rows = {row.annotation.id: row.summary for row in outline_run(page, page.default_tomogram).rows()}
    assert rows[5061] == "838 points"
    assert rows[5062] == "795 oriented points"
    assert rows[5064] == "mask"


def test_the_estimate_is_two_planes_and_never_more_than_the_file(page):
    tomogram = page.tomograms[0]
    assert 7e6 < first_sight_bytes(tomogram) < 9e6
    assert first_sight_bytes(replace(tomogram, size_x=40, size_y=40, size_z=40, file_size_omezarr=9_000.0)) == 9_000


def test_the_depositions_of_a_run_begin_with_that_of_its_dataset(page):
    assert [(share.id, share.title, share.text) for share in deposition_shares(page)] == [
        (10300, "S. pombe lamellae", "2 tomograms, 7 annotations"),
        (10310, "Picks by <b>deep</b> learning & more", "1 annotation"),
    ]


def test_a_run_whose_annotations_belong_to_no_deposition_names_none(page):
    annotations = tuple(replace(each, deposition_id=None, deposition=None) for each in page.annotations)
    astray = replace(page, run=replace(page.run, dataset=None), tomograms=(), annotations=annotations)
    assert deposition_shares(astray) == ()
