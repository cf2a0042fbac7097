"""A plan says what goes where, and how big it is, before anything is fetched."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from download_samples import ANNOTATION_KEY, MASK_KEY, RECONSTRUCTION, TOMOGRAM_KEY, bucket_files, run_page
from napari_cryoet.download import Selection, TomogramChoice, plan_download, select
from napari_cryoet.exceptions import DownloadError

PAGE = run_page("https://files.example.org/")


def test_everything_lies_as_in_the_portals_bucket() -> None:
    plan = plan_download(PAGE, select(PAGE, ["tomogram", "annotations", "metadata"]))
    assert [item.path for item in plan.items] == [
        f"{TOMOGRAM_KEY}.zarr",
        f"{RECONSTRUCTION}/Tomograms/100/tomogram_metadata.json",
        f"{ANNOTATION_KEY}_point.ndjson",
        f"{MASK_KEY}_segmentationmask.zarr",
        f"{ANNOTATION_KEY}.json",
        f"{MASK_KEY}.json",
        "10000/TS_1/Alignments/100/alignment_metadata.json",
    ]


def test_what_is_of_a_kind_that_nobody_knows_yet_is_planned_like_everything_else() -> None:
    (point, *others) = PAGE.annotation_files
    strange = replace(point, format="hdf7")
    shapes = tuple(replace(shape, shape_type="Hologram") for shape in PAGE.annotation_shapes)
    page = replace(PAGE, annotation_files=(strange, *others), annotation_shapes=shapes)
    (item,) = plan_download(page, Selection(annotation_file_ids=(strange.id,))).items
    assert item.path == f"{ANNOTATION_KEY}_point.ndjson"
    assert strange.id in select(page, ["annotations"]).annotation_file_ids


def test_the_total_is_what_the_portal_lists_and_unknown_sizes_are_counted() -> None:
    plan = plan_download(PAGE, select(PAGE, ["tomogram", "annotations", "metadata"]))
    sizes = {key: len(content) for key, content in bucket_files().items()}
    listed = sum(size for key, size in sizes.items() if ".zarr/" in key or key.endswith(".ndjson"))
    assert plan.total_bytes == listed
    assert plan.n_unknown_sizes == 4


def test_single_files_are_known_at_once_and_zarr_files_once_it_was_read() -> None:
    plan = plan_download(PAGE, select(PAGE))
    assert not plan.is_expanded
    assert [file.path for file in plan.files()] == [f"{ANNOTATION_KEY}_point.ndjson"]
    assert plan_download(PAGE, select(PAGE, volume_format="mrc")).is_expanded


def test_where_the_s3_path_is_missing_the_url_tells_the_place() -> None:
    tomogram = replace(PAGE.tomograms[0], s3_mrc_file=None)
    page = replace(PAGE, tomograms=(tomogram,))
    plan = plan_download(page, Selection(tomograms=(TomogramChoice(tomogram_id=11, volume_format="mrc"),)))
    assert plan.items[0].path == f"{TOMOGRAM_KEY}.mrc"


def test_a_hostile_path_stays_inside_with_names_that_are_valid_everywhere() -> None:
    file = replace(PAGE.annotation_files[0], s3_path="s3://bucket/../../C:/CON/a?.ndjson")
    page = replace(PAGE, annotation_files=(file,))
    (item,) = plan_download(page, Selection(annotation_file_ids=(51,))).items
    assert all(segment not in ("..", ".", "CON") for segment in item.path.split("/"))
    assert ":" not in item.path


def test_nothing_can_take_the_place_of_the_manifest() -> None:
    file = replace(PAGE.annotation_files[0], s3_path="s3://bucket/manifest.json")
    page = replace(PAGE, annotation_files=(file,))
    assert plan_download(page, Selection(annotation_file_ids=(51,))).items[0].path != "manifest.json"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://files.example.org/a.ndjson", "a.ndjson", ""])
def test_a_portal_on_the_web_cannot_name_files_of_this_computer(url: str) -> None:
    page = replace(PAGE, annotation_files=(replace(PAGE.annotation_files[0], https_path=url),))
    with pytest.raises(DownloadError, match="can't be fetched"):
        plan_download(page, Selection(annotation_file_ids=(51,)))


def test_a_file_that_two_records_share_is_fetched_once() -> None:
    twin = replace(PAGE.annotation_files[0], id=99)
    page = replace(PAGE, annotation_files=(*PAGE.annotation_files, twin))
    assert len(plan_download(page, Selection(annotation_file_ids=(51, 99))).items) == 1


def test_what_the_run_does_not_have_is_an_error() -> None:
    with pytest.raises(DownloadError, match="has no tomogram 99"):
        plan_download(PAGE, Selection(tomograms=(TomogramChoice(tomogram_id=99),)))
    with pytest.raises(DownloadError, match="has no annotation file 99"):
        plan_download(PAGE, Selection(annotation_file_ids=(99,)))
    with pytest.raises(DownloadError, match="Nothing is selected"):
        plan_download(PAGE, Selection())


def test_a_format_that_is_not_offered_is_an_error_that_names_the_other() -> None:
    page = replace(PAGE, tomograms=(replace(PAGE.tomograms[0], https_omezarr_dir=None),))
    with pytest.raises(DownloadError, match="isn't offered as OME-Zarr") as caught:
        plan_download(page, Selection(tomograms=(TomogramChoice(tomogram_id=11),)))
    assert "MRC" in caught.value.hint


def test_each_item_says_what_it_is_and_whom_to_cite() -> None:
    plan = plan_download(PAGE, select(PAGE))
    tomogram, picks, _ = (item.provenance for item in plan.items)
    assert (tomogram.kind, tomogram.id, tomogram.voxel_spacing_angstrom) == ("tomogram", 11, 10.0)
    assert tomogram.authors == ("A. First", "B. Second")
    assert (picks.kind, picks.shape, picks.annotation_id, picks.alignment_id) == ("annotation file", "Point", 21, 31)
    assert picks.publications == "10.1000/picks"
