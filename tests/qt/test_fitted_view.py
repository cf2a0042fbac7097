"""A tomogram that was fitted into the canvas stays whole in view, until somebody moves the camera."""

import numpy as np
import pytest
from napari.layers import Image

from napari_cryoet._qt.layers.fitted_view import FittedView


@pytest.fixture
def fitted(viewer_model, qtbot):
    viewer_model.canvas.size = (700, 600)
    viewer_model.add_layer(Image(np.zeros((10, 100, 100), "f4")))
    fitted = FittedView(viewer_model)
    fitted.fit(viewer_model.layers[0])
    yield fitted
    fitted.close_down()


def resize(qtbot, fitted, *size):
    fitted._viewer.canvas.size = size
    qtbot.waitUntil(lambda: not fitted._soon.isActive())


def test_a_canvas_that_gets_narrower_or_wider_shows_all_of_it(fitted, viewer_model, qtbot):
    assert viewer_model.scene.camera.zoom == pytest.approx(5.7)
    resize(qtbot, fitted, 700, 300)
    assert viewer_model.scene.camera.zoom == pytest.approx(2.85)
    resize(qtbot, fitted, 700, 400)
    assert viewer_model.scene.camera.zoom == pytest.approx(3.8)


def test_it_is_that_layer_that_is_fitted_whatever_comes_later(fitted, viewer_model, qtbot):
    viewer_model.add_layer(Image(np.zeros((10, 5000, 5000), "f4")))
    viewer_model.dims.set_current_step(0, 7)
    resize(qtbot, fitted, 700, 300)

    assert viewer_model.scene.camera.zoom == pytest.approx(2.85)


@pytest.mark.parametrize("moved", ["zoom", "center", "ndisplay"])
def test_what_somebody_looks_at_stays(fitted, viewer_model, qtbot, moved):
    camera = viewer_model.scene.camera
    match moved:
        case "zoom":
            camera.zoom = 9
        case "center":
            camera.center = (0, 10, 10)
        case "ndisplay":
            viewer_model.dims.ndisplay = 3
    before = camera.zoom, camera.center
    resize(qtbot, fitted, 700, 300)
    resize(qtbot, fitted, 700, 400)

    assert (camera.zoom, camera.center) == before
