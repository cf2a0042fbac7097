"""Streamed layers in several windows of napari's at once."""

import numpy as np
import pytest
from napari import Viewer

from napari_cryoet._qt.streaming.progressive import make_layer, stream_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.streaming import open_pyramid


@pytest.fixture
def levels(tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.random.default_rng(0).normal(size=(20, 71, 58)).astype("f4"), 10.0)
    return open_pyramid(tmp_path / "a.zarr").levels


@pytest.fixture
def other():
    other = Viewer(show_welcome_screen=False)
    yield other
    if hasattr(other.window, "_qt_window"):  # not closed yet
        other.close()


def show(viewer, levels, qtbot):
    layer, stream = make_layer(LayerSpec(levels, {"contrast_limits": (-3, 3)}, "image"), viewer=viewer)
    viewer.add_layer(layer)
    qtbot.waitUntil(lambda: stream.state.is_exact)
    return layer


def picture_of(viewer, plane, qtbot):
    viewer.dims.set_current_step(0, plane)
    qtbot.waitUntil(lambda: all(stream_of(layer).state.is_exact for layer in viewer.layers))
    return viewer.screenshot(flash=False)


def test_what_one_window_lets_go_of_is_not_the_others(qtbot, viewer_in_window, other, levels):
    for viewer in (viewer_in_window, other, other):
        show(viewer, levels, qtbot)
    before = picture_of(viewer_in_window, 3, qtbot)
    other.dims.ndisplay = 3
    assert not np.array_equal(picture_of(viewer_in_window, 4, qtbot), before)
    other.layers.pop()
    assert np.array_equal(picture_of(viewer_in_window, 3, qtbot), before)
    other.close()
    assert not np.array_equal(picture_of(viewer_in_window, 4, qtbot), before)
    assert np.array_equal(picture_of(viewer_in_window, 3, qtbot), before)
