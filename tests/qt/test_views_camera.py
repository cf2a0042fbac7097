"""A viewer's camera as a view holds it."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from napari.components import ViewerModel

from napari_cryoet._qt.views.camera import camera_of, show_camera


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_another_window_shows_the_same_place(ndisplay, order):
    viewers = ViewerModel(), ViewerModel()
    for viewer in viewers:
        viewer.add_image(np.zeros((20, 30, 40), np.float32), scale=(10, 10, 10))
    ours, other = viewers
    ours.canvas.size = (400, 600)
    ours.dims.order = order
    ours.dims.ndisplay = ndisplay
    ours.dims.point = (50, 110, 70)
    ours.dims.margin_left = ours.dims.margin_right = tuple(20.0 * (a == order[0]) for a in range(3))
    ours.scene.camera.center = (50, 60, 70)
    ours.scene.camera.zoom = 2.5
    ours.scene.camera.angles = (20, -35, 110)
    ours.scene.camera.perspective = 20
    camera = camera_of(ours)
    assert camera.field_angstrom == (160, 240)
    assert camera.slab_angstrom == 40

    other.canvas.size = (800, 1200)
    show_camera(other, camera)

    again = camera_of(other)
    np.testing.assert_allclose(again.orientation, camera.orientation, atol=1e-9)
    assert replace(again, orientation=camera.orientation) == camera
    assert other.scene.camera.zoom == 5
    np.testing.assert_allclose(
        other.scene.camera.view_direction, ours.scene.camera.view_direction, atol=1e-9
    )


def test_the_first_orientation_is_no_rotation():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 30, 40), np.float32))
    np.testing.assert_allclose(camera_of(viewer).orientation, (1, 0, 0, 0), atol=1e-9)
