"""Opening annotations to compare from records, ids and files."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from napari_cryoet import (
    ComparisonError,
    Mask,
    NotFoundError,
    compare,
    open_annotation,
    open_portal,
    write_mask,
    write_picks,
)
from napari_cryoet.comparison.inputs import ANNOTATION_ID, named_file

POINT = '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n'


@pytest.fixture(scope="module")
def portal(demo_pack):
    return open_portal(demo_pack)


@pytest.fixture(scope="module")
def files(portal):
    return {file.id: file for file in portal.run_page(9001).annotation_files}


@pytest.fixture
def portal_folder(tmp_path):
    folder = tmp_path / "VoxelSpacing13.480"
    folder.mkdir()
    return folder


class TestFiles:
    def test_spacing_comes_from_the_argument_file_or_folder(self, tmp_path, portal_folder):
        for path in (portal_folder / "a.ndjson", tmp_path / "a.ndjson"):
            path.write_text(POINT)
        mrcfile.write(tmp_path / "m.mrc", np.ones((3, 3, 3), np.int8), voxel_size=7.5)
        (tmp_path / "p.csv").write_text("x_voxel,y_voxel,z_voxel,voxel_spacing_angstrom\n1,2,3,5\n")

        assert open_annotation(portal_folder / "a.ndjson").spacing_angstrom == 13.48
        assert open_annotation(tmp_path / "a.ndjson").spacing_angstrom is None
        assert open_annotation(tmp_path / "a.ndjson", spacing_angstrom=10).points_zyx.tolist() == [
            [3, 2, 1]
        ]
        assert open_annotation(tmp_path / "m.mrc").spacing_angstrom == 7.5
        assert open_annotation(
            tmp_path / "p.csv", spacing_angstrom=10
        ).positions_angstrom_zyx.tolist() == [[15, 10, 5]]

    def test_conflicting_mask_spacings_require_the_folder_or_insist(self, tmp_path, portal_folder):
        mrcfile.write(tmp_path / "m.mrc", np.ones((3, 3, 3), np.int8), voxel_size=7.5)
        mrcfile.write(
            tmp_path / "uneven.mrc", np.ones((3, 3, 3), np.int8), voxel_size=(7.5, 7.5, 9)
        )

        for name, given in (("m.mrc", 5), ("uneven.mrc", 7.5), ("uneven.mrc", None)):
            with pytest.raises(ComparisonError, match=name):
                open_annotation(tmp_path / name, spacing_angstrom=given)
        assert not open_annotation(
            tmp_path / "m.mrc", spacing_angstrom=7.501
        ).about.warnings  # rounded
        mask = open_annotation(tmp_path / "m.mrc", spacing_angstrom=5, insist=True)
        assert (mask.spacing_angstrom, len(mask.about.warnings)) == (5, 1)
        in_folder = open_annotation((tmp_path / "m.mrc").rename(portal_folder / "m.mrc"))
        assert (in_folder.spacing_angstrom, len(in_folder.about.warnings)) == (13.48, 1)

    def test_reports_name_the_file_and_not_its_source(self, files, tmp_path):
        truth = open_annotation(files[9001])
        write_picks(
            truth.take(np.arange(40), "kept 40").changed(shape_zyx=(50, 50, 50)),
            tmp_path / "kept.star",
        )
        result = compare(
            open_annotation(tmp_path / "kept.star", shape_zyx=(50, 50, 50)),
            truth,
            radius_angstrom=1,
        )

        assert "kept.star" in result.text
        assert result.scores.true_positives == 40

    def test_ome_zarr_label_images_open_as_masks(self, tmp_path):
        write_mask(np.ones((4, 5, 6), np.uint8), tmp_path / "a.zarr", spacing_angstrom=10)
        (tmp_path / "image.zarr" / "labels").mkdir(parents=True)
        result = open_annotation(
            (tmp_path / "a.zarr").rename(tmp_path / "image.zarr" / "labels" / "membrane")
        )

        assert isinstance(result, Mask)
        assert (result.shape_zyx, result.spacing_angstrom) == ((4, 5, 6), 10.0)


class TestIds:
    def test_ids_of_annotations_and_files_are_resolved(self, portal):
        assert named_file(portal, "AF-9004") == named_file(portal, "an-9003")
        assert named_file(portal, "AF-9004").shape.annotation.id == 9003
        assert (
            named_file(portal, "AN-9010").format == "zarr"
        )  # one of two formats of the same content
        assert ANNOTATION_ID.fullmatch("AN-12")
        assert not any(
            map(ANNOTATION_ID.fullmatch, ("AN-9004.star", "AL-12", "12", "AN-12345678901"))
        )

    def test_ambiguous_and_unknown_ids_are_refused(self, portal):
        with pytest.raises(ComparisonError, match="AF-9001") as raised:
            named_file(portal, "AN-9001")
        assert "AF-9002" in str(raised.value)

        for text in ("AN-424242", "AF-424242"):
            with pytest.raises(NotFoundError, match="424242"):
                named_file(portal, text)
