"""Sliders are moved to steps, by the numbers that napari's own sliders give."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import Dims

from napari_cryoet._qt.ortho.cursor import move_sliders


@pytest.fixture
def dims() -> Dims:
    return Dims(ndim=3, range=((0.0, 499 * 10.012, 10.012), (-30.0, 60.0, 7.5), (5.0, 5.0, 2.0)))


@pytest.mark.parametrize("plane", [0, 50, 450])
def test_the_place_of_a_plane_is_the_one_that_napari_computes(dims, plane):
    dims.set_current_step(0, plane)
    as_napari = dims.point
    dims.set_current_step(0, (plane + 100) % 500)
    assert move_sliders(dims, {0: plane * 10.012 + 4.9})
    assert dims.point == as_napari
    assert not move_sliders(dims, {0: np.nextafter(plane * 10.012, np.inf)})
    assert dims.point == as_napari


def test_all_axes_move_together(dims):
    seen: list[tuple[float, ...]] = []
    dims.events.point.connect(lambda _event: seen.append(dims.point))
    assert move_sliders(dims, {0: 20.0, 1: -8.0})
    assert seen == [(2 * 10.012, -7.5, 5.0)]


def test_places_outside_are_the_ends(dims):
    move_sliders(dims, {0: 1e9, 1: -1e9})
    assert dims.current_step[:2] == (499, 0)
