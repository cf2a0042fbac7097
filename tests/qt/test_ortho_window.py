"""Orthogonal views in windows, from opening to closing: in their place, once, and gone without a trace."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points
from napari.settings import get_settings
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication
from vispy.gloo.context import GLContext

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.ortho_views import OrthoViews
from qt.test_ortho_views import PICK_ZYX, SHAPE_ZYX, end, opened

VOLUME = np.zeros(SHAPE_ZYX, np.float32)


def test_closing_leaves_no_layer_no_canvas_no_connection_and_no_thread(qtbot):
    main = ViewerModel()
    layer = main.add_image(VOLUME, contrast_limits=(0, 1))
    emitters = [
        *(main.layers.events.inserted, main.layers.events.removed, main.layers.events.reordered),
        *(main.dims.events.point, main.dims.events.margin_left, main.events.theme),
        *(main.scene.camera.events.center, main.scene.camera.events.zoom),
        *(layer.events.visible, layer.events.contrast_limits, layer.events.colormap),
    ]
    before = [len(emitter.callbacks) for emitter in emitters]
    callbacks, overlays = list(main.mouse_drag_callbacks), set(main.scene.overlays)
    threads = set(threading.enumerate())
    views = OrthoViews(main)
    views.show()
    opened(views)
    canvases = [weakref.ref(view.qt_viewer) for view in views.views]
    assert set(main.scene.overlays) != overlays
    assert [len(emitter.callbacks) for emitter in emitters] != before
    models = [view.model for view in views.views]
    end(views)
    assert [len(emitter.callbacks) for emitter in emitters] == before
    assert list(main.mouse_drag_callbacks) == callbacks
    assert set(main.scene.overlays) == overlays
    assert all(not model.layers for model in models)
    assert [each.name for each in main.layers] == [layer.name]
    qtbot.waitUntil(lambda: set(threading.enumerate()) <= threads)
    qtbot.waitUntil(lambda: gc.collect() >= 0 and not any(reference() for reference in canvases))
    again = opened(OrthoViews(main))
    assert [len(view.model.layers) for view in again.views] == [1, 1]
    end(again)


def test_in_a_window_the_dock_lies_below_and_goes_without_a_trace(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(VOLUME, contrast_limits=(0, 1))
    viewer.add_points(PICK_ZYX[None].astype(float))
    dock, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    assert isinstance(views, OrthoViews)
    with qtbot.waitSignal(views.opened):
        window = views.window()
    qtbot.waitUntil(lambda: window.dockWidgetArea(dock) == Qt.DockWidgetArea.BottomDockWidgetArea)
    assert isinstance(views.views[0].model.layers[1], Points)
    assert views.splitter.height() > 0.75 * views.height()  # napari adds no empty room below it
    crosshairs = [overlay for overlay in viewer.scene.overlays.values() if "Crosshair" in type(overlay).__name__]
    assert len(crosshairs) == 1
    viewer.dims.set_point(0, 5)
    assert crosshairs[0].position[0] == 5
    dock.hide()
    assert not crosshairs[0].visible
    dock.show()
    assert crosshairs[0].visible
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    viewer.window.remove_dock_widget(dock)
    QApplication.processEvents()
    assert not [overlay for overlay in viewer.scene.overlays.values() if "Crosshair" in type(overlay).__name__]
    assert len(viewer.layers) == 2


@pytest.fixture
def drawn(qtbot, make_napari_viewer, monkeypatch):
    """A viewer with three layers in orthogonal views, its canvases, and in whose context each has deleted since."""
    viewer = make_napari_viewer(show=True)
    for name in ("a", "b", "c"):
        viewer.add_image(VOLUME, contrast_limits=(0, 1), name=name)
    _, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    with qtbot.waitSignal(views.opened):
        pass
    canvases = [viewer.window._qt_viewer.canvas, *(view.qt_viewer.canvas for view in views.views)]
    qtbot.waitUntil(lambda: all(canvas.native.context() is not None for canvas in canvases))
    whose = {canvas._scene_canvas.context: canvas for canvas in canvases}
    deleted, finish = [], GLContext.finish

    def spy(self: GLContext) -> None:
        if self in whose:
            deleted.append((whose[self], QOpenGLContext.currentContext()))
        finish(self)

    monkeypatch.setattr(GLContext, "finish", spy)
    return viewer, canvases, deleted


def test_what_a_canvas_drew_is_deleted_in_it_whichever_drew_last(drawn):
    viewer, canvases, deleted = drawn
    canvases[-1].native.makeCurrent()  # as it does to draw
    viewer.layers.remove("a")
    assert {canvas for canvas, _ in deleted} == set(canvases)
    assert all(context == canvas.native.context() for canvas, context in deleted)


@pytest.mark.parametrize("how", ["selected", "all"])
def test_of_many_layers_that_go_at_once_each_canvas_tidies_up_once(drawn, how):
    viewer, canvases, deleted = drawn
    viewer.layers.selection = {viewer.layers["a"], viewer.layers["b"]}
    (viewer.layers.remove_selected if how == "selected" else viewer.layers.clear)()
    assert [canvas for canvas, _ in deleted] == canvases
    assert all(context == canvas.native.context() for canvas, context in deleted)


def test_in_a_low_window_they_lie_beside_the_left_column_and_give_its_place_back(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(VOLUME, contrast_limits=(0, 1))
    viewer.window.resize(1280, 800)
    window, corner = viewer.window._qt_window, Qt.Corner.BottomLeftCorner
    before = window.corner(corner)
    dock, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    with qtbot.waitSignal(views.opened):
        pass
    qtbot.waitUntil(lambda: views.splitter.height() > 200)
    assert window.corner(corner) == Qt.DockWidgetArea.LeftDockWidgetArea
    viewer.window.remove_dock_widget(dock)
    QApplication.processEvents()

    assert window.corner(corner) == before != Qt.DockWidgetArea.LeftDockWidgetArea


@pytest.mark.parametrize("remembered", ["right", "bottom"])
@pytest.mark.parametrize("beside", [(), ("Review picks", "Check picks")])
@pytest.mark.parametrize(("size", "letters_pt"), [((800, 600), 9), ((800, 600), 14), ((1280, 800), 14)])
def test_opening_them_makes_no_window_larger(qtbot, viewer_in_window, remembered, beside, size, letters_pt):
    viewer, settings = viewer_in_window, get_settings()
    settings.appearance.font_size = letters_pt
    settings.application.plugin_widget_positions["Orthogonal views (napari-cryoet)"] = remembered
    window = viewer.window._qt_window
    viewer.add_image(VOLUME, contrast_limits=(0, 1))
    viewer.add_points(PICK_ZYX[None].astype(float))
    viewer.add_labels(VOLUME.astype(int))  # whose controls are the highest
    docks = [viewer.window.add_plugin_dock_widget("napari-cryoet", name)[1] for name in beside]
    qtbot.waitUntil(lambda: all(dock.minimumHeight() == 0 for dock in docks))
    viewer.window.resize(*size)
    settle(window)
    before = window.size()  # larger than that where napari itself, or another dock, needs more
    _, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    with qtbot.waitSignal(views.opened):
        pass
    qtbot.waitUntil(lambda: views.splitter.height() > 80)
    settle(window)

    assert window.size() == before


def test_they_leave_the_left_column_room_for_controls_of_layers_to_come(qtbot, viewer_in_window):
    viewer, settings = viewer_in_window, get_settings()
    settings.appearance.font_size = 14
    window = viewer.window._qt_window
    viewer.window.resize(1280, 880)
    settle(window)
    viewer.add_image(VOLUME, contrast_limits=(0, 1))
    _, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    with qtbot.waitSignal(views.opened):
        pass
    viewer.add_labels(VOLUME.astype(int))
    settle(window)

    assert (window.width(), window.height()) == (1280, 880)


def settle(window):
    """Let all layouts be done, and what each of them asks for."""
    for _ in range(20):
        QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    QApplication.processEvents()


def test_the_runs_page_opens_them(qtbot, make_napari_viewer, memory, portal):
    viewer = make_napari_viewer(show=True)
    browser = PortalBrowser(viewer, open_portal=lambda _source, _job: portal, memory=memory)
    viewer.window.add_dock_widget(browser, area="right")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(506)
    qtbot.mouseClick(browser.screens.run.planes, Qt.MouseButton.LeftButton)
    names = [name for name in viewer.window.dock_widgets if "Orthogonal" in name]
    assert len(names) == 1
    qtbot.mouseClick(browser.screens.run.planes, Qt.MouseButton.LeftButton)
    assert [name for name in viewer.window.dock_widgets if "Orthogonal" in name] == names
    browser.close_down()
