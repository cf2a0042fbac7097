"""A mark in napari's status bar while a streamed picture isn't exact."""

import re

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.adopting import NOT_YET, adopt_layers_of
from napari_cryoet._qt.labels import ElidedLabel
from napari_cryoet._qt.main_window import main_window
from napari_cryoet._qt.stream_mark import GO_ON, STOP, StreamMark, mark_in
from napari_cryoet._qt.streaming.progressive import make_layer, stream_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.streaming import display, open_pyramid
from stream_server import StreamServer


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


def stored(served, tmp_path):
    """A pyramid whose server gives nothing more until it is let."""
    values = np.random.default_rng(0).normal(size=(45, 71, 58)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    pyramid = open_pyramid(f"{served.url}/a.zarr")
    served.gate.clear()
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
    served.gate.set()
    qtbot.waitUntil(mark_of(viewer).isHidden)


def test_a_layer_that_streams_only_once_it_is_there_has_a_mark_too(qtbot, viewer, served, tmp_path):
    adopt_layers_of(viewer)
    pyramid = stored(served, tmp_path)
    options = {"contrast_limits": (-3, 3), "visible": NOT_YET, "metadata": {METADATA_KEY: {}}}
    viewer.add_image(pyramid.levels, multiscale=True, **options)  # as napari adds what a reader gives it
    qtbot.waitUntil(mark_of(viewer).isVisible)
    served.gate.set()
    qtbot.waitUntil(mark_of(viewer).isHidden)


def test_what_was_stopped_is_marked_as_that(qtbot, viewer, served, tmp_path):
    _, status = add(viewer, served, tmp_path)
    status.stop()
    qtbot.waitUntil(lambda: mark_of(viewer).isVisible() and mark_of(viewer).text() == "stopped")
    assert "Go on" in mark_of(viewer).toolTip()


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
    served.gate.set()
    actions[GO_ON].trigger()
    qtbot.waitUntil(mark_of(viewer).isHidden)
    assert status.state.is_exact


def test_the_mark_offers_what_was_left_coarse(qtbot, viewer, served, tmp_path, monkeypatch):
    monkeypatch.setattr(display, "affordable_level", lambda pyramid, view, _: max(view.level, 1))
    _, status = add(viewer, served, tmp_path)
    served.gate.set()
    qtbot.waitUntil(lambda: mark_of(viewer).isVisible() and mark_of(viewer).text() == "coarser level")
    ((words, action),) = offered(qtbot, viewer).items()
    assert words.startswith("Load full detail (")
    action.trigger()
    qtbot.waitUntil(lambda: status.state.is_exact)
    qtbot.waitUntil(mark_of(viewer).isHidden)


def test_what_is_exact_within_a_moment_gets_no_mark(qtbot, viewer, served, tmp_path):
    mark_in(viewer, stream_of)
    (mark,) = main_window(viewer).statusBar().findChildren(StreamMark)
    mark._late.setInterval(60_000)
    add(viewer, served, tmp_path)
    assert mark._late.isActive()
    served.gate.set()
    qtbot.waitUntil(lambda: not mark._late.isActive())
    assert mark.label.isHidden()
    mark._late.setInterval(300)


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
