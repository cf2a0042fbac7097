"""STAR files as RELION and its neighbours write them, with answers worked out by hand from RELION's source."""

import numpy as np
import pytest
import starfile

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.exchange import Context
from napari_cryoet.formats.star import read_star
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.pick_formats import losses
from napari_cryoet.picks import Picks
from napari_cryoet.picks.history import what_changed

OPTICS = """
# version 50001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnTomoTiltSeriesPixelSize #3
 1 opticsGroup1 2.0
 2 opticsGroup2 4.0

"""
GRID = Context(8.0, (50, 100, 200))


def star(folder, labels, *rows, before=OPTICS, block="particles"):
    lines = [before, f"data_{block}", "", "loop_", *[f"_{label} #{n}" for n, label in enumerate(labels.split(), 1)]]
    path = folder / "particles.star"
    path.write_text("\n".join([*lines, *rows, ""]))
    return path


def read(path, context=Context()):  # noqa: B008 - frozen
    return read_star(path, context)


PIXELS = "rlnTomoName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOpticsGroup"
CENTRED = "rlnTomoName rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst"


def test_relion_4_counts_in_pixels_of_the_unbinned_tilt_series_from_0(tmp_path):
    path = star(tmp_path, PIXELS, "TS_1 10 20 30.5 1")

    assert read(path).points_zyx.tolist() == [[30.5, 20, 10]]
    assert read(path).spacing_angstrom == 2.0
    assert read(path, GRID).points_zyx.tolist() == [[30.5 / 4, 5, 2.5]]
    assert read(path, GRID).shape_zyx == (50, 100, 200)


def test_blocks_that_say_nothing_of_particles_are_named_as_left_out(tmp_path):
    before = "data_model\n_rlnX 1\n\ndata_general\nloop_\n_rlnY\n1\n2\n\ndata_\n_rlnZ 1\n" + OPTICS
    path = star(tmp_path, PIXELS, "TS_1 10 20 30 1", before=before)
    path.write_text(path.read_text() + OPTICS)

    (said,) = read(path).about["warnings"]
    assert said == "What its other blocks say was left out: model, general, one without a name, optics."
    assert read(star(tmp_path, PIXELS, "TS_1 10 20 30 1")).about["warnings"] == []


def test_columns_of_places_along_some_axes_only_are_named_as_left_out(tmp_path):
    labels = f"{PIXELS} rlnCenteredCoordinateXAngst rlnTomoSizeY rlnTomoSizeZ"
    (said,) = read(star(tmp_path, labels, "TS_1 10 20 30 1 5 6 7")).about["warnings"]

    assert said == (
        "Columns of places along some axes only were left out: rlnCenteredCoordinateXAngst, rlnTomoSizeY, rlnTomoSizeZ."
    )


def test_a_size_that_isnt_the_files_own_is_told(tmp_path):
    labels = f"{CENTRED} rlnOpticsGroup rlnTomoSizeX rlnTomoSizeY rlnTomoSizeZ"
    path = star(tmp_path, labels, "TS_1 0 0 0 1 801 399 200")

    assert read(path).points_xyz.tolist() == [[400.5, 199.5, 100]]
    assert read(path, GRID).about["warnings"] == []  # 200 x 100 x 50 voxels of 8 Å
    (said,) = read(path, Context(8.0, (50, 103, 200))).about["warnings"]
    assert "another size by the file's own rlnTomoSizeX, rlnTomoSizeY, rlnTomoSizeZ" in said


def test_optics_groups_without_a_table_of_them_stay_a_column_and_their_loss_is_said(tmp_path):
    picks = read(star(tmp_path, PIXELS, "TS_1 1 2 3 1", "TS_1 1 2 3 2", before=""))

    assert picks.features["rlnOpticsGroup"].tolist() == [1, 2]
    assert any("Nothing says what their optics groups" in said for said in losses(picks, "relion3"))
    assert not read(star(tmp_path, PIXELS, "TS_1 1 2 3 1", before="")).features


def test_ids_that_another_program_wrote_as_reals_or_left_out_are_read(tmp_path):
    labels = f"{PIXELS} napariCryoetInstanceId napariCryoetPickId napariCryoetIsOriented rlnAngleTilt"
    picks = read(star(tmp_path, labels, "TS_1 1 2 3 1 2.0 7.000000 1.0 9", "TS_1 1 2 3 1 <NA> 8.000000 <NA> 9"))

    assert picks.instance_ids.tolist() == [2, -1]
    assert picks.ids.tolist() == [7, 8]
    assert picks.are_oriented.tolist() == [True, True]


def test_every_optics_group_has_pixels_of_its_own(tmp_path):
    path = star(tmp_path, PIXELS, "TS_1 10 20 30 1", "TS_1 10 20 30 2")

    assert read(path, GRID).points_zyx.tolist() == [[7.5, 5, 2.5], [15, 10, 5]]


def test_relion_5_counts_in_angstrom_from_half_the_tomograms_size(tmp_path):
    path = star(tmp_path, CENTRED, "TS_1 -800 0 4")

    found = read(path, GRID)
    assert found.points_zyx.tolist() == [[25.5, 50, 0]]
    assert found.spacing_angstrom == 8.0


def test_what_relion_5_extracts_of_particles_in_pixels_lies_where_they_lay(tmp_path):
    # ParticleSet::setParticleCoordDecenteredPixel: minus half the size, then times the width of a pixel
    sizes_xyz, pixels_xyz = np.array([401, 302, 99]), np.array([10.0, 301.5, 98.0])
    centred = " ".join(map(str, (pixels_xyz - sizes_xyz / 2) * 2.0))
    grid = Context(2.0, (99, 302, 401))
    of_warp = read(star(tmp_path, PIXELS, "TS_1.tomostar 10 301.5 98 1"), grid)

    assert read(star(tmp_path, CENTRED, f"TS_1.tomostar {centred}"), grid).points_xyz.tolist() == [[10, 301.5, 98]]
    assert of_warp.points_xyz.tolist() == [[10, 301.5, 98]]


def test_a_centre_that_nobody_knows_is_asked_for_by_name(tmp_path):
    path = star(tmp_path, CENTRED, "TS_1 -800 0 4")

    for context, missing in [
        (Context(), ("spacing_angstrom", "shape_zyx")),
        (Context(8.0), ("shape_zyx",)),
        (Context(shape_zyx=(1, 2, 3)), ("spacing_angstrom",)),
    ]:
        with pytest.raises(MissingContextError, match="how large the tomogram is") as raised:
            read(path, context)
        assert raised.value.missing == missing


def test_a_file_that_has_the_tomograms_size_needs_no_help(tmp_path):
    labels = f"{CENTRED} rlnTomoSizeX rlnTomoSizeY rlnTomoSizeZ rlnTomoTiltSeriesPixelSize"
    path = star(tmp_path, labels, "TS_1 -100 0 4 100 60 40 2.0", before="")

    assert read(path).points_zyx.tolist() == [[22, 30, 0]]


BOTH = f"{PIXELS} rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst"
SIZES = "rlnTomoSizeX rlnTomoSizeY rlnTomoSizeZ"


def test_positions_in_pixels_and_in_angstrom_that_contradict_each_other_are_refused_by_row(tmp_path):
    right, wrong = "TS_1 10 20 30.5 2 -60 -40 22 50 60 50", "TS_1 10 20 30 2 -60 -40 22 50 60 50"
    path = star(tmp_path, f"{BOTH} {SIZES}", right, "TS_2 10 20 30 1 -30 -20 11 50 60 49", right)
    assert read(path, Context(tomogram="TS_1")).points_zyx.tolist() == [[30.5, 20, 10]] * 2

    path = star(tmp_path, f"{BOTH} {SIZES}", "TS_2 10 20 30 1 -30 -20 11 50 60 49", right, wrong)
    with pytest.raises(FormatError) as raised:
        read(path, Context(tomogram="TS_1"))
    assert raised.value.message == (
        "particles.star, row 3: rlnCoordinateZ 30 at 4 Å a pixel and rlnCenteredCoordinateZAngst 22 aren't the same "
        "place."
    )


def test_positions_in_pixels_and_in_angstrom_are_the_same_but_for_what_rounding_does(tmp_path):
    # 403 pixels of 2 Å are 806 Å; the volume, binned by four, has 100 voxels of 8 Å along y
    path = star(tmp_path, BOTH, "TS_1 100.04 300 30 1 -600 197 -140")
    assert read(path, GRID).points_zyx.tolist() == [[7.5, 74.625, 25]]

    path = star(tmp_path, BOTH, "TS_1 100.04 300 30 1 -600 195 -140")
    with pytest.raises(FormatError, match=r"row 1: rlnCoordinateY 300 .* 50 x 100 x 200 voxels \(z, y, x\) of 8 Å"):
        read(path, GRID)


def test_positions_in_pixels_of_no_width_say_nothing_beside_those_in_angstrom(tmp_path):
    path = star(tmp_path, BOTH.replace(" rlnOpticsGroup", ""), "TS_1 1 2 3 -800 0 4", before="")
    found = read(path, GRID)

    assert found.points_zyx.tolist() == [[25.5, 50, 0]]
    assert "in pixels were left out" in found.about["warnings"][0]


def test_shifts_are_subtracted_and_are_in_angstrom(tmp_path):
    path = star(tmp_path, f"{PIXELS} rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst", "TS_1 10 20 30 1 4 -2 1")

    assert read(path).points_zyx.tolist() == [[29.5, 21, 8]]


def test_shifts_are_turned_by_the_subtomograms_own_rotation_first(tmp_path):
    shifts = "rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst"
    angles = "rlnTomoSubtomogramRot rlnTomoSubtomogramTilt rlnTomoSubtomogramPsi"
    path = star(tmp_path, f"{PIXELS} {shifts} {angles}", "TS_1 10 20 30 1 2 0 0 90 0 0")

    # A(90, 0, 0) takes x to -y, so the particle lies one pixel further along y
    np.testing.assert_allclose(read(path).points_zyx, [[30, 21, 10]])


def test_the_subtomograms_rotation_comes_after_the_particles(tmp_path):
    angles = "rlnTomoSubtomogramRot rlnTomoSubtomogramTilt rlnTomoSubtomogramPsi rlnAngleRot rlnAngleTilt rlnAnglePsi"
    path = star(tmp_path, f"{PIXELS} {angles}", "TS_1 1 2 3 1  90 0 0  0 90 0")

    # the particle's z goes to -x by (0, 90, 0), and -x to y by (90, 0, 0)
    np.testing.assert_allclose(read(path).particle_axes_zyx(2), [[0, 1, 0]], atol=1e-12)


class TestImages:
    """Where the images of particles were cut out stays with the picks, so that RELION can go on with these images."""

    labels = (
        f"{PIXELS} rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst rlnTomoSubtomogramRot rlnTomoSubtomogramTilt "
        "rlnTomoSubtomogramPsi rlnAngleRot rlnAngleTilt rlnAnglePsi rlnAngleTiltPrior rlnImageName"
    )
    rows = (
        "TS_1 10 20 30 1  6 -4 2  90 45 20  10 80 30  90 a.mrcs",
        "TS_1 40 50 60 1  0 0 1  0 0 0  70 60 50  90 b.mrcs",
    )

    @pytest.mark.parametrize("name", ["relion4", "relion5"])
    def test_relion_gets_places_shifts_and_angles_back_as_they_were(self, tmp_path, name):
        source = star(tmp_path, self.labels, *self.rows)
        picks = read_picks(source, spacing_angstrom=8.0, shape_zyx=(50, 100, 200))
        made = write_picks(picks, tmp_path / "again.star", format=name).path
        before, after = (starfile.read(path)["particles"] for path in (source, made))

        same = [label for label in self.labels.split() if label in after]
        assert set(self.labels.split()) - set(same) == ({*PIXELS.split()[1:4]} if name == "relion5" else set())
        for label in same:
            if before[label].dtype.kind in "if":
                np.testing.assert_allclose(after[label], before[label], atol=1e-9, err_msg=label)
            else:
                assert after[label].tolist() == before[label].tolist()
        found = read_picks(made)
        np.testing.assert_allclose(found.points_zyx, picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(found.rotations_zyx, picks.rotations_zyx, atol=1e-9)
        assert {label: column.tolist() for label, column in found.features.items()} == {
            label: column.tolist() for label, column in picks.features.items()
        }

    @pytest.mark.parametrize("name", ["relion3", "relion4", "relion5"])
    @pytest.mark.parametrize("is_by_way_of_a_table", [False, True])
    def test_that_a_moved_pick_keeps_the_image_of_its_old_place_is_said(self, tmp_path, name, is_by_way_of_a_table):
        picks = read_picks(star(tmp_path, self.labels, *self.rows), spacing_angstrom=8.0, shape_zyx=(50, 100, 200))
        there = picks.points_zyx + 1
        moved = picks.changed(what_changed(picks, picks.changed(points_zyx=there)), points_zyx=there)
        if is_by_way_of_a_table:
            moved = read_picks(write_picks(moved, tmp_path / "between.csv").path)

        said = "Picks that were moved keep the image (rlnImageName) that was cut out around their old place"
        assert [loss.startswith(said) for loss in losses(moved, name)].count(True) == 1
        assert not any(said in loss for loss in losses(picks, name))
        without = {label: column for label, column in moved.features.items() if label != "rlnImageName"}
        assert not any(said in loss for loss in losses(moved.changed(features=without), name))

    def test_a_pick_that_was_added_has_no_image_beside_it(self, tmp_path):
        picks = read_picks(star(tmp_path, self.labels, *self.rows), spacing_angstrom=8.0)
        written = write_picks(picks.added([[1.0, 2.0, 3.0]]), tmp_path / "again.star", format="relion4")
        made = written.path

        assert "1 of the picks have no image" in written.losses[-1]
        assert not any("no image" in loss for loss in losses(picks, "relion4"))
        assert starfile.read(made)["particles"]["rlnOriginXAngst"].tolist() == [6, 0, 0]
        np.testing.assert_allclose(read_picks(made).points_zyx[:2], picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(read_picks(made).points_zyx[2], [1, 2, 3], atol=1e-9)
        assert np.isnan(read_picks(made).rotations_zyx[2]).all()

    def test_relion_3_knows_no_turned_images_so_the_particle_is_where_it_is(self, tmp_path):
        picks = read_picks(star(tmp_path, self.labels, *self.rows), spacing_angstrom=8.0)
        made = write_picks(picks, tmp_path / "again.star", format="relion3").path

        assert not {"rlnTomoSubtomogramRot", "rlnOriginXAngst", "rlnAngleTiltPrior"} & set(
            starfile.read(made)["particles"]
        )
        found = read_picks(made, spacing_angstrom=8.0)
        np.testing.assert_allclose(found.points_zyx, picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(found.rotations_zyx, picks.rotations_zyx, atol=1e-9)
        assert found.features["rlnOriginXAngst"].tolist() == [6, 0]

    def test_what_a_file_cant_tell_relion_of_images_is_said_before(self, tmp_path):
        picks = read_picks(star(tmp_path, self.labels, *self.rows), spacing_angstrom=8.0, shape_zyx=(50, 100, 200))

        (said,) = [loss for loss in losses(picks, "relion3") if "images" in loss]
        assert "rlnOriginXAngst" in said
        assert "rlnTomoSubtomogramRot" in said
        assert "extract the particles anew" in said
        assert not [loss for name in ("relion4", "relion5") for loss in losses(picks, name) if "images" in loss]
        unturned = picks.changed(rotations_zyx=None)
        assert [loss for loss in losses(unturned, "relion4") if "images" in loss] == [said]
        straight = {name: np.zeros(2) for name in picks.features if name.startswith(("rlnOrigin", "rlnTomoSub"))}
        assert not [
            loss for loss in losses(picks.changed(features=picks.features | straight), "relion3") if "images" in loss
        ]

    def test_shifts_of_relion_3_0_are_kept_as_later_versions_have_them(self, tmp_path):
        labels = (
            "rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginX rlnOriginY rlnOriginZ "
            "rlnMagnification rlnDetectorPixelSize rlnImageName"
        )
        rows = ("TS_1 10 20 30 3 0 -2 20000 5 a.mrc", "TS_1 40 50 60 0 0 0 20000 5 b.mrc")
        picks = read_picks(star(tmp_path, labels, *rows, before="", block=""), spacing_angstrom=2.0)
        made = write_picks(picks, tmp_path / "again.star", format="relion3").path
        written = starfile.read(made)["particles"]

        np.testing.assert_allclose(picks.points_zyx, [[32.5, 20, 6.25], [60, 50, 40]])
        assert written[["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"]].values.tolist() == [
            [7.5, 0, -5],
            [0, 0, 0],
        ]
        np.testing.assert_allclose(written["rlnCoordinateX"], [10, 40], atol=1e-9)
        np.testing.assert_allclose(read_picks(made).points_zyx, picks.points_zyx, atol=1e-9)

    def test_no_shift_at_all_needs_no_voxel_spacing(self, tmp_path):
        labels = "rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginXAngst"
        picks = read_picks(star(tmp_path, labels, "TS_1 10 20 30 0.0"))
        made = write_picks(picks, tmp_path / "again.star").path

        assert picks.spacing_angstrom is None
        assert starfile.read(made)["particles"]["rlnOriginXAngst"].tolist() == [0]

    @pytest.mark.parametrize("column", [["a", "b"], [np.nan, np.nan], [np.inf, 3.0], [2**60, 1]])
    def test_a_column_that_is_only_called_like_a_shift_moves_nothing(self, tmp_path, column):
        picks = Picks([[1.0, 2, 3], [4, 5, 6]], 8.0, features={"rlnOriginXAngst": np.array(column)})
        found = read_picks(write_picks(picks, tmp_path / "a.star").path)

        np.testing.assert_allclose(found.points_zyx, picks.points_zyx, atol=1e-9)


def test_a_file_without_angles_has_no_rotations(tmp_path):
    assert read(star(tmp_path, PIXELS, "TS_1 1 2 3 1")).rotations_zyx is None


def test_relion_3_1_counts_in_pixels_of_whatever_the_tomogram_was(tmp_path):
    path = star(tmp_path, "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnMicrographName", "1 2 3 a.mrc", before="")

    assert read(path).spacing_angstrom is None
    assert read(path, Context(13.48)).spacing_angstrom == 13.48
    assert read(path, Context(13.48)).points_zyx.tolist() == [[3, 2, 1]]
    assert read(path).about["tomogram_name"] == "a.mrc"


@pytest.mark.parametrize(
    ("labels", "values"), [("rlnImagePixelSize", "10.0"), ("rlnMagnification rlnDetectorPixelSize", "10000 10.0")]
)
def test_the_particle_images_pixel_size_is_told_and_not_taken(tmp_path, labels, values):
    labels = f"rlnCoordinateX rlnCoordinateY rlnCoordinateZ {labels}"
    found = read(star(tmp_path, labels, f"1 2 3 {values}", before=""))

    assert found.spacing_angstrom is None
    (said,) = found.about["warnings"]
    assert said.startswith("The file gives 10 Å as the pixel size of the particles' own images")
    assert "need not be the tomogram's" in said


@pytest.mark.parametrize(("labels", "is_told"), [("", True), (" rlnMagnification", False)])
def test_pytoms_pixel_size_of_the_tomogram_is_told_and_not_taken(tmp_path, labels, is_told):
    columns = f"rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnLCCmax rlnDetectorPixelSize{labels}"
    found = read(star(tmp_path, columns, f"TS_1 10 20 30 0.5 13.79{' 10000' if labels else ''}", before=""))

    assert found.spacing_angstrom is None
    told = [said for said in found.about["warnings"] if "pytom-match-pick" in said and "13.79" in said]
    assert len(told) == is_told
    if is_told:
        odd = read(star(tmp_path, columns, "TS_1 10 20 30 0.5 wide", before=""))
        assert odd.about["warnings"] == []


@pytest.mark.parametrize(
    ("tomogram", "image_pixel", "is_told"),
    [("TS_17.tomostar", 4.0, True), ("TS_17.tomostar", 2.0, False), ("TS_17", 4.0, False)],
)
def test_warps_tomograms_may_count_in_pixels_of_the_images_and_that_is_told(tmp_path, tomogram, image_pixel, is_told):
    optics = OPTICS.replace("_rlnTomoTiltSeriesPixelSize #3", "_rlnTomoTiltSeriesPixelSize #3\n_rlnImagePixelSize #4")
    optics = optics.replace("Group1 2.0", f"Group1 2.0 {image_pixel}").replace("Group2 4.0", "Group2 4.0 4.0")
    found = read(star(tmp_path, PIXELS, f"{tomogram} 10 20 30 1", before=optics))

    assert found.points_zyx.tolist() == [[30, 20, 10]]
    assert found.spacing_angstrom == 2.0
    told = [warning for warning in found.about["warnings"] if "WarpTools" in warning]
    assert len(told) == is_told
    assert all("pixels of the particles' images (4 Å)" in warning and "2 Å" in warning for warning in told)


def test_a_tomogram_of_warps_in_a_file_of_ours_is_no_doubt_about_its_pixels(tmp_path):
    optics = OPTICS.replace("_rlnTomoTiltSeriesPixelSize #3", "_rlnTomoTiltSeriesPixelSize #3\n_rlnImagePixelSize #4")
    optics = optics.replace("Group1 2.0", "Group1 2.0 4.0").replace("Group2 4.0", "Group2 4.0 4.0")
    picks = read_picks(star(tmp_path, PIXELS, "TS_17.tomostar 10 20 30 1", before=optics))
    found = read_picks(write_picks(picks, tmp_path / "again.star", format="relion4").path)

    assert "WarpTools" in picks.about["warnings"][0]
    assert found.about["tomogram_name"] == "TS_17.tomostar"
    assert found.points_zyx.tolist() == [[30, 20, 10]]
    assert not found.about.get("warnings")


@pytest.mark.parametrize(
    ("labels", "program"),
    [("wrpCoordinateX1 wrpCoordinateY1 wrpCoordinateZ1", "M"), ("orig_x orig_y orig_z", "STOPGAP")],
)
def test_whose_file_it_is_where_it_isnt_relions_is_said(tmp_path, labels, program):
    with pytest.raises(FormatError, match=f"It is a file of {program}: convert it to one of RELION"):
        read(star(tmp_path, labels, "1 2 3", before=""))


@pytest.mark.parametrize(
    "start", ["loop_\n_rlnTomoParticlesFile\n Refine3D/job9/p.star\n", "_rlnTomoParticlesFile  p.star\n"]
)
def test_an_optimisation_set_says_which_file_has_the_particles(tmp_path, start):
    path = tmp_path / "optimisation_set.star"
    path.write_text(f"data_\n\n{start}")

    with pytest.raises(FormatError, match=r"\(its blocks are one without a name\)") as raised:
        read(path)
    assert "Choose the file of particles that it names (" in str(raised.value)
    assert "p.star), with rlnCoordinateX/Y/Z" in str(raised.value)
    path.write_text("data_\n\nloop_\n_rlnTomoParticlesFile\n")
    with pytest.raises(FormatError, match="Choose the file of particles, with"):
        read(path)


def test_shifts_in_angstrom_of_pixels_of_unknown_width_are_asked_about(tmp_path):
    path = star(tmp_path, "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginXAngst", "1 2 3 4", before="")

    with pytest.raises(MissingContextError) as raised:
        read(path)
    assert raised.value.missing == ("spacing_angstrom",)
    assert read(path, Context(2.0)).points_zyx.tolist() == [[3, 2, -1]]


@pytest.mark.parametrize("name", ["rlnImagePixelSize", "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification"])
def test_a_persons_own_texts_are_never_taken_for_a_pixel_size(tmp_path, name):
    names = {"rlnDetectorPixelSize", "rlnMagnification", name}
    picks = Picks([[1.0, 2.0, 3.0]], features={each: np.array(["wide"], dtype=object) for each in names})
    write_picks(picks, tmp_path / "picks.star", format="relion3")

    assert {each: column.tolist() for each, column in read_picks(tmp_path / "picks.star").features.items()} == {
        each: ["wide"] for each in names
    }


@pytest.mark.parametrize("block", ["", "images", "particles"])
def test_relion_3_0_has_one_block_and_shifts_in_pixels_of_the_images(tmp_path, block):
    labels = "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginX rlnMagnification rlnDetectorPixelSize"
    path = star(tmp_path, labels, "10 20 30 3 50000 5", before="", block=block)

    assert read(path, Context(2.0)).points_zyx.tolist() == [[30, 20, 8.5]]  # 5 µm / 50,000 is 1 Å


def test_shifts_of_images_of_unknown_pixel_size_are_refused(tmp_path):
    path = star(tmp_path, "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginX", "10 20 30 3", before="")

    with pytest.raises(FormatError, match="how wide those are"):
        read(path, Context(2.0))


def test_of_several_tomograms_one_is_chosen_by_name(tmp_path):
    path = star(tmp_path, PIXELS, "TS_1 1 2 3 1", "TS_2 4 5 6 1")

    with pytest.raises(MissingContextError, match="TS_1, TS_2") as raised:
        read(path)
    assert raised.value.missing == ("tomogram",)
    assert raised.value.choices == ("TS_1", "TS_2")
    assert read(path, Context(tomogram="TS_2")).points_zyx.tolist() == [[6, 5, 4]]
    with pytest.raises(FormatError, match=r"no picks of a tomogram 'TS_3'.*TS_1, TS_2"):
        read(path, Context(tomogram="TS_3"))


def test_tomograms_with_long_paths_are_told_apart_and_chosen_by_their_ends(tmp_path):
    folder = f"/storage/{'a' * 80}/reconstruction"
    path = star(tmp_path, PIXELS, f"{folder}/1342_7.88Apx.mrc 1 2 3 1", f"{folder}/1343_7.88Apx.mrc 4 5 6 1")

    with pytest.raises(MissingContextError, match=r"1342_7\.88Apx\.mrc, .*/1343_7\.88Apx\.mrc\.") as raised:
        read(path)
    assert raised.value.choices == (f"{folder}/1342_7.88Apx.mrc", f"{folder}/1343_7.88Apx.mrc")
    for name in ("1343_7.88Apx.mrc", "reconstruction/1343_7.88Apx.mrc"):
        found = read(path, Context(tomogram=name))
        assert found.points_xyz.tolist() == [[4, 5, 6]]
        assert found.about["tomogram_name"] == f"{folder}/1343_7.88Apx.mrc"
    for name in ("3_7.88Apx.mrc", "1344_7.88Apx.mrc", ""):
        with pytest.raises(FormatError, match="no picks of a tomogram"):
            read(path, Context(tomogram=name))


def test_scores_are_exact_and_what_else_there_is_is_kept(tmp_path):
    labels = f"{PIXELS} rlnLCCmax rlnClassNumber rlnImageName"
    found = read(star(tmp_path, labels, "TS_1 1 2 3 1 0.1234567890123456789 7 000001@a.mrcs"))

    assert found.scores.tolist() == [0.1234567890123456789]
    assert {name: column.tolist() for name, column in found.features.items()} == {
        "rlnClassNumber": [7],
        "rlnImageName": ["000001@a.mrcs"],
        "rlnOpticsGroup": [1],
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 2\n", "have no z"),
        ("data_global\n\nloop_\n_rlnTomoName\nTS_1\n", "blocks are global"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 three\n", "numbers"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 inf\n", "finite"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2\n", "line 7: 2 values where 3"),
    ],
)
def test_what_is_no_file_of_positions_says_why(tmp_path, text, why):
    (tmp_path / "other.star").write_text(text)

    with pytest.raises(FormatError, match=why):
        read(tmp_path / "other.star")


class TestWriting:
    picks = Picks(
        [[25.5, 50.0, 1 / 3]],
        8.0,
        rotations_zyx=np.array([[[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]])[:, ::-1, ::-1],
        scores=[1 / 3],
        shape_zyx=(50, 100, 200),
        about={"run_name": "data_TS 1", "note": "data_ and loop_"},
    )

    def blocks(self, folder, name):
        path = write_picks(self.picks, folder / "out.star", format=name).path
        return path, starfile.read(path)

    def test_relion_5_gets_centred_angstrom_and_the_pixel_size(self, tmp_path):
        _path, blocks = self.blocks(tmp_path, "relion5")

        assert list(blocks) == ["optics", "particles"]
        row = blocks["particles"].iloc[0]
        assert row["rlnCenteredCoordinateZAngst"] == 4.0
        assert row["rlnCenteredCoordinateXAngst"] == pytest.approx((1 / 3 - 100) * 8, abs=1e-12)
        assert row["rlnTomoName"] == "data_TS-1"
        assert blocks["optics"]["rlnTomoTiltSeriesPixelSize"].tolist() == [8.0]
        # the particle's z lies along the volume's x here: (0, 0, 1) goes to -x by (rot, tilt) = (0, 90)
        assert abs(row["rlnAngleTilt"]) == pytest.approx(90)

    @pytest.mark.parametrize(
        ("name", "tomogram", "pixel"),
        [
            ("relion4", "rlnTomoName", "rlnTomoTiltSeriesPixelSize"),
            ("relion3", "rlnMicrographName", "rlnMicrographPixelSize"),
        ],
    )
    def test_older_versions_get_pixels_with_all_digits(self, tmp_path, name, tomogram, pixel):
        _path, blocks = self.blocks(tmp_path, name)

        row = blocks["particles"].iloc[0]
        assert row["rlnCoordinateX"] == pytest.approx(1 / 3, abs=1e-15)
        assert tomogram in row
        assert blocks["optics"][pixel].tolist() == [8.0]

    def test_relion_meets_its_keywords_only_where_they_are_meant(self, tmp_path):
        path, _blocks = self.blocks(tmp_path, "relion5")
        lines = path.read_text().splitlines()

        assert [line for line in lines if "data_" in line and not line.startswith("-")] == [
            "data_optics",
            "data_particles",
        ]
        assert [line for line in lines if "loop_" in line] == ["loop_", "loop_"]
        assert lines.count("# version 50001") == 2

    def test_what_relion_rewrites_without_our_comment_reads_the_same(self, tmp_path):
        path, blocks = self.blocks(tmp_path, "relion5")
        starfile.write(blocks, path, overwrite=True, float_format="%.6f")
        found = read_picks(path, spacing_angstrom=8.0, shape_zyx=(50, 100, 200))

        np.testing.assert_allclose(found.points_zyx, self.picks.points_zyx, atol=1e-6)
        np.testing.assert_allclose(found.rotations_zyx, self.picks.rotations_zyx, atol=1e-6)

    def test_a_mirror_is_no_orientation_and_that_is_said(self, tmp_path):
        mirror = self.picks.changed(rotations_zyx=np.diag([1.0, 1.0, -1.0])[None])
        made = write_picks(mirror, tmp_path / "mirror.star")

        assert any("1 of the matrices are no rotations" in loss for loss in made.losses)
        assert read_picks(made.path).rotations_zyx is None

    def test_pixels_of_another_width_than_the_projects_are_never_taken_for_its(self, tmp_path):
        optics = OPTICS.replace("_rlnTomoTiltSeriesPixelSize #3", "_rlnTomoTiltSeriesPixelSize #3\n_rlnVoltage #4")
        optics = optics.replace(" 2.0\n", " 2.0 300\n").replace(" 4.0\n", " 4.0 300\n")
        path = star(tmp_path, PIXELS, "TS_1 10 20 30 1", "TS_1 10 20 30 2", before=optics)
        picks = read_picks(path, spacing_angstrom=8.0)
        assert picks.points_zyx.tolist() == [[7.5, 5, 2.5], [15, 10, 5]]

        for name in ("relion3", "relion4"):
            made = write_picks(picks, tmp_path / f"{name}.star", format=name).path
            assert read_picks(made).points_zyx.tolist() == picks.points_zyx.tolist()
            lines = made.read_text().splitlines()
            made.write_text("\n".join(line for line in lines if not line.startswith("#")) + "\n")
            np.testing.assert_allclose(read_picks(made, spacing_angstrom=8.0).points_zyx, picks.points_zyx)
        optics_of_3 = starfile.read(tmp_path / "relion3.star")["optics"]
        assert optics_of_3["rlnMicrographPixelSize"].tolist() == [2.0, 4.0]

    def test_a_tomograms_name_that_is_no_word_is_said_to_be_changed(self, tmp_path):
        made = write_picks(self.picks, tmp_path / "out.star")

        assert "'data_TS 1' is no word that such a file can have; the tomogram is called 'data_TS-1'." in made.losses
        assert read_picks(made.path).about["run_name"] == "data_TS 1"


class TestAProject:
    """What RELION needs beside the particles stays with the picks."""

    before = """
data_general

_rlnTomoSubTomosAre2DStacks 1

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnTomoTiltSeriesPixelSize #4
 3 left 300.000000 2.0
 7 right 200.000000 4.0
"""

    @pytest.fixture
    def picks(self, tmp_path):
        labels = f"{PIXELS} rlnTomoParticleName rlnRandomSubset"
        path = star(tmp_path, labels, "TS_1 10 20 30 3 TS_1/1 1", "TS_1 10 20 30 7 TS_1/2 2", before=self.before)
        return read_picks(path, spacing_angstrom=8.0, shape_zyx=(50, 100, 200))

    @pytest.mark.parametrize("name", ["relion4", "relion5"])
    def test_optics_groups_and_general_facts_are_written_again(self, tmp_path, picks, name):
        blocks = starfile.read(write_picks(picks.take([1]), tmp_path / "kept.star", format=name).path)

        assert blocks["general"] == {"rlnTomoSubTomosAre2DStacks": 1}
        assert blocks["optics"]["rlnOpticsGroup"].tolist() == [3, 7]
        assert blocks["optics"]["rlnVoltage"].tolist() == [300, 200]
        assert blocks["optics"]["rlnTomoTiltSeriesPixelSize"].tolist() == [2.0, 4.0]
        assert blocks["particles"]["rlnOpticsGroup"].tolist() == [7]
        assert blocks["particles"]["rlnTomoParticleName"].tolist() == ["TS_1/2"]
        assert blocks["particles"]["rlnRandomSubset"].tolist() == [2]

    @pytest.mark.parametrize("text", ["[1,1,0]", "a(2)=b,c", "../Extract/job071/TS_01/12_stack2d.mrcs"])
    def test_what_relion_writes_as_one_word_is_written_as_it_was(self, tmp_path, text):
        labels = f"{PIXELS} rlnTomoVisibleFrames"
        picks = read_picks(star(tmp_path, labels, f"TS_1 10 20 30 3 {text}", before=self.before))
        made = write_picks(picks, tmp_path / "again.star").path

        assert made.read_text().split()[-1] == text
        assert read_picks(made).features["rlnTomoVisibleFrames"].tolist() == [text]

    def test_relion_4_gets_its_own_pixels_back(self, tmp_path, picks):
        path = write_picks(picks, tmp_path / "again.star", format="relion4").path
        particles = starfile.read(path)["particles"]

        assert (
            particles[["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]].to_numpy().tolist() == [[10, 20, 30]] * 2
        )
        found = read_picks(path)
        assert found.points_zyx.tolist() == picks.points_zyx.tolist() == [[7.5, 5, 2.5], [15, 10, 5]]
        assert found.features["rlnOpticsGroup"].tolist() == [3, 7]

    def test_it_survives_another_format_between(self, tmp_path, picks):
        between = read_picks(write_picks(picks, tmp_path / "a.parquet").path)
        blocks = starfile.read(write_picks(between, tmp_path / "again.star").path)

        assert blocks["optics"]["rlnVoltage"].tolist() == [300, 200]
        assert blocks["particles"]["rlnOpticsGroup"].tolist() == [3, 7]

    def test_new_picks_are_of_the_group_that_all_others_are_of(self, tmp_path, picks):
        of_one = picks.take([1]).added([[1.0, 2.0, 3.0]])
        made = write_picks(of_one, tmp_path / "more.star")

        assert not any("optics group" in loss for loss in made.losses)
        blocks = starfile.read(made.path)
        assert blocks["particles"]["rlnOpticsGroup"].tolist() == [7, 7]
        assert blocks["optics"]["rlnVoltage"].tolist() == [300, 200]
        np.testing.assert_allclose(read_picks(made.path).points_zyx, of_one.points_zyx)

    def test_new_picks_that_are_of_no_group_are_told(self, tmp_path, picks):
        made = write_picks(picks.added([[1.0, 2.0, 3.0]]), tmp_path / "more.star")

        assert any("none of the source's optics groups" in loss for loss in made.losses)
        assert starfile.read(made.path)["particles"]["rlnOpticsGroup"].tolist() == [1, 1, 1]

    @pytest.mark.parametrize(
        "damage", [{"optics": [{"rlnOpticsGroup": "x"}]}, {"general": {"data_x": "1"}}, {"optics": 5}, "words"]
    )
    def test_a_project_that_cant_be_one_is_left_out(self, tmp_path, damage):
        picks = Picks([[1.0, 2.0, 3.0]], 10.0, about={"relion": damage})
        blocks = starfile.read(write_picks(picks, tmp_path / "a.star").path)

        assert list(blocks) == ["optics", "particles"]
        assert blocks["particles"]["rlnOpticsGroup"].tolist() == [1]


def test_which_of_several_pixel_sizes_is_meant_is_never_guessed(tmp_path):
    found = read(star(tmp_path, PIXELS.replace(" rlnOpticsGroup", ""), "TS_1 10 20 30"))

    assert found.points_zyx.tolist() == [[30, 20, 10]]
    assert found.spacing_angstrom is None
    assert "differ in rlnTomoTiltSeriesPixelSize" in found.about["warnings"][0]


def test_blocks_may_list_labels_with_a_value_each(tmp_path):
    path = tmp_path / "particles.star"
    optics = "data_optics\n\n_rlnOpticsGroup 1\n_rlnTomoTiltSeriesPixelSize 2.0\n\n"
    labels = zip(PIXELS.split(), ["TS_1", "10", "20", "30", "1"], strict=True)
    path.write_text(optics + "data_particles\n\n" + "".join(f"_{label} {value}\n" for label, value in labels))

    assert read(path).points_zyx.tolist() == [[30, 20, 10]]
    assert read(path).spacing_angstrom == 2.0


def test_positions_in_two_blocks_are_refused_and_not_halved(tmp_path):
    path = star(tmp_path, PIXELS, "TS_1 10 20 30 1", "")
    path.write_text(path.read_text() + path.read_text().replace("data_optics", "data_o").replace("_particles", "_more"))

    with pytest.raises(FormatError, match="positions in 2 blocks"):
        read(path)


def test_a_tomogram_without_a_name_is_said_to_get_one():
    assert "what the tomogram is called" in losses(Picks([[1, 2, 3]]), "relion3")[0]
    assert losses(Picks([[1, 2, 3]], about={"run_name": "TS_1"}), "relion3") == ()


class TestPositionsOfBothKindsWithoutTheTomogramsSize:
    labels = f"{CENTRED} rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOpticsGroup"
    rows = ("TS_1 -800 0 4 0 200 102 1", "TS_1 -790.04 0 4 5 200 102 1", "TS_1 0 0 0 400 200 100 1")

    def test_pixels_suffice_and_that_they_were_taken_is_said(self, tmp_path):
        path = star(tmp_path, self.labels, *self.rows)

        assert read(path).points_zyx.tolist() == [[102, 200, 0], [102, 200, 5], [100, 200, 400]]
        assert read(path).spacing_angstrom == 2.0
        assert read(path, Context(8.0)).points_zyx.tolist() == [[25.5, 50, 0], [25.5, 50, 1.25], [25, 50, 100]]
        assert "nobody said how large it is" in read(path).about["warnings"][0]

    def test_rows_that_need_another_centre_than_the_rest_are_refused(self, tmp_path):
        path = star(tmp_path, self.labels, *self.rows, "TS_1 0 0 0 400 200 101 1")

        with pytest.raises(FormatError, match=r"row 4: rlnCoordinateZ and rlnCenteredCoordinateZAngst differ by anoth"):
            read(path)

    def test_the_size_is_still_asked_for_where_pixels_have_no_width(self, tmp_path):
        path = star(tmp_path, self.labels, *self.rows, before="")

        with pytest.raises(MissingContextError, match="how large the tomogram is"):
            read(path)

    def test_no_rows_need_no_centre(self, tmp_path):
        assert len(read(star(tmp_path, self.labels))) == 0


def test_a_width_of_pixels_that_cant_be_one_is_left_out_and_said(tmp_path):
    labels = "rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnMicrographPixelSize"
    found = read(star(tmp_path, labels, "1 2 3 0", before=""))

    assert found.spacing_angstrom is None
    assert found.about["warnings"] == ["Pixels can't be 0 Å wide, as its rlnMicrographPixelSize says: it was left out."]


def test_a_particle_of_an_optics_group_that_there_isnt_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"its optics table has no group 7\."):
        read(star(tmp_path, PIXELS, "TS_1 10 20 30 1", "TS_1 10 20 30 7"))


@pytest.mark.parametrize(
    ("in_optics", "in_rows"), [("1 2", "1.000000 2.000000"), ("1.0 2.0", "1 2"), ("1. 2.", "1.0 2.")]
)
def test_optics_groups_that_another_program_wrote_as_reals_are_the_same(tmp_path, in_optics, in_rows):
    (left, right), (first, second) = in_optics.split(), in_rows.split()
    optics = OPTICS.replace(" 1 optics", f" {left} optics").replace(" 2 optics", f" {right} optics")
    path = star(tmp_path, PIXELS, f"TS_1 10 20 30 {first}", f"TS_1 10 20 30 {second}", before=optics)

    found = read(path, GRID)
    assert found.points_zyx.tolist() == [[7.5, 5, 2.5], [15, 10, 5]]
    again = read_picks(write_picks(read_picks(path, spacing_angstrom=8.0), tmp_path / "b.star", format="relion4").path)
    assert again.features["rlnOpticsGroup"].tolist() == [1, 2]


def test_an_optics_group_with_two_pixel_sizes_is_refused(tmp_path):
    optics = OPTICS.replace(" 2 opticsGroup2", " 1 opticsGroup2")

    with pytest.raises(FormatError, match="group 1 twice, with different values of rlnTomoTiltSeriesPixelSize"):
        read(star(tmp_path, PIXELS, "TS_1 10 20 30 1", before=optics))


def test_an_optics_group_without_a_pixel_size_is_no_contradiction(tmp_path):
    optics = OPTICS.replace("opticsGroup2 4.0", "opticsGroup2 nan")

    assert read(star(tmp_path, PIXELS, "TS_1 10 20 30 1", before=optics), GRID).points_zyx.tolist() == [[7.5, 5, 2.5]]
    found = read(star(tmp_path, PIXELS, "TS_1 10 20 30 1", "TS_1 10 20 30 2", before=optics))
    assert found.spacing_angstrom is None
    assert "Pixels can't be nan Å wide" in found.about["warnings"][0]


def test_rows_are_counted_as_the_file_has_them_whichever_tomogram_is_read(tmp_path):
    path = star(tmp_path, PIXELS, "TS_1 1 2 3 1", "TS_2 1 2 3 1", "TS_2 1 nan 3 1")

    assert len(read(path, Context(tomogram="TS_1"))) == 1
    with pytest.raises(FormatError, match="row 3 has no finite position along y"):
        read(path, Context(tomogram="TS_2"))


def test_a_column_that_is_called_like_those_that_get_another_name_comes_back(tmp_path):
    columns = {name: np.array([number]) for number, name in enumerate(["_a", "#b", "napariCryoetColumn0"])}
    picks = Picks([[1.0, 2.0, 3.0]], 10.0, features=columns)
    found = read_picks(write_picks(picks, tmp_path / "a.star").path)

    assert {name: column.tolist() for name, column in found.features.items()} == {
        name: column.tolist() for name, column in columns.items()
    }


@pytest.mark.filterwarnings("error")
def test_a_magnification_of_nothing_is_refused_with_its_row(tmp_path):
    labels = ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnOriginX", "rlnDetectorPixelSize"]
    head = "".join(f"_{label}\n" for label in (*labels, "rlnMagnification"))
    (tmp_path / "a.star").write_text(f"data_\nloop_\n{head}10 20 30 1 10 0\n")

    with pytest.raises(FormatError, match="row 1 has no finite position along"):
        read_picks(tmp_path / "a.star", spacing_angstrom=10)
