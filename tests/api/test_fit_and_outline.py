"""Which annotations fit a tomogram, and the rows of a run's page."""

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

        assert fit(find("Point"), with_fields(tomogram, run_id=1)).kind == "other_alignment"

    def test_on_an_unknown_alignment_does_not_fit_but_can_be_drawn(self, find, tomogram):
        for of_file, of_tomogram in ((None, 17), (17, None), (None, None)):
            file, other = (
                with_fields(find("Point"), alignment_id=of_file),
                with_fields(tomogram, alignment_id=of_tomogram),
            )
            found = fit(file, other)
            assert (found.kind, found.fits, found.is_drawable) == ("unknown_alignment", False, True)
            assert found.reason

    def test_of_what_cannot_be_drawn_says_why(self, find, tomogram):
        file = find("Point")
        for shape, file_format in (("Mesh", "obj"), ("Hologram", "holo"), ("Point", "star"), (None, "ndjson")):
            found = fit(with_shape(file, shape, format=file_format), tomogram)
            assert (found.kind, found.is_drawable) == ("not_drawable", False)
            assert found.reason
        without = with_fields(file, voxel_spacing=None)
        assert fit(without, tomogram).kind == "same"  # the message names the tomogram's own spacing
        assert fit(with_fields(without, tomogram_voxel_spacing_id=1), tomogram).kind == "not_drawable"
        assert fit(find("GlobalCaption"), tomogram).kind == "text"


class TestOutline:
    @pytest.fixture
    def outline(self, run_page, tomogram):
        return outline_run(run_page, tomogram)

    def test_leaves_no_annotation_and_no_file_out(self, run_page, outline):
        rows = list(outline.rows())
        without_tomogram = outline_run(with_fields(run_page, tomograms=()), None)

        assert {row.annotation.id for row in rows} == {each.id for each in run_page.annotations}
        files = sorted(file.id for row in rows for file in row.files)
        assert files == sorted(file.id for file in run_page.annotation_files)
        assert {row.annotation.id for row in without_tomogram.rows()} == {row.annotation.id for row in rows}

    def test_groups_what_fits_by_object(self, outline):
        assert outline.groups[0].object_name == "cytosolic ribosome"
        for group in outline.groups:
            assert {row.annotation.object_name for row in group.rows} == {group.object_name}
            assert all(row.fits for row in group.rows)

    def test_lists_other_alignments_apart_with_the_reason(self, run_page, find, outline):
        file = find("Point", aligned=False)
        (row,) = outline.other_alignment
        (tomogram,) = (each for each in run_page.tomograms if each.alignment_id == file.alignment_id)
        turned = outline_run(run_page, tomogram)

        assert (row.files, row.fits) == ((file,), False)
        assert f"AL-{file.alignment_id}" in row.reason
        assert row.shown_file == file  # if the user insists
        assert any(file in row.files for group in turned.groups for row in group.rows)
        assert len(list(turned.other_alignment)) > 1

    def test_shows_a_mask_from_its_zarr_and_a_text_from_its_json(self, outline):
        rows = {row.shape.shape_type: row for row in outline.rows()}
        mask, text = rows["SegmentationMask"], rows["GlobalCaption"]

        assert (mask.shown_file.format, [file.format for file in mask.files]) == ("zarr", ["zarr", "mrc"])
        assert (text.shown_file, text.caption_file.format, text.fits) == (None, "json", True)

    def test_shows_what_the_curators_chose(self, run_page, outline):
        chosen = {file.annotation_shape_id for file in run_page.annotation_files if file.is_visualization_default}

        assert chosen
        assert {file.annotation_shape_id for file in outline.defaults()} == chosen

    def test_says_how_much_of_what(self, find, outline):
        file = find("OrientedPoint", ground_truth_status=True, object_name="ribosome")
        (row,) = (row for row in outline.rows() if file in row.files)

        assert str(file.shape.annotation.object_count) in row.summary
        assert "oriented" in row.summary

    def test_lists_annotations_without_files(self, run_page, tomogram):
        files = tuple(file for file in run_page.annotation_files if file.shape.shape_type != "Mesh")
        rows = outline_run(with_fields(run_page, annotation_files=files), tomogram).rows()
        (row,) = (row for row in rows if row.shape.shape_type == "Mesh")

        assert (row.files, row.shown_file) == ((), None)
        assert "file" in row.reason
