"""Orthogonal views: positions, the shared cursor, layers in sync, shared requests, and cleanup."""

from __future__ import annotations

import gc
import threading
import weakref
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QEventLoop, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_cryoet._qt.ortho.dock import NAME, OrthoViews
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet._qt.widgets.dock import toggle_dock
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_picks, load_tomogram
from napari_cryoet.network.policy import save_data
from napari_cryoet.picks import Picks
from napari_cryoet.viewer import add_layers, show_orientations
from server import Server, status

SHAPE_ZYX = (24, 40, 56)
VOXEL_ZYX = np.array([14.0, 9.0, 6.0])  # different along each axis, to reveal swapped axes
PICK_ZYX = np.array([7, 29, 11])


@pytest.fixture(scope="module")
def widget(qapp):
    """The dock on an empty viewer, shared by all tests, since creating two canvases takes a second."""
    views = OrthoViews(ViewerModel())
    views.resize(700, 300)
    views.show()
    opened(views)
    gc.collect()
    gc.freeze()
    yield views
    gc.unfreeze()
    end(views)
    gc.freeze()


def opened(views: OrthoViews) -> OrthoViews:
    """The dock after it has built both planes."""
    loop = QEventLoop()
    views.opened.connect(loop.quit)
    loop.exec()
    return views


def end(views: OrthoViews) -> None:
    """Close the dock and delete its canvases, since napari's tests count remaining ones."""
    views.close()
    views.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()


@pytest.fixture
def empty_views(widget):
    """The dock in its initial state, on a viewer without layers."""
    widget.viewer.layers.clear()
    widget.resize(700, 300)
    for view in widget.views:
        view.fit()
    yield widget
    widget.viewer.layers.clear()


@pytest.fixture
def main(widget) -> ViewerModel:
    return widget.viewer


@pytest.fixture
def planted() -> np.ndarray:
    volume = np.zeros(SHAPE_ZYX, np.float32)
    volume[tuple(PICK_ZYX)] = 1
    return volume


@pytest.fixture
def views(qtbot, empty_views, main, planted) -> OrthoViews:
    """The dock on an anisotropic volume of the user's, with a pick on its one bright voxel and a mask around it."""
    world = {"scale": VOXEL_ZYX, "units": ("angstrom",) * 3, "axis_labels": ("z", "y", "x")}
    main.add_image(planted, name="volume", contrast_limits=(0, 1), **world)
    main.add_labels((planted > 0).astype(np.uint8), name="mask", **world)
    main.add_points(PICK_ZYX[None].astype(float), name="picks", size=3, **world)
    main.dims.current_step = [steps // 2 for steps in main.dims.nsteps]
    for view in empty_views.views:
        view.fit()
    settle(qtbot, empty_views)
    return empty_views


def by_name(views: OrthoViews, name: str):
    return next(view for view in views.views if view.plane.name == name)


def copies(views: OrthoViews, name: str):
    return [view.model.layers[name] for view in views.views]


def settle(qtbot, views: OrthoViews) -> None:
    """Wait until the viewer and both planes show the cursor's position and all changes."""
    QApplication.processEvents()
    qtbot.waitUntil(lambda: not views.shared_cursor.is_moving)


def at(position_zyx) -> dict[int, float]:
    return dict(enumerate(np.asarray(position_zyx, float)))


@pytest.mark.parametrize(("name", "down", "right"), [("XZ", 0, 2), ("YZ", 0, 1)])
def test_voxel_mask_and_pick_coincide_in_every_plane(qtbot, views, name, down, right):
    views.shared_cursor.move_to(at(PICK_ZYX * VOXEL_ZYX))
    settle(qtbot, views)
    view = by_name(views, name)
    assert view.model.dims.displayed == (down, right)
    image, mask, picks = (view.model.layers[name] for name in ("volume", "mask", "picks"))
    for layer in (image, mask):
        shown = np.asarray(layer._slice.image.raw)
        assert np.argwhere(shown).tolist() == [[PICK_ZYX[down], PICK_ZYX[right]]]
    np.testing.assert_allclose(picks._view_data, [PICK_ZYX[[down, right]]])
    # one voxel further across, neither is shown
    across = view.model.dims.order[0]
    views.shared_cursor.move_to({across: (PICK_ZYX[across] + 3) * VOXEL_ZYX[across]})
    settle(qtbot, views)
    assert not np.asarray(image._slice.image.raw).any()
    assert len(picks._view_data) == 0


def drag(callback, model, *moves, button=1, world_zyx=(0.0, 45.0, 30.0)):
    """Simulate the drag events of napari's canvas, with world positions and canvas pixels."""
    event = SimpleNamespace(
        type="mouse_press", button=button, modifiers=[], position=world_zyx, pos=(100.0, 100.0)
    )
    dragging = callback(model, event)
    next(dragging, None)
    event.type = "mouse_move"
    for event.position, event.pos in moves:
        next(dragging, None)
    event.type = "mouse_release"
    next(dragging, None)


def test_clicking_and_dragging_in_a_plane_moves_the_shared_cursor(qtbot, views, main):
    model = by_name(views, "XZ").model
    (callback,) = model.mouse_drag_callbacks
    drag(callback, model, ((84.0, 999.0, 126.0), (110.0, 105.0)), world_zyx=(70.0, 999.0, 120.0))
    settle(qtbot, views)
    assert views.shared_cursor.position[0] == 84.0
    assert views.shared_cursor.position[2] == 126.0
    assert main.dims.point[0] == 84.0, "the viewer's own plane moves immediately"
    assert by_name(views, "YZ").model.dims.point[2] == 126.0
    qtbot.waitUntil(
        lambda: main.dims.point[2] == 126.0
    )  # other sliders follow once the cursor rests


def test_napari_itself_neither_pans_nor_zooms_in_a_plane(views):
    for view in views.views:
        camera = view.model.scene.camera
        assert (camera.mouse_pan, camera.mouse_zoom) == (False, False)


def test_in_the_viewer_a_click_moves_the_cursor_but_a_drag_does_not(views, main):
    (callback,) = [item for item in main.mouse_drag_callbacks if "SharedCursor" in str(item)]
    before = views.shared_cursor.position
    drag(callback, main, ((0.0, 63.0, 63.0), (150.0, 150.0)))
    assert views.shared_cursor.position == before
    drag(callback, main)
    assert views.shared_cursor.position[1:] == (45.0, 30.0)


def test_keys_move_the_cursor_by_one_voxel(qtbot, views):
    before = np.array(views.shared_cursor.position)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_PageDown):
        qtbot.keyClick(by_name(views, "XZ"), key)
    np.testing.assert_allclose(views.shared_cursor.position, before + np.array([-14.0, 9.0, 6.0]))


class TestLayerSync:
    def test_appearance_is_synchronized(self, qtbot, views, main):
        main.layers["volume"].contrast_limits = (0.1, 0.6)
        main.layers["volume"].colormap = "magma"
        main.layers["mask"].visible = False
        main.layers["picks"].border_color = "red"
        main.layers["picks"].size = 5
        settle(qtbot, views)
        for volume in copies(views, "volume"):
            assert tuple(volume.contrast_limits) == (0.1, 0.6)
            assert volume.colormap.name == "magma"
        assert not any(mask.visible for mask in copies(views, "mask"))
        for picks in copies(views, "picks"):
            assert (picks.border_color == [1, 0, 0, 1]).all()
            assert (picks.size == 5).all()

    def test_added_moved_and_deleted_points_are_synchronized(self, qtbot, views, main):
        picks = main.layers["picks"]
        picks.add([1.0, 2.0, 3.0])
        settle(qtbot, views)
        for copy in copies(views, "picks"):
            np.testing.assert_array_equal(copy.data, [PICK_ZYX, [1, 2, 3]])
        picks._move([0], [PICK_ZYX[0], 20, 30])
        settle(qtbot, views)
        for copy in copies(views, "picks"):
            np.testing.assert_array_equal(copy.data, picks.data)
            assert len(copy.size) == 2
        picks.remove([0])
        settle(qtbot, views)
        assert all(len(copy.data) == 1 for copy in copies(views, "picks"))

    def test_arrows_are_synchronized(self, qtbot, empty_views, main):
        def wait_for_arrows(count):
            qtbot.waitUntil(
                lambda: [len(copy.data) for copy in copies(empty_views, arrows.name)] == [count] * 2
            )

        picks = Picks(
            [[15.0, 16.0, 15.0], [16.0, 17.0, 16.0]],
            10.0,
            rotations_zyx=np.eye(3)[None].repeat(2, axis=0),
        )
        arrows, points = add_layers(main, load_picks(picks, name="oriented"))
        wait_for_arrows(2)
        show_orientations(main, points, "triads", length_angstrom=160)
        wait_for_arrows(6)
        points.remove([0])
        wait_for_arrows(3)
        show_orientations(main, points, "off")
        wait_for_arrows(0)


class TestStreaming:
    @pytest.fixture
    def served(self, tmp_path):
        volume = np.random.default_rng(0).normal(size=(40, 70, 90)).astype("f4")
        write_pyramid(tmp_path / "v.zarr", volume, 10.0)
        with Server(tmp_path) as server:
            yield SimpleNamespace(
                volume=volume, server=server, load=lambda: load_tomogram(f"{server.url}/v.zarr")
            )

    def test_every_plane_becomes_exact_and_no_byte_is_fetched_twice(
        self, qtbot, empty_views, main, served
    ):
        add_layers(main, [served.load()])
        views = empty_views
        states = [view.copies[0].stream for view in views.views]
        for position in ((100.0, 300.0, 500.0), (110.0, 310.0, 510.0), (390.0, 690.0, 890.0)):
            views.shared_cursor.move_to(at(position))
            settle(qtbot, views)
            qtbot.waitUntil(lambda: all(state.state.is_exact for state in states))
        y, x = 69, 89
        for name, plane in (("XZ", served.volume[:, y]), ("YZ", served.volume[:, :, x])):
            layer = by_name(views, name).model.layers[0]
            qtbot.waitUntil(lambda layer=layer, plane=plane: is_shown(layer, plane))
        requested = [
            (request.path, request.headers.get("range")) for request in served.server.to("/[01]/")
        ]
        assert requested
        assert len(requested) == len(set(requested)), "each range of each file once"

    def test_planes_stay_coarse_under_the_data_saver(self, qtbot, empty_views, main, served, saver):
        saver(coarse_only=True)
        add_layers(main, [served.load()])
        empty_views.shared_cursor.move_to(at((390.0, 690.0, 890.0)))
        settle(qtbot, empty_views)
        states = [view.copies[0].stream for view in empty_views.views]
        qtbot.waitUntil(lambda: not any(state.state.is_coming for state in states))

        assert [state.state.is_limited for state in states] == [True, True]
        qtbot.waitUntil(
            lambda: all("coarser level" in view.label.text() for view in empty_views.views)
        )

    @pytest.fixture
    def saver(self):
        yield save_data
        save_data()

    @pytest.mark.usefixtures("quick_retries")
    def test_an_error_is_shown_in_its_plane_and_can_be_retried(
        self, qtbot, empty_views, main, served
    ):
        spec = served.load()
        served.server.script("v.zarr/0/", status(503))
        add_layers(main, [spec])
        qtbot.waitUntil(lambda: all("503" in view.label.text() for view in empty_views.views))
        served.server.end()
        stream_of(main.layers[0]).retry()
        qtbot.waitUntil(lambda: all(view.label.text().endswith(" Å") for view in empty_views.views))


def is_shown(layer, plane) -> bool:
    shown = np.asarray(layer._slice.image.raw)
    return shown.shape == plane.shape and bool((shown == plane).all())


def test_closing_leaves_no_layers_canvases_connections_or_threads(qtbot, planted):
    main = ViewerModel()
    layer = main.add_image(planted, contrast_limits=(0, 1))
    emitters = [
        *(main.layers.events.inserted, main.dims.events.point, main.events.theme),
        *(layer.events.visible, layer.events.contrast_limits),
    ]
    before = [len(emitter.callbacks) for emitter in emitters]
    callbacks, overlays = list(main.mouse_drag_callbacks), set(main.scene.overlays)
    threads = set(threading.enumerate())
    views = OrthoViews(main)
    views.show()
    opened(views)
    canvases = [weakref.ref(view.qt_viewer) for view in views.views]
    models = [view.model for view in views.views]
    with patch.object(gc, "collect") as collect:
        views.close()
    assert not collect.called  # it takes a quarter of a second
    end(views)
    assert [len(emitter.callbacks) for emitter in emitters] == before
    assert list(main.mouse_drag_callbacks) == callbacks
    assert set(main.scene.overlays) == overlays
    assert not any(model.layers for model in models)
    qtbot.waitUntil(lambda: set(threading.enumerate()) <= threads)
    qtbot.waitUntil(lambda: gc.collect() >= 0 and not any(reference() for reference in canvases))


def test_the_button_hides_what_it_opened_and_other_docks_keep_their_height(
    qtbot, viewer_in_window, planted
):
    viewer = viewer_in_window
    viewer.add_image(planted, contrast_limits=(0, 1))
    beside = QWidget()
    viewer.window.add_dock_widget(beside, name="beside", area="right")
    qtbot.waitUntil(beside.isVisible)
    height = beside.height()

    toggle_dock(viewer, NAME)
    (views,) = beside.window().findChildren(OrthoViews)
    with qtbot.waitSignal(views.opened):
        views.show()
    assert beside.height() == height
    height_of_planes = views.height()

    toggle_dock(viewer, NAME)
    assert not views.isVisible()
    viewer.add_points(PICK_ZYX[None].astype(float))
    viewer.dims.set_point(0, 5)
    assert [len(view.copies) for view in views.views] == [1, 1], "hidden planes cost nothing"

    with qtbot.waitSignal(views.opened):
        toggle_dock(viewer, NAME)
    assert [len(view.copies) for view in views.views] == [2, 2]
    qtbot.waitUntil(lambda: views.height() == height_of_planes)


def test_the_dock_opens_below_can_float_and_is_removed_cleanly(qtbot, viewer_in_window, planted):
    viewer = viewer_in_window
    viewer.add_image(planted, contrast_limits=(0, 1))
    viewer.add_points(PICK_ZYX[None].astype(float))
    dock, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
    with qtbot.waitSignal(views.opened):
        window = views.window()
    qtbot.waitUntil(lambda: window.dockWidgetArea(dock) == Qt.DockWidgetArea.BottomDockWidgetArea)
    assert views.splitter.height() > 0.75 * views.height()  # napari adds no stretch below it
    crosshairs = [
        overlay
        for overlay in viewer.scene.overlays.values()
        if "Crosshair" in type(overlay).__name__
    ]
    assert len(crosshairs) == 1
    viewer.dims.set_point(0, 5)
    assert crosshairs[0].position[0] == 5
    dock.hide()
    assert not crosshairs[0].visible
    dock.show()
    assert crosshairs[0].visible
    for floats in (True, False):
        before = list(views.views)
        with qtbot.waitSignal(views.opened):  # another window needs other canvases
            dock.setFloating(floats)
        assert not set(before) & set(views.views)
        assert [len(view.model.layers) for view in views.views] == [2, 2]
    viewer.window.remove_dock_widget(dock)
    QApplication.processEvents()
    assert not [
        overlay
        for overlay in viewer.scene.overlays.values()
        if "Crosshair" in type(overlay).__name__
    ]
    assert len(viewer.layers) == 2
