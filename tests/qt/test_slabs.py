"""Slabs of picks and thick slices in the 2D view."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points

from napari_cryoet._qt.picks.slabs import Elsewhere, elsewhere, show_as_discs, show_slabs
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, picks_specs
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import open_pyramid

SCALE = (2.0, 2.0, 2.0)
CENTRE = np.array([[20.0, 10.0, 10.0]])
SHAPE = (40, 24, 20)
SPACING = 10.0
COMMON = {
    "scale": (SPACING,) * 3,
    "units": ("angstrom",) * 3,
    "metadata": {METADATA_KEY: {"kind": "tomogram"}},
}


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


def add_picks(viewer, planes):
    positions = [[z, 5.0, 5.0] for z in planes]
    picks = Picks(positions, SPACING, rotations_zyx=np.tile(np.eye(3), (len(positions), 1, 1)))
    look = {"color": (1, 0, 0, 1), "diameter_angstrom": 60, "spacing_angstrom": SPACING}
    return add_layers(viewer, picks_specs(picks, COMMON, name="picks", **look))[-1]


def wait_for(qtbot, layer, expected):
    def is_drawn():
        assert layer.status_of_stream.state.is_exact
        np.testing.assert_allclose(layer._slice.image.raw, expected, rtol=1e-5, atol=1e-6)

    qtbot.waitUntil(is_drawn)


class TestThickPlanes:
    """napari's own slice thickness, in ångström; a voxel is 10 Å wide."""

    @pytest.mark.parametrize(("thickness", "reach"), [(10, 0), (99, 4)])
    def test_the_image_is_the_mean_of_planes_centred_in_the_slab(
        self, qtbot, viewer, tomogram, values, thickness, reach
    ):
        tomogram.projection_mode = "mean"
        viewer.dims.set_current_step(0, 20)
        viewer.dims.thickness = (thickness,) * 3
        wait_for(qtbot, tomogram, values[20 - reach : 21 + reach].mean(axis=0))
        viewer.dims.set_current_step(0, 11)
        wait_for(qtbot, tomogram, values[11 - reach : 12 + reach].mean(axis=0))

    def test_a_coarser_level_averages_its_planes_that_cover_the_slab(
        self, qtbot, viewer, tomogram, pyramid
    ):
        tomogram.locked_data_level = 1
        tomogram.projection_mode = "mean"
        viewer.dims.set_current_step(0, 20)
        viewer.dims.thickness = (50,) * 3  # planes 18 to 22

        wait_for(qtbot, tomogram, pyramid.read(1)[9:12].mean(axis=0))


class TestPicks:
    def test_points_in_other_planes_are_found(self, viewer, tomogram):
        points = add_picks(viewer, [20, 23, 31])  # 3 voxels around each
        viewer.dims.set_current_step(0, 27)
        assert elsewhere(points, viewer.dims) == Elsewhere(0, "-3", 200, 310, 230)
        viewer.dims.set_current_step(0, 29)
        assert elsewhere(points, viewer.dims) is None
        viewer.dims.set_current_step(0, 27)
        show_slabs(viewer, picks_nm=3)
        assert elsewhere(points, viewer.dims) is None

    def test_picks_are_full_inside_the_slab_and_discs_beside_it(self, viewer, tomogram):
        points = add_picks(viewer, [20, 23, 25, 27, 29])  # 6 voxels wide
        viewer.dims.set_current_step(0, 20)
        assert points._view_size.tolist() == [6]
        show_slabs(viewer, picks_nm=10)

        assert points._view_size.tolist() == pytest.approx([6, 6, 6, 2 * np.sqrt(9 - 4)])
        assert viewer.layers["picks · orientation"]._view_indices.tolist() == [0, 1, 2, 3]
        assert viewer.layers["picks · orientation"]._view_alphas.tolist() == pytest.approx(
            [1, 1, 1, 1 / 3]
        )
        show_slabs(viewer, picks_nm=0)
        assert points._view_size.tolist() == [6]


class TestDiscs:
    """The tests use a point with a radius of 6 voxels at z = 20, with a scale of 2."""

    @pytest.fixture
    def viewer(self, viewer_model):
        viewer_model.add_image(np.zeros((50, 20, 20)), scale=SCALE)
        return viewer_model

    @pytest.fixture
    def points(self, viewer):
        points = Points(CENTRE, size=12, scale=SCALE, projection_mode="rescale_spherical", ndim=3)
        viewer.layers.append(points)
        assert show_as_discs(points)
        return points

    def test_a_point_is_the_cross_section_of_its_sphere(self, viewer, points):
        for plane, sizes in (
            (20, [12]),
            (23, [2 * np.sqrt(36 - 9)]),
            (15, [2 * np.sqrt(36 - 25)]),
            (27, []),
        ):
            viewer.dims.set_current_step(0, plane)
            assert points._view_size.tolist() == pytest.approx(sizes)

    def test_other_layers_slices_keep_their_thickness(self, viewer, points):
        theirs = viewer.add_points(CENTRE, scale=SCALE)
        viewer.dims.set_current_step(0, 22)

        assert len(theirs._view_indices) == 0
        assert len(points._view_indices) == 1
        assert viewer.dims.thickness == (0, 0, 0)
