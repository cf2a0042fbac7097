"""Arrows follow their picks."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Vectors

from napari_cryoet._qt.layers.types import Vectors as OwnVectors
from napari_cryoet._qt.picks.layer_picks import live_picks_of
from napari_cryoet._qt.picks.orientations import orientation_of
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.layers.load import load_picks
from napari_cryoet.layers.specs import PICK_ID
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import AXIS_COLORS

Z_TO_X = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])[::-1, ::-1]
ROTATIONS = np.stack([np.eye(3), Z_TO_X, np.full((3, 3), np.nan)])
POSITIONS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])


@pytest.fixture
def points(viewer_model, qtbot):
    return add_layers(
        viewer_model, load_picks(Picks(POSITIONS, 10.0, rotations_zyx=ROTATIONS), name="picks")
    )[-1]


@pytest.fixture
def display(points):
    return orientation_of(points)


def starts(display):
    return display.layer.data[:, 0].tolist()


class TestFollowing:
    def test_moving_or_removing_picks_updates_arrows(self, points, display):
        points.data = POSITIONS + 1
        assert starts(display) == [[2, 3, 4], [5, 6, 7]]
        points.remove([0])
        assert starts(display) == [[5, 6, 7]]
        assert display.layer.features[PICK_ID].tolist() == [1]

    def test_selecting_a_pick_fades_other_arrows_at_once(self, points, display):
        points.selected_data = {1}
        alphas = display.layer.edge_color[:, 3]
        assert alphas[1] > alphas[0]

    def test_hiding_or_showing_picks_does_the_same_to_arrows(self, points, display):
        points.visible = False
        assert not display.layer.visible
        points.visible = True
        assert display.layer.visible


class TestChoosing:
    def test_triads_have_axis_colours(self, points, display):
        display.show("triads", 100)
        arrows = display.layer

        np.testing.assert_allclose(arrows.edge_color, np.tile(AXIS_COLORS, (2, 1)), atol=1e-6)
        np.testing.assert_allclose(arrows.data[2], [[1, 2, 3], [10, 0, 0]])

    def test_user_picks_get_arrows_once_they_have_orientations(self, viewer_model):
        own = viewer_model.add_points(POSITIONS, size=5, scale=(1, 1, 1), units="nm")
        display = orientation_of(own, viewer_model)
        assert "no orientations" in display.remark
        display.show("arrows")
        assert len(viewer_model.layers) == 1

        live = live_picks_of(own)
        live.set(live.picks.changed("turned", rotations_zyx=ROTATIONS))
        assert isinstance(display.layer, Vectors)
        assert display.length_angstrom == 50
        np.testing.assert_allclose(display.layer.data[0], [[1, 2, 3], [5, 0, 0]])


def test_arrow_tips_do_not_extend_the_sliders(viewer_model):
    viewer_model.add_image(np.zeros((6, 8, 10)), scale=(2, 2, 2), units="angstrom")
    arrows = np.array([[[1.0, 2.0, 3.0], [-9.0, 0.0, 0.0]], [[4.0, 7.0, 5.0], [0.0, 0.0, 40.0]]])
    viewer_model.add_layer(OwnVectors(arrows, scale=(2, 2, 2), units="angstrom", ndim=3))

    assert viewer_model.dims.nsteps == (6, 8, 10)
    assert [tuple(axis)[:2] for axis in viewer_model.dims.range] == [(0, 10), (0, 14), (0, 18)]
