"""What nobody looks at yet waits until a layer's first picture has been drawn, and for no longer than that."""

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel

from blocks_here import planes_in_memory
from napari_cryoet._qt import first_drawing
from napari_cryoet._qt.progressive import display_of, make_layer
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.layer_spec import LayerSpec
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from quiet import is_quiet, wait_until_quiet
from stream_server import StreamServer

SHAPE = (60, 200, 200)
MIDDLE = 29
OF_MIDDLE, BESIDE = [28, 29], {26, 27, 30, 31}  # a block holds two planes


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "a.zarr", values, 10.0)
    return folder


@pytest.fixture
def served(folder):
    with StreamServer(folder) as server:
        yield server


@pytest.fixture
def pyramid(served):
    return open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)), cache=None)


@pytest.fixture
def hidden_viewer(make_napari_viewer):
    """A viewer whose window draws nothing."""
    return make_napari_viewer(show=False)


@pytest.fixture
def never_by_time(monkeypatch):
    """Let nothing but a drawing end the wait."""
    monkeypatch.setattr(first_drawing, "_LONGEST_MS", 2**30)


def make(pyramid, viewer):
    return make_layer(LayerSpec(pyramid.levels, {"contrast_limits": (-3, 3)}, "image"), viewer=viewer)


def add(viewer, pyramid):
    layer, status = make(pyramid, viewer)
    viewer.add_layer(layer)
    return layer, status


def wait_for_what_is_beside(qtbot, pyramid):
    qtbot.waitUntil(lambda: set(planes_in_memory(pyramid)) >= BESIDE)


def wait_for_what_is_ahead(qtbot, layer):
    """Until the coarsest level is there as a whole."""
    display = display_of(layer)
    qtbot.waitUntil(lambda: not display._stock.lacking(2, tuple((0, size) for size in display.pyramid.shapes[2])))


def wait_until_begun(qtbot, layer):
    """Until what is looked at would be fetched."""
    qtbot.waitUntil(lambda: not display_of(layer)._is_held)


@pytest.mark.usefixtures("never_by_time")
@pytest.mark.parametrize("comes", ["while the layer is added", "later"])
def test_only_the_plane_has_come_by_the_time_that_it_is_drawn(comes, qtbot, viewer_in_window, served, pyramid, values):
    if comes == "later":
        served.gate.clear()  # before anybody looks ahead at the plane that will be shown
    layer, status = make(pyramid, viewer_in_window)
    drawn = []

    def on_slice():
        if status.state.is_exact and not drawn:  # let come what would come by now
            wait_until_quiet(pyramid._fetcher, served)

    def on_drawing(_event):
        if np.array_equal(layer._slice.image.raw, values[MIDDLE]):
            drawn.append((planes_in_memory(pyramid), len(served.requests)))

    layer.events.set_data.connect(on_slice)
    canvas = viewer_in_window.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(on_drawing, position="last")
    try:
        viewer_in_window.add_layer(layer)
        wait_until_begun(qtbot, layer)
        served.gate.set()
        qtbot.waitUntil(lambda: bool(drawn))
        wait_for_what_is_beside(qtbot, pyramid)
    finally:
        canvas.events.draw.disconnect(on_drawing)
    planes, requests = drawn[0]
    assert planes == OF_MIDDLE
    assert len(served.requests) > requests


def test_what_no_window_draws_is_waited_for_only_a_while(qtbot, hidden_viewer, pyramid, monkeypatch):
    monkeypatch.setattr(first_drawing, "_LONGEST_MS", 100)
    add(hidden_viewer, pyramid)
    wait_for_what_is_beside(qtbot, pyramid)


@pytest.mark.usefixtures("never_by_time")
def test_viewers_without_a_window_draw_nothing_to_wait_for(qtbot, pyramid):
    layer, _ = add(ViewerModel(), pyramid)
    wait_for_what_is_ahead(qtbot, layer)


@pytest.mark.usefixtures("never_by_time")
def test_a_layer_for_which_no_viewer_was_named_waits_for_nothing(qtbot, viewer_in_window, pyramid):
    layer, _ = make(pyramid, None)
    viewer_in_window.add_layer(layer)
    wait_for_what_is_beside(qtbot, pyramid)


@pytest.mark.usefixtures("never_by_time")
@pytest.mark.parametrize("leaves", ["hidden", "removed"])
def test_a_layer_that_leaves_before_it_is_drawn_goes_on_when_it_is_back(
    leaves, qtbot, viewer_in_window, served, pyramid
):
    served.gate.clear()
    layer, _ = add(viewer_in_window, pyramid)
    wait_until_begun(qtbot, layer)
    if leaves == "hidden":
        layer.visible = False
    else:
        viewer_in_window.layers.remove(layer)
    served.gate.set()
    qtbot.waitUntil(lambda: is_quiet(pyramid._fetcher, served))
    assert set(planes_in_memory(pyramid)) <= set(OF_MIDDLE)
    assert not display_of(layer)._goes_ahead
    if leaves == "hidden":
        layer.visible = True
    else:
        viewer_in_window.add_layer(layer)
    wait_for_what_is_ahead(qtbot, layer)


@pytest.mark.usefixtures("never_by_time")
def test_what_comes_for_a_layer_that_has_left_is_not_taken_for_drawn(qtbot, viewer_in_window, served, pyramid, values):
    served.gate.clear()
    layer, _ = add(viewer_in_window, pyramid)
    wait_until_begun(qtbot, layer)
    viewer_in_window.layers.remove(layer)
    served.gate.set()
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw, values[MIDDLE]))
    canvas = viewer_in_window.window._qt_viewer.canvas.native
    for _ in range(2):
        with qtbot.waitSignal(canvas.frameSwapped):
            canvas.update()
    assert not display_of(layer)._goes_ahead


@pytest.mark.usefixtures("never_by_time")
def test_a_plane_that_fails_is_waited_for_until_that_is_seen(qtbot, viewer_in_window, served, pyramid, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    served.statuses["a.zarr/0/"] = 500
    layer, status = add(viewer_in_window, pyramid)
    wait_for_what_is_ahead(qtbot, layer)
    assert status.state.error is not None


@pytest.mark.usefixtures("never_by_time")
def test_a_volume_is_waited_for_like_a_plane(qtbot, viewer_in_window, pyramid):
    viewer_in_window.dims.ndisplay = 3
    layer, _ = add(viewer_in_window, pyramid)
    qtbot.waitUntil(lambda: display_of(layer)._goes_ahead)


@pytest.mark.usefixtures("never_by_time")
def test_of_two_windows_the_one_that_draws_is_enough(qtbot, viewer_in_window, hidden_viewer, pyramid):
    layer, status = add(hidden_viewer, pyramid)
    viewer_in_window.add_layer(layer)
    status.follow(viewer_in_window)
    wait_for_what_is_beside(qtbot, pyramid)


def test_a_layer_that_is_forgotten_before_it_is_drawn_is_not_kept(qtbot, hidden_viewer, pyramid):
    layer, status = add(hidden_viewer, pyramid)
    wait_until_begun(qtbot, layer)
    hidden_viewer.layers.clear()
    known = [weakref.ref(layer), weakref.ref(status)]
    del layer, status

    def are_gone():
        gc.collect()
        return not any(each() for each in known)

    qtbot.waitUntil(are_gone)


def test_a_window_that_closes_before_it_has_drawn_leaves_nothing_to_fail(qtbot, make_napari_viewer, served, pyramid):
    served.gate.clear()
    viewer = make_napari_viewer(show=False)
    layer, status = add(viewer, pyramid)
    wait_until_begun(qtbot, layer)
    viewer.close()
    served.gate.set()
    del viewer
    gc.collect()
    status.close()
