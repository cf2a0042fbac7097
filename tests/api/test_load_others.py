"""Tilt series, and the user's own picks, as layer specs."""

from __future__ import annotations

import numpy as np
import pytest

from api.files import METADATA, noise, with_fields, write_mrc, write_zarr
from napari_cryoet import FormatError, Picks, StreamError, load_picks, load_tilt_series

ANGLES = (-60.0, -30.0, 0.0, 30.0, 60.0)
QUARTER_TURN_ZYX = np.array(
    [[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]]
)  # the particle's x lies along z


def about(spec):
    return spec.options["metadata"][METADATA]


class TestTiltSeries:
    @pytest.fixture
    def series_at(self, run_page, tmp_path):
        """The demo's tilt series with other images and angles."""
        (series,) = run_page.tilt_series

        def make(images, angles=ANGLES, **fields):
            url = write_zarr(tmp_path / "a.zarr", images, 2.17, halved="yx")
            (tmp_path / "a.rawtlt").write_text("".join(f"{angle}\n" for angle in angles))
            angle_list = (tmp_path / "a.rawtlt").as_uri()
            files = {
                "https_omezarr_dir": url,
                "https_angle_list": angle_list,
                "pixel_spacing": 2.17,
            }
            return with_fields(series, **(files | fields))

        return make

    def test_is_a_stack_with_tilt_in_degrees(self, run_page):
        (series,) = run_page.tilt_series
        spec = load_tilt_series(series, run=run_page.run)

        assert spec.kind == "image"
        assert tuple(spec.options["axis_labels"]) == ("tilt", "y", "x")
        assert tuple(spec.options["units"]) == ("degree", "angstrom", "angstrom")
        assert spec.options["scale"] == pytest.approx(
            (series.tilt_step, series.pixel_spacing, series.pixel_spacing)
        )
        assert spec.options["translate"] == pytest.approx((series.tilt_min, 0, 0))
        assert spec.data[0].shape[0] == series.size_z
        assert run_page.run.name in spec.name
        assert (about(spec).tilt_series_id, about(spec).run_id) == (
            series.id,
            run_page.run.id,
        )

    def test_images_match_the_file(self, series_at):
        images = noise((5, 30, 43))
        spec = load_tilt_series(series_at(images))

        np.testing.assert_array_equal(spec.data[0].compute(), images)
        assert about(spec).tilt_angles_degree == tuple(ANGLES)

    def test_uneven_tilts_use_image_numbers(self, series_at):
        angles = (60.0, 30.0, 0.0, -30.0, -60.0)
        spec = load_tilt_series(series_at(noise((5, 30, 43)), angles))

        assert (
            spec.options["units"][0],
            spec.options["scale"][0],
            spec.options["translate"][0],
        ) == ("pixel", 1, 0)
        assert about(spec).tilt_angles_degree == tuple(angles)

    def test_a_wrong_angle_list_causes_a_warning(self, series_at):
        spec = load_tilt_series(series_at(noise((5, 30, 43)), (-60.0, 60.0)))

        assert about(spec).tilt_angles_degree is None
        assert "tilt" in about(spec).warnings[0]

    def test_opens_from_mrc_without_an_angle_list(self, series_at, tmp_path):
        images = noise((5, 30, 43))
        url = write_mrc(tmp_path / "a.mrc", images, 2.17)
        series = series_at(
            images, https_omezarr_dir=None, https_mrc_file=url, https_angle_list=None
        )

        np.testing.assert_array_equal(np.asarray(load_tilt_series(series).data[0]), images)

    def test_missing_images_raise_an_error(self, series_at, tmp_path):
        series = series_at(noise((5, 30, 43)), https_omezarr_dir=None, https_mrc_file=None)
        with pytest.raises(FormatError, match="MRC"):
            load_tilt_series(series)
        with pytest.raises((FormatError, StreamError), match="nothing"):
            load_tilt_series(
                with_fields(series, https_omezarr_dir=(tmp_path / "nothing.zarr").as_uri())
            )


class TestPicks:
    def test_become_points_in_angstrom(self):
        (spec,) = load_picks(Picks([[1.0, 2, 3]], 10.0, scores=[0.5]), name="mine")

        assert (spec.kind, spec.name) == ("points", "mine")
        assert (spec.data * spec.options["scale"]).tolist() == [[10, 20, 30]]
        assert tuple(spec.options["units"]) == ("angstrom",) * 3
        assert list(spec.options["features"]["score"]) == [0.5]

    def test_have_arrows_if_oriented(self):
        points, arrows = load_picks(
            Picks([[1.0, 2, 3]], 10.0, rotations_zyx=QUARTER_TURN_ZYX), name="mine"
        )

        assert (points.kind, arrows.kind) == ("points", "vectors")
        direction = arrows.data[0, 1] / np.linalg.norm(arrows.data[0, 1])
        np.testing.assert_allclose(
            direction, [0, 0, -1], atol=1e-9
        )  # the particle's z axis after rotation

    def test_are_coloured_by_object_or_else_by_name(self):
        ribosomes = Picks([[1.0, 2, 3]], 10.0, about={"object_name": "cytosolic ribosome"})
        colors = [
            tuple(load_picks(picks, name=name)[0].options["border_color"])
            for picks, name in (
                (ribosomes, "a"),
                (ribosomes, "b"),
                (ribosomes.changed(about={}), "a"),
            )
        ]

        assert colors[0] == colors[1] != colors[2]

    def test_without_a_spacing_are_in_voxels_with_a_warning(self):
        (spec,) = load_picks(Picks([[1.0, 2, 3]]), name="mine")

        assert tuple(spec.options["units"]) == ("pixel",) * 3
        assert about(spec).warnings
        with pytest.raises(TypeError, match="picks"):
            load_picks("a.star", name="mine")
