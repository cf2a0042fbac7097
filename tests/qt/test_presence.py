"""A streamed layer in several windows: it goes on in any that has it, also where nobody said that it came there."""

import gc
import threading
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cryoet._qt.labels import ElidedLabel
from napari_cryoet._qt.main_window import has_window, main_window
from napari_cryoet._qt.progressive import attach, make_layer
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.layer_spec import LayerSpec
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from quiet import is_quiet
from stream_server import StreamServer

SPACING = 13.48
VALUES = np.random.default_rng(0).normal(size=(45, 71, 58)).astype("f4")


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path) as server:
        yield server


@pytest.fixture
def pyramid(served, tmp_path):
    write_pyramid(tmp_path / "a.zarr", VALUES, SPACING)
    return open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)), cache=None)


@pytest.fixture
def first(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def second(make_napari_viewer):
    return make_napari_viewer(show=True)


def add(viewer, pyramid, **options):
    options = {"scale": (SPACING,) * 3, "units": "angstrom", "contrast_limits": (-3, 3), **options}
    layer, status = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
    viewer.add_layer(layer)
    return layer, status


def wait_exact(qtbot, status, layer, plane):
    qtbot.waitUntil(lambda: status.state.is_exact and np.array_equal(layer._slice.image.raw, VALUES[plane]))


def mark_of(viewer):
    (label,) = main_window(viewer).statusBar().findChildren(ElidedLabel, "streamMark")
    return label


def fetching(before):
    return [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("napari-cryoet")]


@pytest.mark.parametrize("leaves", ["as it is removed", "as the viewer closes"])
def test_it_goes_on_in_the_second_when_it_leaves_the_first(leaves, qtbot, first, second, pyramid):
    layer, status = add(first, pyramid)
    second.add_layer(first.layers[0])
    wait_exact(qtbot, status, layer, 22)
    if leaves == "as the viewer closes":
        first.close()
    else:
        first.layers.remove(layer)
    assert not status.state.is_stopped
    assert status.view == id(second.layers)
    second.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, 3)


def test_it_is_drawn_in_both_and_each_window_says_how_far_it_is(qtbot, first, second, served, pyramid):
    served.gate.clear()
    layer, status = add(first, pyramid, name="TS_1")
    second.add_layer(layer)
    for viewer in (first, second):
        qtbot.waitUntil(mark_of(viewer).isVisible)
        assert "TS_1" in mark_of(viewer).toolTip()
    served.gate.set()
    for viewer in (first, second):
        qtbot.waitUntil(mark_of(viewer).isHidden)
    for viewer, plane in ((first, 3), (second, 40), (first, 22)):
        viewer.dims.set_current_step(0, plane)
        wait_exact(qtbot, status, layer, plane)


def test_it_goes_on_where_napari_had_nothing_to_slice_as_it_came(qtbot, first, second, pyramid):
    layer, status = add(first, pyramid)
    wait_exact(qtbot, status, layer, 22)
    second.add_image(np.zeros(VALUES.shape, "u1"), scale=layer.scale, units=layer.units)
    second.dims.set_current_step(0, 22)
    second.add_layer(layer)
    first.layers.remove(layer)
    assert not status.state.is_stopped
    second.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, 3)


def test_it_goes_on_where_it_came_hidden(qtbot, first, second, pyramid):
    layer, status = add(first, pyramid, visible=False)
    second.add_layer(layer)
    first.close()
    layer.visible = True
    second.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, 3)


def test_it_moves_to_a_window_that_nobody_named_and_back(qtbot, first, second, pyramid):
    layer, status = add(first, pyramid)
    wait_exact(qtbot, status, layer, 22)
    for viewer, other, plane in ((second, first, 3), (first, second, 40)):
        other.layers.remove(layer)
        assert status.state.is_stopped
        viewer.add_layer(layer)
        viewer.dims.set_current_step(0, plane)
        wait_exact(qtbot, status, layer, plane)
        assert status.view == id(viewer.layers)


def test_nothing_is_fetched_once_it_has_left_both(qtbot, first, second, served, pyramid):
    before = set(threading.enumerate())
    layer, status = add(first, pyramid)
    second.add_layer(layer)
    wait_exact(qtbot, status, layer, 22)
    served.gate.clear()
    second.dims.set_current_step(0, 3)
    second.layers.remove(layer)
    assert not status.state.is_stopped
    first.layers.remove(layer)
    assert status.state.is_stopped
    served.gate.set()
    qtbot.waitUntil(lambda: not fetching(before))
    qtbot.waitUntil(lambda: is_quiet(pyramid._fetcher, served))
    seen = len(served.requests)
    layer.refresh()
    qtbot.wait(20)
    assert len(served.requests) == seen
    first.add_layer(layer)
    first.dims.set_current_step(0, 5)
    wait_exact(qtbot, status, layer, 5)


def test_what_it_took_goes_with_it_once_both_windows_are_closed(qtbot, first, second, pyramid):
    layer, status = add(first, pyramid)
    second.add_layer(layer)
    wait_exact(qtbot, status, layer, 22)
    gone, display = weakref.ref(layer), layer._slicing_state.display
    first.close()
    second.close()
    assert status.state.is_stopped
    del layer, status

    def is_gone():
        gc.collect()
        assert gone() is None

    qtbot.waitUntil(is_gone)  # what is left for the event loop holds it until then
    assert display._is_closed


def test_a_window_that_was_closed_by_hand_counts_for_nothing(qtbot, first, second, pyramid):
    layer, status = add(first, pyramid, visible=False)
    second.add_layer(layer)
    main_window(second).close()
    qtbot.waitUntil(lambda: not has_window(second))  # the viewer, and its list, are still there
    del second.window._qt_window  # which would be closed once more after the test
    layer.visible = True
    wait_exact(qtbot, status, layer, 22)
    first.layers.remove(layer)
    assert status.state.is_stopped


def test_for_whom_no_viewer_was_named_it_is_never_paused(qtbot, first, second, pyramid):
    layer = first.add_image(pyramid.levels, contrast_limits=(-3, 3), cache=False)
    status = attach(layer, pyramid)
    other = ViewerModel()
    other.add_layer(layer)
    second.add_layer(layer)
    for viewer in (first, second):
        viewer.layers.remove(layer)
    other.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, 3)
