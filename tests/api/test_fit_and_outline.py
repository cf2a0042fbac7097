"""Which annotation fits which tomogram, and what the page of a run lists."""

from __future__ import annotations

import pytest

from api.files import with_fields
from napari_cryoet import Fit, fit, outline_run


def with_shape(file, shape_type, **fields):
    return with_fields(file, shape=with_fields(file.shape, shape_type=shape_type), **fields)


class TestFit:
    def test_on_the_same_alignment_and_spacing_is_the_same(self, find, tomogram):
        for shape in ("Point", "OrientedPoint", "InstanceSegmentation", "SegmentationMask", "Mesh"):
            found = fit(find(shape), tomogram)
            assert isinstance(found, Fit)
            assert (found.kind, found.reason, found.fits, found.is_drawable) == ("same", "", True, True), shape

    def test_at_another_spacing_is_rescaled_and_says_so(self, find, tomogram):
        file = find("InstanceSegmentationMask")
        found = fit(file, tomogram)

        assert (found.kind, found.fits, found.is_unaligned) == ("rescaled", True, False)
        for spacing in (file.voxel_spacing.voxel_spacing, tomogram.voxel_spacing):
            assert f"{spacing:g}" in found.reason

    def test_on_another_alignment_does_not_fit_but_can_be_drawn(self, find, tomogram):
        file = find("Point", aligned=False)
        found = fit(file, tomogram)

        assert (found.kind, found.fits, found.is_drawable, found.is_unaligned) == ("other_alignment", False, True, True)
        assert f"AL-{file.alignment_id}" in found.reason

    @pytest.mark.parametrize(("of_file", "of_tomogram"), [(None, 17), (17, None), (None, None)])
    def test_on_an_unknown_alignment_does_not_fit_but_can_be_drawn(self, find, tomogram, of_file, of_tomogram):
        found = fit(with_fields(find("Point"), alignment_id=of_file), with_fields(tomogram, alignment_id=of_tomogram))

        assert (found.kind, found.fits, found.is_drawable) == ("unknown_alignment", False, True)
        assert found.reason

    def test_of_another_run_does_not_fit(self, find, tomogram):
        assert fit(find("Point"), with_fields(tomogram, run_id=1)).kind == "other_alignment"

    def test_of_a_text_is_a_text(self, find, tomogram):
        found = fit(find("GlobalCaption"), tomogram)

        assert (found.kind, found.is_drawable, found.is_unaligned) == ("text", False, False)

    @pytest.mark.parametrize(
        ("shape", "file_format"),
        [("Mesh", "obj"), ("Hologram", "holo"), ("Point", "star"), ("SegmentationMask", "ndjson"), (None, "ndjson")],
    )
    def test_of_what_cannot_be_drawn_says_why(self, find, tomogram, shape, file_format):
        found = fit(with_shape(find("Point"), shape, format=file_format), tomogram)

        assert (found.kind, found.is_drawable) == ("not_drawable", False)
        assert found.reason

    def test_without_a_voxel_spacing_is_not_drawn(self, find, tomogram):
        file = with_fields(find("Point"), voxel_spacing=None)

        assert fit(file, tomogram).kind == "same"  # the tomogram's own spacing is the one that is named
        assert fit(with_fields(file, tomogram_voxel_spacing_id=1), tomogram).kind == "not_drawable"


class TestOutline:
    @pytest.fixture
    def outline(self, run_page, tomogram):
        return outline_run(run_page, tomogram)

    def test_leaves_no_annotation_and_no_file_out(self, run_page, outline):
        rows = list(outline.rows())

        assert {row.annotation.id for row in rows} == {annotation.id for annotation in run_page.annotations}
        assert sorted(file.id for row in rows for file in row.files) == sorted(
            file.id for file in run_page.annotation_files
        )

    def test_groups_what_fits_by_object(self, outline):
        assert outline.groups[0].object_name == "cytosolic ribosome"
        for group in outline.groups:
            assert {row.annotation.object_name for row in group.rows} == {group.object_name}
            assert all(row.fits for row in group.rows)

    def test_lists_other_alignments_apart_with_the_reason(self, find, outline):
        file = find("Point", aligned=False)
        (row,) = outline.other_alignment

        assert row.files == (file,)
        assert not row.fits
        assert f"AL-{file.alignment_id}" in row.reason
        assert row.shown_file == file  # if the user insists

    def test_turns_round_for_a_tomogram_of_the_other_alignment(self, run_page, find):
        file = find("Point", aligned=False)
        (other,) = (each for each in run_page.tomograms if each.alignment_id == file.alignment_id)
        outline = outline_run(run_page, other)

        assert [row.files for group in outline.groups for row in group.rows if row.files[0].id == file.id] == [(file,)]
        assert len(list(outline.other_alignment)) > 1

    def test_shows_a_mask_from_its_zarr_and_lists_every_format(self, outline):
        (row,) = (row for row in outline.rows() if row.shape.shape_type == "SegmentationMask")

        assert row.shown_file.format == "zarr"
        assert [file.format for file in row.files] == ["zarr", "mrc"]

    def test_opens_a_text_from_its_json(self, outline):
        (row,) = (row for row in outline.rows() if row.shape.shape_type == "GlobalCaption")

        assert row.shown_file is None
        assert row.caption_file.format == "json"
        assert row.fits

    def test_shows_what_the_curators_chose(self, run_page, outline):
        chosen = {file.annotation_shape_id for file in run_page.annotation_files if file.is_visualization_default}

        assert chosen
        assert {file.annotation_shape_id for file in outline.defaults()} == chosen

    def test_says_how_much_of_what(self, find, outline):
        file = find("OrientedPoint", ground_truth_status=True, object_name="ribosome")
        (row,) = (row for row in outline.rows() if file in row.files)

        assert str(file.shape.annotation.object_count) in row.summary
        assert "points" in row.summary

    def test_of_a_run_without_tomogram_lists_all_the_same(self, run_page):
        outline = outline_run(with_fields(run_page, tomograms=()), None)

        assert {row.annotation.id for row in outline.rows()} == {each.id for each in run_page.annotations}

    def test_lists_annotations_without_files_and_of_unknown_shapes(self, run_page, tomogram):
        files = tuple(file for file in run_page.annotation_files if file.shape.shape_type != "Mesh")
        rows = list(outline_run(with_fields(run_page, annotation_files=files), tomogram).rows())
        (row,) = (row for row in rows if row.shape is not None and row.shape.shape_type == "Mesh")

        assert (row.files, row.shown_file) == ((), None)
        assert "file" in row.reason
