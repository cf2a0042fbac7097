"""Orthogonal views in windows, from opening to closing: in their place, once, and gone without a trace."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.ortho.dock import OrthoViews
from qt.test_ortho import PICK_ZYX, SHAPE_ZYX, end, opened

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
