"""Slabs of density and of picks in the 2D view."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.slabs import MOST_PLANES, slabs_of
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet._qt.streaming.slice_geometry import planes_in
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import open_pyramid

SHAPE = (40, 24, 20)
SPACING = 10.0
COMMON = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: {"kind": "tomogram"}}}


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture
def pyramid(tmp_path, values):
    write_pyramid(tmp_path / "a.zarr", values, SPACING, "tomogram")
    return open_pyramid(str(tmp_path / "a.zarr"))


@pytest.fixture
def tomogram(viewer, pyramid):
    options = COMMON | {"contrast_limits": (-3, 3), "name": "tomogram"}
    layer, status = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
    viewer.add_layer(layer)
    layer.status_of_stream = status
    return layer


@pytest.fixture
def slabs(viewer):
    return slabs_of(viewer)


def add_picks(viewer, planes):
    places = [[z, 5.0, 5.0] for z in planes]
    picks = Picks(places, SPACING, rotations_zyx=np.tile(np.eye(3), (len(places), 1, 1)))
    look = {"color": (1, 0, 0, 1), "diameter_angstrom": 60, "spacing_angstrom": SPACING}
    specs = [points_spec(picks, COMMON, name="picks", **look), arrows_spec(picks, COMMON, name="arrows", **look)]
    add_layers(viewer, specs)
    return viewer.layers["picks"]


def wait_for(qtbot, layer, expected):
    def is_drawn():
        assert layer.status_of_stream.state.is_exact
        np.testing.assert_allclose(layer._slice.image.raw, expected, rtol=1e-5, atol=1e-6)

    qtbot.waitUntil(is_drawn)


class TestDensity:
    @pytest.mark.parametrize(("thickness_nm", "reach"), [(1, 0), (3, 1), (9.9, 4)])
    def test_the_picture_is_the_mean_of_the_planes_whose_centres_lie_in_the_slab(
        self, qtbot, viewer, tomogram, slabs, values, thickness_nm, reach
    ):
        viewer.dims.set_current_step(0, 20)
        slabs.show_density(thickness_nm)

        assert slabs.density_nm == pytest.approx(thickness_nm)
        wait_for(qtbot, tomogram, values[20 - reach : 21 + reach].mean(axis=0))
        viewer.dims.set_current_step(0, 11)
        wait_for(qtbot, tomogram, values[11 - reach : 12 + reach].mean(axis=0))

    def test_it_ends_where_the_volume_ends(self, qtbot, viewer, tomogram, slabs, values):
        slabs.show_density(6)
        viewer.dims.set_current_step(0, 1)
        wait_for(qtbot, tomogram, values[:5].mean(axis=0))
        viewer.dims.set_current_step(0, 39)
        wait_for(qtbot, tomogram, values[36:].mean(axis=0))

    def test_it_lies_across_other_axes_too(self, qtbot, viewer, tomogram, slabs, values):
        viewer.dims.order = (1, 0, 2)
        viewer.dims.set_current_step(1, 8)
        slabs.show_density(4)

        wait_for(qtbot, tomogram, values[:, 6:11].mean(axis=1))

    def test_a_coarser_level_shows_the_mean_of_its_planes_that_cover_the_slab(
        self, qtbot, viewer, tomogram, slabs, pyramid
    ):
        tomogram.locked_data_level = 1
        viewer.dims.set_current_step(0, 20)
        slabs.show_density(5)  # planes 18 to 22

        wait_for(qtbot, tomogram, pyramid.read(1)[9:12].mean(axis=0))

    def test_what_is_too_thick_is_refused_with_the_reason(self, tomogram, slabs):
        assert slabs.most_density_nm == MOST_PLANES
        with pytest.raises(ValueError, match="hold up each step"):
            slabs.show_density(33)
        with pytest.raises(ValueError, match="can't be -1 nm"):
            slabs.show_density(-1)

    def test_without_a_tomogram_there_is_nothing_to_average(self, viewer, slabs):
        with pytest.raises(ValueError, match="Open a tomogram"):
            slabs.show_density(3)
        viewer.add_layer(Image(np.zeros((3, 3, 3)), metadata={METADATA_KEY: {}}))
        with pytest.raises(ValueError, match="voxel size isn't known"):
            slabs.show_density(3)

    def test_what_a_person_sets_by_napari_s_own_slider_is_known(self, qtbot, viewer, tomogram, slabs):
        with qtbot.waitSignal(slabs.changed):
            viewer.dims.thickness = (70.0, 0.0, 0.0)

        assert slabs.density_nm == pytest.approx(7)


class TestPicks:
    def test_those_in_the_slab_show_in_full_and_those_beside_it_as_the_discs_that_its_face_cuts(
        self, viewer, tomogram, slabs
    ):
        points = add_picks(viewer, [20, 23, 25, 27, 29])  # 6 voxels wide
        viewer.dims.set_current_step(0, 20)
        assert points._view_size.tolist() == [6]
        slabs.show_picks(10)

        assert points._view_size.tolist() == pytest.approx([6, 6, 6, 2 * np.sqrt(9 - 4)])
        assert viewer.layers["arrows"]._view_indices.tolist() == [0, 1, 2, 3]
        assert viewer.layers["arrows"]._view_alphas.tolist() == pytest.approx([1, 1, 1, 1 / 3])
        slabs.show_picks(0)
        assert points._view_size.tolist() == [6]

    def test_picks_that_come_later_show_in_the_slab(self, viewer, tomogram, slabs):
        slabs.show_picks(20)
        points = add_picks(viewer, [20, 29])
        viewer.dims.set_current_step(0, 20)

        assert len(points._view_size) == 2

    @pytest.mark.parametrize("thickness_nm", [-1, 1001, float("nan")])
    def test_a_thickness_must_be_one(self, slabs, thickness_nm):
        with pytest.raises(ValueError, match="0 to 1000 nm"):
            slabs.show_picks(thickness_nm)


@pytest.mark.parametrize(
    ("point", "reach", "size", "planes"),
    [
        (10.0, 0.0, 40, (10, 10)),
        (9.999999999, 2.0, 40, (8, 12)),
        (10.4, 0.3, 40, (10, 10)),
        (-3.0, 2.0, 40, None),
        (-3.0, 3.0, 40, (0, 0)),
        (41.0, 5.0, 40, (36, 39)),
    ],
)
def test_planes_in_a_slice(point, reach, size, planes):
    assert planes_in(point, reach, reach, size) == planes
