"""Which annotation file an id means, and the question where it may mean several."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryoet import open_portal
from napari_cryoet.comparison.named import is_annotation_id, named_file
from napari_cryoet.exceptions import ComparisonError, NotFoundError
from napari_cryoet.portal.portal import Portal


@pytest.fixture(scope="module")
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


def test_ids_of_annotations_and_of_their_files_are_told_apart(portal: Portal) -> None:
    of_file, of_annotation = named_file(portal, "AF-9004"), named_file(portal, "AN-9003")

    assert of_file == of_annotation
    assert (of_file.id, of_file.shape.annotation.id) == (9004, 9003)  # type: ignore[union-attr]
    assert named_file(portal, "an-9004").id == 9005


def test_of_one_content_in_two_formats_the_one_that_streams_is_taken(portal: Portal) -> None:
    assert named_file(portal, "AN-9010").format == "zarr"  # AF-9014 is the same mask as MRC


def test_an_annotation_with_several_files_is_asked_about(portal: Portal) -> None:
    with pytest.raises(ComparisonError) as caught:
        named_file(portal, "AN-9001")

    assert "AF-9001 (OrientedPoint" in str(caught.value)
    assert "AF-9002 (Point" in str(caught.value)
    assert "Which one?" in str(caught.value)


def test_a_number_is_taken_for_what_there_is_and_asked_about_where_there_are_both(portal: Portal) -> None:
    assert named_file(portal, "9035").shape.annotation.id == 9024  # type: ignore[union-attr] # no annotation has it
    with pytest.raises(ComparisonError, match="Say AN-9004 or AF-9004"):
        named_file(portal, "9004")


def test_what_is_not_there_is_said_to_be_missing(portal: Portal) -> None:
    for text, told in (
        ("AN-424242", "no annotation 424242"),
        ("AF-424242", "no annotation file 424242"),
        ("424242", "no annotation 424242 and no annotation file 424242"),
    ):
        with pytest.raises(NotFoundError, match=told):
            named_file(portal, text)


@pytest.mark.parametrize("text", ["9004.star", "AL-12", "", "-12", "12345678901"])
def test_other_texts_are_no_ids(text: str) -> None:
    assert not is_annotation_id(text)
