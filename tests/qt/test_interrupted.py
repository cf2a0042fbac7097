"""Stop, a limit that is reached and a network that is switched off, while planes and volumes load: all ends exact."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.network.policy import save_data
from napari_cryoet.streaming import open_pyramid
from qt.docks import FINEST, MASK, TOMOGRAM, dock_at_run, page_at
from server import Server, sent, status

SHAPE = (120, 280, 264)
VIEWS = {"XY": (0, 1, 2), "YZ": (2, 1, 0), "3D": (0, 1, 2)}
BLOCKS = dict.fromkeys(VIEWS, FINEST) | {"3D": r"/\d/\d+/\d+/\d+$"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    values = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    write_pyramid(folder / "raw.zarr", values, 10.0)
    write_pyramid(folder / "mask.zarr", (values > 1).astype(np.int8), 10.0, "mask")
    return folder


@pytest.fixture(scope="module")
def truth(folder):
    """All levels of both layers."""
    whole = {}
    for key, name in ((TOMOGRAM, "raw"), (MASK, "mask")):
        pyramid = open_pyramid(folder / f"{name}.zarr")
        whole[key] = [pyramid.read(level) for level in range(len(pyramid.shapes))]
        pyramid.close()
    return whole


@pytest.fixture(autouse=True)
def policy():
    policy = shared_policy()
    yield policy
    save_data()


@pytest.fixture
def server(folder):
    with Server(folder) as server:
        yield server


@pytest.fixture
def dock(qtbot, viewer_in_window, memory, server):
    viewer_in_window.window.resize(1280, 800)  # so that the finest level is looked at
    browser = dock_at_run(qtbot, viewer_in_window, memory, page_at(server.url))
    yield browser
    browser.close_down()


@pytest.fixture
def shown(qtbot, dock, truth):
    """A tomogram and a mask, all of whose first plane is there."""
    link, page = dock.link, dock.screens.run.page
    link.open_tomogram(page, page.tomograms[0])
    qtbot.waitUntil(lambda: TOMOGRAM in link.shown())
    link.show_annotation(page, next(file for file in page.annotation_files if file.id == MASK.id))
    qtbot.waitUntil(lambda: MASK in link.shown())
    layers = {key: link.layers_of(key)[0] for key in (TOMOGRAM, MASK)}
    shown = SimpleNamespace(dock=dock, viewer=dock.viewer, strip=dock.screens.status, layers=layers, truth=truth)
    wait_exact(qtbot, shown)
    return shown


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def says(shown, words: str) -> bool:
    return words in shown.strip.label.accessibleName()


def expected(shown, key):
    """What should be drawn of a layer where it is looked at, at the level that napari draws."""
    layer, dims = shown.layers[key], shown.viewer.dims
    level, values = layer.data_level, shown.truth[key][layer.data_level]
    if dims.ndisplay == 3:
        return values
    axis, displayed = dims.order[0], list(dims.order[1:])
    plane = min(round(dims.point[axis] / layer.scale[axis]), SHAPE[axis] - 1)
    seen = [slice(None)] * 3
    seen[axis] = min(plane >> level, values.shape[axis] - 1)
    for each in displayed:
        seen[each] = slice(layer.corner_pixels[0, each], layer.corner_pixels[1, each] + 1)
    cut = values[tuple(seen)]
    return cut if displayed == sorted(displayed) else cut.T


def wait_exact(qtbot, shown) -> None:
    def is_exact():
        assert not shown.strip.label.text()
        for key, layer in shown.layers.items():
            assert np.array_equal(layer._slice.image.raw, expected(shown, key))

    qtbot.waitUntil(is_exact)


def look_at(shown, view: str) -> None:
    """Show a view, somewhere that nobody has looked, in full detail."""
    dims = shown.viewer.dims
    if view == "3D":
        dims.ndisplay = 3
        for key in shown.layers:
            shown.dock.volumes.choose(key, 0)
        return
    dims.order = VIEWS[view]
    step_to(shown, SHAPE[dims.order[0]] - 20)


def step_to(shown, plane: int) -> None:
    dims = shown.viewer.dims
    if dims.ndisplay == 2:
        dims.set_point(dims.order[0], plane * 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["YZ", "3D"])
def test_what_was_stopped_goes_on_where_one_has_gone_meanwhile(qtbot, server, shown, view):
    stalled = server.script(BLOCKS[view], sent("stalled"))
    look_at(shown, view)
    qtbot.waitUntil(lambda: stalled.hits > 0 and shown.strip.stop.isVisible())
    click(qtbot, shown.strip.stop)
    qtbot.waitUntil(lambda: says(shown, "stopped"))
    step_to(shown, 30)
    server.end()
    click(qtbot, shown.strip.retry)
    wait_exact(qtbot, shown)


@pytest.mark.slow
@pytest.mark.parametrize(("view", "fault"), [("XY", None), ("3D", status(429, Retry_After="0"))])
def test_a_limit_that_is_reached_in_a_drag_is_told_and_may_be_raised(qtbot, server, shown, view, fault, policy):
    if fault:
        server.script(BLOCKS[view], fault, times=2)
    policy.max_session_bytes = policy.received_bytes + 400_000
    look_at(shown, view)
    for plane in range(10, 110, 12):
        step_to(shown, plane)
        qtbot.wait(5)
    qtbot.waitUntil(lambda: says(shown, "The data saver allows"))
    policy.max_session_bytes = None
    shown.dock.network.look()
    click(qtbot, shown.strip.retry)
    wait_exact(qtbot, shown)
