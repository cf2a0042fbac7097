"""The rows of a run's page, and their order."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.runs.outline import (
    chosen_files,
    deposition_shares,
    first_sight_bytes,
    outline_run,
)
from qt.fake_portal import run_page


@pytest.fixture
def page() -> RunPage:
    return run_page(506, "TS_006")


def test_annotations_chosen_by_curators_are_first(page):
    groups = outline_run(page, page.default_tomogram).groups
    assert [row.annotation.id for row in groups[0].rows] == [5061, 5062, 5068, 5067]


def test_annotations_without_a_shape_are_listed(page):
    outline = outline_run(replace(page, annotation_shapes=()), page.default_tomogram)
    assert {row.summary for row in outline.rows()} == {"no shape"}


def test_defaults_on_another_alignment_are_not_shown(page):
    assert outline_run(page, replace(page.tomograms[0], alignment_id=18)).defaults() == ()


def test_the_estimate_is_two_planes_but_at_most_the_file_size(page):
    tomogram = page.tomograms[0]
    assert 7e6 < first_sight_bytes(tomogram) < 9e6
    small = replace(tomogram, size_x=40, size_y=40, size_z=40, file_size_omezarr=9_000.0)
    assert first_sight_bytes(small) == 9_000


def test_the_first_deposition_of_a_run_is_its_datasets(page):
    assert [(share.id, share.title, share.text) for share in deposition_shares(page)] == [
        (10300, "S. pombe lamellae", "2 tomograms, 7 annotations"),
        (10310, "Picks by <b>deep</b> learning & more", "1 annotation"),
    ]


def test_oriented_points_are_chosen_over_points(demo_pack):
    page, ribosomes = open_portal(demo_pack).run_page(9001), 9001
    for which in ((ribosomes,), "all"):
        files = [
            file
            for file in chosen_files(page, page.tomograms[0], which)
            if file.shape.annotation_id == ribosomes
        ]
        assert [str(file.shape.shape_type) for file in files] == ["OrientedPoint"]
