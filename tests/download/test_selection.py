"""The usual selections of a run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from download_samples import run_page
from napari_cryoet.download import Selection, TomogramChoice, select
from napari_cryoet.exceptions import DownloadError

PAGE = run_page("https://files.example.org/")


def test_a_tomogram_and_all_annotations_are_the_default() -> None:
    selection = select(PAGE)
    assert selection.tomograms == (TomogramChoice(tomogram_id=11, volume_format="zarr"),)
    assert selection.annotation_file_ids == (51, 52)
    assert not selection.annotation_metadata_ids
    assert not selection.tomogram_metadata_ids


def test_the_volume_format_holds_for_the_tomogram_and_for_masks_but_not_for_points() -> None:
    selection = select(PAGE, volume_format="mrc")
    assert selection.tomograms[0].volume_format == "mrc"
    assert selection.annotation_file_ids == (51, 53)


def test_a_mask_that_lacks_the_wanted_format_comes_in_the_other() -> None:
    only_mrc = replace(PAGE, annotation_files=tuple(file for file in PAGE.annotation_files if file.format != "zarr"))
    assert select(only_mrc, volume_format="zarr").annotation_file_ids == (51, 53)


def test_default_annotations_are_those_that_the_curators_show() -> None:
    assert select(PAGE, ["annotations"], annotations="default").annotation_file_ids == (51,)


def test_annotations_are_chosen_by_id() -> None:
    assert select(PAGE, ["annotations"], annotations=[22]).annotation_file_ids == (52,)
    assert select(PAGE, ["tomogram", "annotations"], annotations="none").annotation_file_ids == ()


def test_an_annotation_of_another_run_is_an_error() -> None:
    with pytest.raises(DownloadError, match="has no annotation 99"):
        select(PAGE, ["annotations"], annotations=[21, 99])


def test_an_unknown_word_for_annotations_is_an_error() -> None:
    with pytest.raises(DownloadError, match="'some' names no annotations"):
        select(PAGE, ["annotations"], annotations="some")


def test_metadata_covers_the_chosen_annotations_the_tomogram_and_the_alignment() -> None:
    selection = select(PAGE, ["metadata"], annotations=[22])
    assert selection.annotation_metadata_ids == (22,)
    assert selection.tomogram_metadata_ids == (11,)
    assert selection.alignment_ids == (31,)
    assert not selection.tomograms
    assert not selection.annotation_file_ids


def test_a_run_without_tomogram_says_so() -> None:
    bare = replace(PAGE, tomograms=())
    with pytest.raises(DownloadError, match="TS_1 has no tomogram"):
        select(bare)
    assert select(bare, ["annotations"]).annotation_file_ids == (51, 52)


def test_an_empty_selection_is_false() -> None:
    assert not Selection()
    assert select(PAGE)
