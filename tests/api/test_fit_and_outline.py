"""Which annotations fit a tomogram, and the rows of a run's page."""

from __future__ import annotations

import pytest

from api.files import with_fields
from napari_cryoet import Fit, fit
from napari_cryoet.runs.outline import outline_run


def with_shape(file, shape_type, **fields):
    return with_fields(file, shape=with_fields(file.shape, shape_type=shape_type), **fields)


class TestFit:
    def test_is_same_for_the_same_alignment_and_spacing(self, find, tomogram):
        for shape in ("Point", "OrientedPoint", "InstanceSegmentation", "SegmentationMask", "Mesh"):
            match = fit(find(shape), tomogram)
            assert isinstance(match, Fit)
            assert (match.kind, match.reason, match.fits, match.is_drawable) == (
                "same",
                "",
                True,
                True,
            ), shape

    def test_is_rescaled_for_another_spacing(self, find, tomogram):
        file = find("InstanceSegmentationMask")
        match = fit(file, tomogram)

        assert (match.kind, match.fits, match.is_unaligned) == ("rescaled", True, False)
        for spacing in (file.voxel_spacing.voxel_spacing, tomogram.voxel_spacing):
            assert f"{spacing:g}" in match.reason

    def test_other_alignments_do_not_fit_but_can_be_drawn(self, find, tomogram):
        file = find("Point", aligned=False)
        match = fit(file, tomogram)

        assert (match.kind, match.fits, match.is_drawable, match.is_unaligned) == (
            "other_alignment",
            False,
            True,
            True,
        )
        assert f"AL-{file.alignment_id}" in match.reason

        assert fit(find("Point"), with_fields(tomogram, run_id=1)).kind == "other_alignment"

    def test_unknown_alignments_do_not_fit_but_can_be_drawn(self, find, tomogram):
        for file_alignment, tomogram_alignment in ((None, 17), (17, None), (None, None)):
            file, other = (
                with_fields(find("Point"), alignment_id=file_alignment),
                with_fields(tomogram, alignment_id=tomogram_alignment),
            )
            match = fit(file, other)
            assert (match.kind, match.fits, match.is_drawable) == ("unknown_alignment", False, True)
            assert match.reason

    def test_gives_a_reason_if_a_file_cannot_be_drawn(self, find, tomogram):
        file = find("Point")
        for shape, file_format in (
            ("Mesh", "obj"),
            ("Hologram", "holo"),
            ("Point", "star"),
            (None, "ndjson"),
        ):
            match = fit(with_shape(file, shape, format=file_format), tomogram)
            assert (match.kind, match.is_drawable) == ("not_drawable", False)
            assert match.reason
        without = with_fields(file, voxel_spacing=None)
        assert fit(without, tomogram).kind == "same"  # the message names the tomogram's own spacing
        assert (
            fit(with_fields(without, tomogram_voxel_spacing_id=1), tomogram).kind == "not_drawable"
        )
        assert fit(find("GlobalCaption"), tomogram).kind == "text"


class TestOutline:
    @pytest.fixture
    def outline(self, run_page, tomogram):
        return outline_run(run_page, tomogram)

    def test_has_every_annotation_and_file(self, run_page, outline):
        rows = list(outline.rows())
        without_tomogram = outline_run(with_fields(run_page, tomograms=()), None)

        assert {row.annotation.id for row in rows} == {each.id for each in run_page.annotations}
        files = sorted(file.id for row in rows for file in row.files)
        assert files == sorted(file.id for file in run_page.annotation_files)
        assert {row.annotation.id for row in without_tomogram.rows()} == {
            row.annotation.id for row in rows
        }

    def test_groups_fitting_annotations_by_object(self, outline):
        assert outline.groups[0].object_name == "cytosolic ribosome"
        for group in outline.groups:
            assert {row.annotation.object_name for row in group.rows} == {group.object_name}
            assert all(row.fits for row in group.rows)

    def test_lists_other_alignments_separately_with_a_reason(self, run_page, find, outline):
        file = find("Point", aligned=False)
        (row,) = outline.other_alignment
        (tomogram,) = (
            each for each in run_page.tomograms if each.alignment_id == file.alignment_id
        )
        turned = outline_run(run_page, tomogram)

        assert (row.files, row.fits) == ((file,), False)
        assert f"AL-{file.alignment_id}" in row.reason
        assert row.shown_file == file  # if the user insists
        assert any(file in row.files for group in turned.groups for row in group.rows)
        assert len(list(turned.other_alignment)) > 1

    def test_shows_masks_from_zarr_and_captions_from_json(self, outline):
        rows = {row.shape.shape_type: row for row in outline.rows()}
        mask, text = rows["SegmentationMask"], rows["GlobalCaption"]

        assert (mask.shown_file.format, [file.format for file in mask.files]) == (
            "zarr",
            ["zarr", "mrc"],
        )
        assert (text.shown_file, text.caption_file.format, text.fits) == (None, "json", True)

    def test_defaults_are_the_curators_choice(self, run_page, outline):
        chosen = {
            file.annotation_shape_id
            for file in run_page.annotation_files
            if file.is_visualization_default
        }

        assert chosen
        assert {file.annotation_shape_id for file in outline.defaults()} == chosen

    def test_summary_has_the_count_and_shape(self, find, outline):
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
