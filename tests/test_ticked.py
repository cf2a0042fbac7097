"""From ticks on a run's page to a selection to download."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.download import plan_download
from napari_cryoet.run.outline import outline_run
from napari_cryoet.ticked import select_ticked
from qt.fake_portal import run_page


@pytest.fixture
def page():
    return run_page(506, "TS_006")


def rows_of(page, *annotation_ids):
    return [row for row in outline_run(page, page.default_tomogram).rows() if row.annotation.id in annotation_ids]


def test_what_is_ticked_comes_with_its_metadata(page):
    selection = select_ticked(page, page.tomograms[:1], rows_of(page, 5061))
    assert [choice.tomogram_id for choice in selection.tomograms] == [5061]
    assert selection.annotation_file_ids == (50610,)
    assert selection.annotation_metadata_ids == (5061,)
    assert selection.tomogram_metadata_ids == (5061,)


def test_metadata_can_stay_behind(page):
    selection = select_ticked(page, (), rows_of(page, 5061), with_metadata=False)
    assert selection.annotation_file_ids == (50610,)
    assert not selection.annotation_metadata_ids


@pytest.mark.parametrize(("volume_format", "file_id"), [("zarr", 50641), ("mrc", 50640)])
def test_a_mask_comes_in_the_wanted_format_only(page, volume_format, file_id):
    selection = select_ticked(page, (), rows_of(page, 5064), volume_format=volume_format)
    assert selection.annotation_file_ids == (file_id,)


def test_a_format_that_is_not_there_gives_way_to_the_one_that_is(page):
    tomogram = replace(page.tomograms[0], https_mrc_file=None)
    (choice,) = select_ticked(page, [tomogram], (), volume_format="mrc").tomograms
    assert choice.volume_format == "zarr"


def test_what_cannot_be_drawn_can_be_downloaded_all_the_same(page):
    assert select_ticked(page, (), rows_of(page, 5066)).annotation_file_ids == (50660,)


def test_everything_ticked_can_be_planned(page):
    rows = list(outline_run(page, page.default_tomogram).rows())
    plan = plan_download(page, select_ticked(page, page.tomograms, [row for row in rows if row.files]))
    assert plan.total_bytes > 2 * 1.66e9
