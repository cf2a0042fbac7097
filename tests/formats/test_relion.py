"""RELION's conventions, derived from its source: centre, origin, subtomograms, optics groups, versions."""

import numpy as np
import pytest
import starfile

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.picks import Picks

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
GRID = {"spacing_angstrom": 8.0, "shape_zyx": (50, 100, 200)}
PIXELS = "rlnTomoName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOpticsGroup"
CENTRED = "rlnTomoName rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst"
ORIGINS = "rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst"
SUBTOMOGRAM = "rlnTomoSubtomogramRot rlnTomoSubtomogramTilt rlnTomoSubtomogramPsi"
ANGLES = "rlnAngleRot rlnAngleTilt rlnAnglePsi"
SIZES = "rlnTomoSizeX rlnTomoSizeY rlnTomoSizeZ"


def star(folder, labels, *rows, before=OPTICS, block="particles", name="particles.star"):
    lines = [
        before,
        f"data_{block}",
        "",
        "loop_",
        *[f"_{label} #{n}" for n, label in enumerate(labels.split(), 1)],
    ]
    path = folder / name
    path.write_text("\n".join([*lines, *rows, ""]))
    return path


class TestPositions:
    def test_each_optics_group_has_its_own_pixel_size(self, tmp_path):
        path = star(tmp_path, PIXELS, "TS_1 10 20 30 1", "TS_1 10 20 30 2")

        assert read_picks(path, **GRID).points_zyx.tolist() == [[7.5, 5, 2.5], [15, 10, 5]]

    def test_unknown_optics_groups_are_refused(self, tmp_path):
        with pytest.raises(FormatError, match="wide"):
            read_picks(star(tmp_path, PIXELS, "TS_1 10 20 30 3"))

    def test_version_3_1_positions_are_in_micrograph_pixels(self, tmp_path):
        labels = "rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ"
        bare = star(tmp_path, labels, "a/TS_1.mrc 10 20 30", before="", block="")
        assert (read_picks(bare).points_xyz.tolist(), read_picks(bare).spacing_angstrom) == (
            [[10, 20, 30]],
            None,
        )

        optics = OPTICS.replace("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize").replace(
            "4.0", "2.0"
        )
        wide = star(tmp_path, labels, "a/TS_1.mrc 10 20 30", before=optics)
        assert read_picks(wide, spacing_angstrom=4.0).points_xyz.tolist() == [[5, 10, 15]]

    def test_the_centre_of_odd_sizes_lies_between_voxels(self, tmp_path):
        # ParticleSet::setParticleCoordDecenteredPixel: subtract half the size, then multiply by the
        # pixel size
        sizes_xyz, pixels_xyz = np.array([401, 302, 99]), np.array([10.0, 301.5, 98.0])
        centred = " ".join(map(str, (pixels_xyz - sizes_xyz / 2) * 2.0))
        picks = read_picks(
            star(tmp_path, CENTRED, f"TS_1 {centred}"),
            spacing_angstrom=2.0,
            shape_zyx=(99, 302, 401),
        )

        assert picks.points_xyz.tolist() == [[10, 301.5, 98]]

    def test_sizes_in_the_file_are_unbinned(self, tmp_path):
        labels = f"{CENTRED} {SIZES} rlnTomoTiltSeriesPixelSize"
        path = star(tmp_path, labels, "TS_1 -100 0 4 101 60 40 2.0", before="")

        assert read_picks(path).points_xyz.tolist() == [[0.5, 30, 22]]
        # a volume binned by four has 25 voxels along x; the file's size still determines its centre
        assert read_picks(
            path, spacing_angstrom=8.0, shape_zyx=(10, 15, 25)
        ).points_xyz.tolist() == [[0.125, 7.5, 5.5]]

    @pytest.mark.parametrize(
        ("given", "missing", "hint_words"),
        [
            ({}, ("spacing_angstrom", "shape_zyx"), ["spacing", "size"]),
            ({"spacing_angstrom": 8.0}, ("shape_zyx",), ["size"]),
            ({"shape_zyx": (1, 2, 3)}, ("spacing_angstrom",), ["spacing"]),
        ],
    )
    def test_only_missing_values_are_requested(self, tmp_path, given, missing, hint_words):
        with pytest.raises(MissingContextError) as raised:
            read_picks(star(tmp_path, CENTRED, "TS_1 -800 0 4", before=""), **given)

        assert raised.value.missing == missing
        assert [word for word in ("spacing", "size") if word in raised.value.hint] == hint_words

    def test_pixel_coordinates_are_used_if_the_centre_is_unknown(self, tmp_path):
        labels = f"{PIXELS} {CENTRED.removeprefix('rlnTomoName ')}"
        path = star(tmp_path, labels, "TS_1 10 20 30 1 -780 -360 -140")

        assert read_picks(path).points_xyz.tolist() == [[10, 20, 30]]
        assert read_picks(path, **GRID).points_xyz.tolist() == [[2.5, 5, 7.5]]


class TestShiftsAndAngles:
    def test_shifts_in_image_pixels_suggest_relion_convert_star(self, tmp_path):
        labels = "rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginX rlnOriginY rlnOriginZ"
        with pytest.raises(FormatError, match="relion_convert_star"):
            read_picks(star(tmp_path, labels, "TS_1 10 20 30 3 0 -2", before="", block=""))
        assert (
            len(read_picks(star(tmp_path, labels, "TS_1 10 20 30 0 0 0", before="", block=""))) == 1
        )

    def test_shifts_require_the_pixel_size(self, tmp_path):
        labels = "rlnMicrographName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnOriginXAngst"
        path = star(tmp_path, labels, "TS_1 10 20 30 5", before="")
        with pytest.raises(MissingContextError) as raised:
            read_picks(path)

        assert raised.value.missing == ("spacing_angstrom",)
        assert read_picks(path, spacing_angstrom=2.5).points_xyz.tolist() == [[8, 20, 30]]


class TestRoundTrip:
    """A RELION project can continue with the kept particles: same images, shifts, angles and optics groups."""

    LABELS = f"{PIXELS} {ORIGINS} {SUBTOMOGRAM} {ANGLES} rlnAngleTiltPrior rlnImageName"
    ROWS = (
        "TS_1 10 20 30 1  6 -4 2  90 45 20  10 80 30  90 a.mrcs",
        "TS_1 40 50 60 2  0 0 1  0 0 0  70 60 50  90 b.mrcs",
    )
    BEFORE = f"\ndata_general\n\n_rlnTomoSubTomosAre2DStacks  1\n{OPTICS}"

    @pytest.fixture
    def source(self, tmp_path):
        return star(tmp_path, self.LABELS, *self.ROWS, before=self.BEFORE)

    @pytest.mark.parametrize("name", ["relion4", "relion5"])
    def test_everything_is_preserved(self, source, tmp_path, name):
        picks = read_picks(source, **GRID)
        written = write_picks(picks, tmp_path / "again.star", format=name).path
        before, after = (starfile.read(path) for path in (source, written))

        for label in set(self.LABELS.split()) & set(after["particles"]):
            one, other = (blocks["particles"][label] for blocks in (before, after))
            if one.dtype.kind in "if":
                np.testing.assert_allclose(other, one, atol=1e-9, err_msg=label)
            else:
                assert other.tolist() == one.tolist()
        assert after["general"] == before["general"]
        assert after["optics"].to_dict() == before["optics"].to_dict()
        assert set(self.LABELS.split()) - set(after["particles"]) == (
            {*PIXELS.split()[1:4]} if name == "relion5" else set()
        )
        reread = read_picks(written)
        np.testing.assert_allclose(reread.points_zyx, picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(reread.rotations_zyx, picks.rotations_zyx, atol=1e-9)

    def test_version_3_1_reports_lost_subtomogram_rotations(self, source, tmp_path):
        picks = read_picks(source, spacing_angstrom=8.0)
        written = write_picks(picks, tmp_path / "again.star", format="relion3")

        assert any("rlnTomoSubtomogramRot" in loss for loss in written.losses)
        assert not {"rlnTomoSubtomogramRot", "rlnOriginXAngst"} & set(
            starfile.read(written.path)["particles"]
        )
        reread = read_picks(written.path, spacing_angstrom=8.0)
        np.testing.assert_allclose(reread.points_zyx, picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(reread.rotations_zyx, picks.rotations_zyx, atol=1e-9)

    def test_added_picks_go_into_the_first_optics_group(self, source, tmp_path):
        picks = read_picks(source, **GRID).added([[1, 2, 3]])
        path = write_picks(picks, tmp_path / "again.star", format="relion4").path

        assert starfile.read(path)["particles"]["rlnOpticsGroup"].tolist() == [1, 2, 1]
        np.testing.assert_allclose(read_picks(path).points_zyx, picks.points_zyx, atol=1e-9)


class TestWriting:
    def test_blocks_state_their_version(self, tmp_path):
        picks = Picks([[1, 2, 3]], 10.0, shape_zyx=(4, 5, 6))
        for name, version in (("relion3", "30001"), ("relion4", "30001"), ("relion5", "50001")):
            text = write_picks(picks, tmp_path / f"{name}.star", format=name).path.read_text()
            assert f"# version {version}\n\ndata_particles" in text

    def test_invalid_names_are_replaced_and_reported(self, tmp_path):
        written = write_picks(
            Picks([[1, 2, 3]], 10.0, about={"run_name": "TS 1 (é)"}), tmp_path / "a.star"
        )

        assert any("TS-1" in loss for loss in written.losses)
        assert starfile.read(written.path)["particles"]["rlnTomoName"].tolist() == ["TS-1"]


class TestOddFiles:
    def test_numeric_names_keep_leading_zeros(self, tmp_path):
        assert (
            read_picks(star(tmp_path, PIXELS, "007 1 2 3 1")).about.more["tomogram_name"] == "007"
        )

    @pytest.mark.parametrize(
        ("content", "noun"),
        [
            ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 2\n", "positions"),
            (
                "data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n4 5\n",
                "line 8",
            ),
            (
                "data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3 4\n",
                "label",
            ),
            (
                "data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 x 3\n",
                "rlnCoordinateY",
            ),
            ("data_\n", "STAR"),
        ],
    )
    def test_malformed_files_are_refused_with_the_reason(self, tmp_path, content, noun):
        path = tmp_path / "a.star"
        path.write_text(content)
        with pytest.raises(FormatError, match=noun):
            read_picks(path)

    def test_too_many_labels_are_refused(self, tmp_path):
        path = star(tmp_path, " ".join(f"rlnLabel{n}" for n in range(100_000)), "1")
        with pytest.raises(FormatError, match="labels"):
            read_picks(path)
