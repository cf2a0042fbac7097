"""What can be compared, opened from records and files."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from napari_cryoet import Mask, compare, open_annotation, open_portal, report_text, write_mask, write_picks
from napari_cryoet.exceptions import ComparisonError, FormatError
from napari_cryoet.packs.demo.truth import scene_of_run
from napari_cryoet.picks import Picks


@pytest.fixture(scope="module")
def files(demo_pack):
    return {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}


def test_a_record_of_points_becomes_picks_that_know_their_place_and_origin(files):
    picks = open_annotation(files[9001])

    assert isinstance(picks, Picks)
    assert picks.alignment_id == 9001
    assert picks.about["annotation_file_id"] == 9001
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz("ribosome")[:, ::-1]
    np.testing.assert_allclose(picks.positions_angstrom_zyx, truth, atol=1e-6)


def test_both_files_of_a_mask_hold_the_same(files):
    zarr, mrc = open_annotation(files[9009]), open_annotation(files[9010])

    assert isinstance(zarr, Mask)
    assert zarr.shape_zyx == mrc.shape_zyx
    assert compare(zarr, mrc).dice == 1


def test_what_can_not_be_compared_says_why(files, tmp_path):
    with pytest.raises(FormatError, match="text about the whole tomogram"):
        open_annotation(files[9012])
    (tmp_path / "a.em").write_bytes(b"II*")
    with pytest.raises(FormatError, match="no file of picks"):
        open_annotation(tmp_path / "a.em")
    (tmp_path / "a.tif").write_bytes(b"II*")
    with pytest.raises(FormatError, match=r"a\.tif is no TIFF file, or a damaged one"):
        open_annotation(tmp_path / "a.tif")
    (tmp_path / "log.ndjson").write_text('{"type": "log"}\n')
    with pytest.raises(FormatError, match=r"None of the 1 lines of log\.ndjson is a point"):
        open_annotation(tmp_path / "log.ndjson")
    with pytest.raises(FormatError, match="can't be read"):
        open_annotation(tmp_path / "absent.ndjson")


def test_bare_files_have_the_spacing_that_somebody_gives_or_that_they_or_their_folders_say(tmp_path):
    folder = tmp_path / "VoxelSpacing13.480"
    folder.mkdir()
    line = '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n'
    for path in (folder / "a.ndjson", tmp_path / "a.ndjson"):
        path.write_text(line)
    mrcfile.write(tmp_path / "m.mrc", np.ones((3, 3, 3), np.int8), voxel_size=7.5)
    mrcfile.write(tmp_path / "uneven.mrc", np.ones((3, 3, 3), np.int8), voxel_size=(7.5, 7.5, 9))

    assert open_annotation(folder / "a.ndjson").spacing_angstrom == 13.48
    assert open_annotation(tmp_path / "a.ndjson").spacing_angstrom is None
    assert open_annotation(str(tmp_path / "a.ndjson"), spacing_angstrom=5).spacing_angstrom == 5
    assert open_annotation(tmp_path / "m.mrc").spacing_angstrom == 7.5
    with pytest.raises(ComparisonError, match="as wide along all axes"):
        open_annotation(tmp_path / "uneven.mrc")


def test_a_mask_whose_file_says_another_spacing_than_the_given_one_is_refused_unless_somebody_insists(tmp_path):
    mrcfile.write(tmp_path / "m.mrc", np.ones((3, 3, 3), np.int8), voxel_size=7.5)
    mrcfile.write(tmp_path / "uneven.mrc", np.ones((3, 3, 3), np.int8), voxel_size=(7.5, 7.5, 9))

    with pytest.raises(
        ComparisonError, match=r"m\.mrc says that its voxels are 7\.5 Å wide, and 5 Å was given.*insist"
    ):
        open_annotation(tmp_path / "m.mrc", spacing_angstrom=5)
    with pytest.raises(ComparisonError, match=r"9, 7\.5, 7\.5 Å wide"):
        open_annotation(tmp_path / "uneven.mrc", spacing_angstrom=7.5)
    assert "warnings" not in open_annotation(tmp_path / "m.mrc", spacing_angstrom=7.501).about  # rounded in the header
    mask = open_annotation(tmp_path / "m.mrc", spacing_angstrom=5, insist=True)
    assert mask.spacing_angstrom == 5
    assert mask.about["warnings"] == ["Its file says that voxels are 7.5 Å wide; 5 Å was taken."]


def test_the_folder_of_a_mask_counts_before_its_header_which_is_said(tmp_path):
    folder = tmp_path / "VoxelSpacing13.480"
    folder.mkdir()
    mrcfile.write(folder / "m.mrc", np.ones((3, 3, 3), np.int8), voxel_size=1)

    mask = open_annotation(folder / "m.mrc")
    assert mask.spacing_angstrom == 13.48
    assert mask.about["warnings"] == ["Its file says that voxels are 1 Å wide; 13.48 Å was taken."]
    assert open_annotation(folder / "m.mrc", spacing_angstrom=13.48).about["warnings"] == mask.about["warnings"]
    with pytest.raises(ComparisonError, match="1 Å wide, and 5 Å was given"):
        open_annotation(folder / "m.mrc", spacing_angstrom=5)


def test_picks_whose_file_says_their_spacing_stay_where_they_are(tmp_path):
    (tmp_path / "p.csv").write_text("x_voxel,y_voxel,z_voxel,voxel_spacing_angstrom\n1,2,3,5\n")

    picks = open_annotation(tmp_path / "p.csv", spacing_angstrom=10)
    assert picks.positions_angstrom_zyx.tolist() == [[15, 10, 5]]
    assert picks.spacing_angstrom == 5


@pytest.mark.parametrize(("given", "shape"), [(None, (9, 9, 9)), (5.001, (9, 9, 9)), (10, None)])
def test_the_size_of_the_volume_that_somebody_says_is_taken_in_the_grid_of_the_file(tmp_path, given, shape):
    (tmp_path / "p.csv").write_text("x_voxel,y_voxel,z_voxel,voxel_spacing_angstrom\n1,2,3,5\n")

    picks = open_annotation(tmp_path / "p.csv", spacing_angstrom=given, shape_zyx=(9, 9, 9))
    assert (picks.spacing_angstrom, picks.shape_zyx) == (5, shape)


def test_files_of_other_programs_are_picks_too(tmp_path):
    (tmp_path / "p.csv").write_text("x_voxel,y_voxel,z_voxel\n1,2,3\n")

    assert open_annotation(tmp_path / "p.csv", spacing_angstrom=10).points_zyx.tolist() == [[3, 2, 1]]


def test_a_file_of_ones_own_is_called_by_its_name_and_not_by_what_it_was_exported_from(files, tmp_path):
    truth = open_annotation(files[9001])
    write_picks(truth.take(np.arange(40), "kept 40").changed(shape_zyx=(50, 50, 50)), tmp_path / "kept.star")

    found = compare(open_annotation(tmp_path / "kept.star", shape_zyx=(50, 50, 50)), truth, radius_angstrom=1)

    assert "A (kept.star) against B (DEMO_001 · cytosolic ribosome · AN-9001)" in report_text(found)
    assert found.scores.true_positives == 40


def test_a_label_image_within_an_image_is_a_mask_whatever_its_folder_is_called(tmp_path):
    labels = np.ones((4, 5, 6), np.uint8)
    write_mask(labels, tmp_path / "a.zarr", spacing_angstrom=10)
    (tmp_path / "image.zarr" / "labels").mkdir(parents=True)
    (tmp_path / "a.zarr").rename(tmp_path / "image.zarr" / "labels" / "membrane")

    found = open_annotation(tmp_path / "image.zarr" / "labels" / "membrane")
    assert isinstance(found, Mask)
    assert (found.shape_zyx, found.spacing_angstrom) == ((4, 5, 6), 10.0)


def test_an_address_that_is_none_is_named():
    with pytest.raises(FormatError, match=r"'http://\[bad/x\.ndjson' isn't a web address"):
        open_annotation("http://[bad/x.ndjson")
