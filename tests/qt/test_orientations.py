"""Arrows follow the picks that they belong to."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Vectors

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.layers.types import Vectors as OwnVectors
from napari_cryoet._qt.picks.layer_picks import link_of
from napari_cryoet._qt.picks.orientations import orientation_of
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import AXIS_COLORS

Z_TO_X = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])[::-1, ::-1]
ROTATIONS = np.stack([np.eye(3), Z_TO_X, np.full((3, 3), np.nan)])
PLACES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])


def add(viewer, picks):
    about = {"kind": "annotation"}
    common = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: about}}
    sizes = {"color": (1, 0, 0, 1), "diameter_angstrom": 200, "spacing_angstrom": 10}
    specs = [points_spec(picks, common, name="picks", **sizes), arrows_spec(picks, common, name="arrows", **sizes)]
    add_layers(viewer, [spec for spec in specs if spec is not None])


@pytest.fixture
def viewer(viewer_model, qtbot):
    return viewer_model


@pytest.fixture
def points(viewer):
    add(viewer, Picks(PLACES, 10.0, rotations_zyx=ROTATIONS))
    return viewer.layers["picks"]


@pytest.fixture
def display(points):
    return orientation_of(points)


def starts(viewer):
    return viewer.layers["arrows"].data[:, 0].tolist()


class TestFollowing:
    def test_they_move_and_go_with_their_picks(self, viewer, points, display):
        points.data = PLACES + 1
        assert starts(viewer) == [[2, 3, 4], [5, 6, 7]]
        points.remove([0])
        assert starts(viewer) == [[5, 6, 7]]
        assert viewer.layers["arrows"].features[PICK_ID].tolist() == [1]

    def test_they_are_hidden_and_shown_with_their_picks(self, viewer, points, display):
        points.visible = False
        assert not display.layer.visible
        points.visible = True
        assert display.layer.visible


class TestChoosing:
    def test_triads_have_the_colours_of_their_axes(self, viewer, points, display):
        display.show("triads", 100)
        arrows = viewer.layers["arrows"]

        np.testing.assert_allclose(arrows.edge_color, np.tile(AXIS_COLORS, (2, 1)), atol=1e-6)
        np.testing.assert_allclose(arrows.data[2], [[1, 2, 3], [10, 0, 0]])

    def test_a_persons_own_picks_have_arrows_once_they_have_orientations(self, viewer):
        own = viewer.add_points(PLACES, size=5, scale=(1, 1, 1), units="nm")
        display = orientation_of(own, viewer)
        assert "no orientations" in display.remark
        display.show("arrows")
        assert len(viewer.layers) == 1

        link = link_of(own)
        link.set(link.picks.changed("turned", rotations_zyx=ROTATIONS))
        assert isinstance(display.layer, Vectors)
        assert display.length_angstrom == 50
        np.testing.assert_allclose(display.layer.data[0], [[1, 2, 3], [5, 0, 0]])


def test_the_tips_of_arrows_do_not_lengthen_the_sliders(viewer):
    viewer.add_image(np.zeros((6, 8, 10)), scale=(2, 2, 2), units="angstrom")
    arrows = np.array([[[1.0, 2.0, 3.0], [-9.0, 0.0, 0.0]], [[4.0, 7.0, 5.0], [0.0, 0.0, 40.0]]])
    viewer.add_layer(OwnVectors(arrows, scale=(2, 2, 2), units="angstrom", ndim=3))

    assert viewer.dims.nsteps == (6, 8, 10)
    assert [tuple(axis)[:2] for axis in viewer.dims.range] == [(0, 10), (0, 14), (0, 18)]
