"""A mark in napari's status bar while a streamed picture isn't exact."""

import re

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.main_window import main_window
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet._qt.streaming.stream_mark import GO_ON, STOP
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.streaming import open_pyramid
from server import Server


@pytest.fixture
def served(tmp_path):
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


def stored(served, tmp_path):
    """A pyramid whose server gives nothing more until it is let."""
    values = np.random.default_rng(0).normal(size=(45, 71, 58)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.script("", None)
    return pyramid


def add(viewer, served, tmp_path, **options):
    spec = LayerSpec(stored(served, tmp_path).levels, {"contrast_limits": (-3, 3), **options}, "image")
    layer, status = make_layer(spec, viewer=viewer)
    viewer.add_layer(layer)
    return layer, status


def mark_of(viewer):
    (label,) = main_window(viewer).statusBar().findChildren(ElidedLabel, "streamMark")
    return label


def test_a_picture_that_is_not_exact_yet_has_a_mark_until_it_is(qtbot, viewer, served, tmp_path):
    add(viewer, served, tmp_path, name="<b>TS_1</b>")
    qtbot.waitUntil(mark_of(viewer).isVisible)
    assert mark_of(viewer).text() == "sharpening…"
    assert "&lt;b&gt;TS_1&lt;/b&gt;: sharpening…" in mark_of(viewer).toolTip()
    served.end()
    qtbot.waitUntil(mark_of(viewer).isHidden)


def offered(qtbot, viewer):
    """What a click on the mark offers, by name."""
    label = mark_of(viewer)
    qtbot.mouseClick(label, Qt.MouseButton.LeftButton)
    menu = label.findChild(QMenu, "streamMenu")
    qtbot.waitUntil(menu.isVisible)
    menu.close()
    return {action.text(): action for action in menu.actions()}


def test_the_mark_tells_how_much_comes_and_stops_it_and_goes_on(qtbot, viewer, served, tmp_path):
    """Without our dock, as where another plugin streams an image."""
    _, status = add(viewer, served, tmp_path)
    qtbot.waitUntil(mark_of(viewer).isVisible)
    assert re.search(r"sharpening… · \d+(\.\d)?\s[KM]?B", mark_of(viewer).toolTip())
    actions = offered(qtbot, viewer)
    assert list(actions) == [STOP]
    actions[STOP].trigger()
    qtbot.waitUntil(lambda: mark_of(viewer).text() == "stopped")
    assert status.state.is_stopped
    actions = offered(qtbot, viewer)
    assert list(actions) == [GO_ON]
    served.end()
    actions[GO_ON].trigger()
    qtbot.waitUntil(mark_of(viewer).isHidden)
    assert status.state.is_exact


@pytest.mark.parametrize("goes", ["hide", "remove", "other data"])
def test_the_mark_of_a_layer_that_is_not_seen_any_more_goes(goes, qtbot, viewer, served, tmp_path):
    layer, _ = add(viewer, served, tmp_path)
    qtbot.waitUntil(mark_of(viewer).isVisible)
    match goes:
        case "hide":
            layer.visible = False
        case "remove":
            viewer.layers.remove(layer)
        case _:
            layer.data = [np.zeros(level.shape, "f4") for level in layer.data]
    qtbot.waitUntil(mark_of(viewer).isHidden)
