"""Arrows in the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Vectors as NapariVectors

from napari_cryoet._qt.picks.arrows import Vectors

ARROWS = np.array([[[1.0, 2.0, 3.0], [-9.0, 0.0, 0.0]], [[4.0, 7.0, 5.0], [0.0, 0.0, 40.0]]])


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 8, 10)), scale=(2, 2, 2), units="angstrom")
    viewer.add_layer(Vectors(ARROWS, scale=(2, 2, 2), units="angstrom", ndim=3))
    return viewer


def test_the_tips_of_arrows_do_not_lengthen_the_sliders(viewer):
    assert viewer.dims.nsteps == (6, 8, 10)
    assert [tuple(axis)[:2] for axis in viewer.dims.range] == [(0, 10), (0, 14), (0, 18)]


def test_napari_takes_them_for_its_own():
    layer = Vectors(ARROWS)
    assert isinstance(layer, NapariVectors)
    assert layer.as_layer_data_tuple()[2] == "vectors"
