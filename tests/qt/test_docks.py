"""Requirements for every dock, in one window of 1280 x 800: keys, names, sizes, and unchanged layers."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Image
from napari.settings import get_settings
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QDockWidget, QLabel, QScrollArea, QWidget

from keyboard import controls_by_tab, has_keys, press, spoken
from napari_cryoet._qt.compare import dock as compare_dock
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.widgets.controls import ElidedLabel
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.layers.load import load_picks
from napari_cryoet.picks import Picks

WORLD = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "axis_labels": ("z", "y", "x")}
DOCKS = {
    "CryoET Explorer": ("Portal", lambda dock: dock.screens.start),
    "Review picks": ("Review", lambda dock: dock.sheet),
    "Compare annotations": ("Compare", lambda dock: dock.a),
    "Check picks": ("Check", lambda dock: dock.points),
    "Export picks": ("Export", lambda dock: dock.layer),
}


@pytest.fixture(scope="module")
def window_with_picks(own_window):
    """A volume, a mask and two sets of picks, shared by the tests."""
    viewer = own_window
    viewer.add_layer(
        Image(
            np.random.default_rng(0).normal(size=(16, 32, 32)).astype("f4"),
            name="tomogram",
            **WORLD,
        )
    )
    viewer.add_labels(np.ones((16, 32, 32), int), name="mask", **WORLD)  # napari's largest controls
    for name in ("picks", "others"):
        picks = Picks([[8.0, 10.0, 10.0], [8.0, 20.0, 20.0], [9.0, 10.0, 24.0]], 10.0)
        add_layers(viewer, load_picks(picks, name=name))
    return viewer


@pytest.fixture
def viewer(window_with_picks, qtbot):
    viewer = window_with_picks
    layers = list(viewer.layers)
    viewer.window.resize(1280, 800)
    viewer.layers.selection.active = viewer.layers["picks"]
    window = viewer.window._qt_window
    with qtbot.waitActive(window):
        window.activateWindow()
    yield viewer
    viewer.window.remove_dock_widget("all")
    assert list(viewer.layers) == layers
    assert [len(viewer.layers[name].data) for name in ("picks", "others")] == [3, 3]
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


@pytest.fixture
def choose(viewer, qtbot):
    """Choose a dock in napari's menu, which shows or hides it."""

    def choose(name, *, hides=False):
        full_name = f"{name} (CryoET Explorer)"
        viewer.window._qt_viewer.setFocus()
        viewer.window.plugins_menu.aboutToShow.emit()
        menus = [
            action.menu()
            for action in viewer.window.plugins_menu.actions()
            if action.menu() is not None
        ]
        next(
            action for menu in menus for action in menu.actions() if action.text() == full_name
        ).trigger()
        dock = viewer.window.dock_widgets[full_name]
        qtbot.waitUntil(
            lambda: not dock.isVisible() if hides else is_in_front(dock) and has_keys(dock)
        )
        if name == "Review picks":
            qtbot.waitUntil(lambda: dock.review is not None)
        return dock

    return choose


def holder_of(dock):
    holder = dock.parent()
    assert isinstance(holder, QDockWidget)
    return holder


def is_in_front(dock):
    return dock.isVisible() and not dock.visibleRegion().isEmpty()


@pytest.mark.parametrize("name", DOCKS)
def test_a_dock_takes_focus_and_has_titles_and_labelled_controls(choose, qtbot, name):
    dock = choose(name)
    tab_name, first = DOCKS[name]
    qtbot.waitUntil(lambda: has_keys(first(dock)))
    labels = holder_of(dock).titleBarWidget().findChildren(QLabel)
    assert [label.text() for label in labels if label.text()] == [name]
    assert (holder_of(dock).windowTitle(), holder_of(dock).toggleViewAction().text()) == (
        tab_name,
        name,
    )

    controls = controls_by_tab(dock)
    assert len(controls) > 1
    assert [control for control in controls if not spoken(control)] == []


def test_the_menu_opens_raises_and_hides_docks_as_tabs(viewer, choose, qtbot):
    portal, review, compare = map(
        choose, ("CryoET Explorer", "Review picks", "Compare annotations")
    )
    tabs = viewer.window._qt_window.tabifiedDockWidgets
    qtbot.waitUntil(lambda: set(tabs(holder_of(portal))) == {holder_of(review), holder_of(compare)})
    assert choose("Review picks") is review
    choose("Review picks", hides=True)
    assert open_dock(viewer, "Review picks") is review
    qtbot.waitUntil(lambda: is_in_front(review) and has_keys(review.sheet))


def test_keys_go_only_to_the_dock_in_front(choose, viewer, qtbot):
    layer = viewer.layers["picks"]
    review, compare = choose("Review picks"), choose("Compare annotations")
    for dock, control in ((review, review.sheet), (compare, compare.bar.button)):
        holder_of(dock).raise_()
        qtbot.waitUntil(lambda dock=dock: has_keys(dock))
        control.setFocus()
        layer.selected_data = {1}
        for key in (Qt.Key.Key_Delete, Qt.Key.Key_A):
            press(key)
            assert has_keys(control)
            assert (len(layer.data), set(layer.selected_data), layer.mode) == (
                3,
                {1},
                "pan_zoom",
            ), control
    press(Qt.Key.Key_K)
    assert review.review.counts.judged == 0

    compare.a.setFocus()
    plane = viewer.dims.current_step[0]
    press(Qt.Key.Key_Right)  # no control uses it
    assert viewer.dims.current_step[0] == plane + 1


def test_closing_a_dock_stops_its_tasks(choose, viewer, qtbot, monkeypatch):
    ended = threading.Event()

    def endless(*_args, task, **_how):
        try:
            task.wait(60)
        finally:
            ended.set()

    monkeypatch.setattr(compare_dock, "compare", endless)
    dock = choose("Compare annotations")
    dock.bar.button.setFocus()
    press(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dock.tasks.is_running(compare_dock.KEY))
    viewer.window.remove_dock_widget(holder_of(dock))
    assert ended.wait(30)


def test_closing_a_dock_again_does_nothing_once_its_window_deleted_it(choose, viewer):
    dock = choose("CryoET Explorer")
    viewer.window.remove_dock_widget(holder_of(dock))
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    dock.close_down()


@pytest.fixture
def enlarge():
    """Scale the font size in napari's settings and in the application's font."""
    font = QApplication.font()

    def enlarge(factor):
        larger = QApplication.font()
        larger.setPointSizeF(factor * font.pointSizeF())
        QApplication.setFont(larger)
        get_settings().appearance.font_size = round(factor * get_settings().appearance.font_size)

    yield enlarge
    QApplication.setFont(font)
    get_settings().reset()


@pytest.mark.parametrize("factor", [1, 2])
def test_docks_fit_the_window_and_show_all_text(qtbot, viewer, enlarge, factor):
    window = viewer.window._qt_window
    enlarge(factor)
    settle()
    before = window.size()  # with twice the font size, napari itself needs a little more height
    for name in DOCKS:
        _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", name)
        qtbot.waitUntil(lambda dock=dock: is_in_front(dock))
        settle()
        assert window.size() == before, name
        assert [
            item
            for item in dock.findChildren(QWidget)
            if item.isVisible() and not is_in_reach(item, dock)
        ] == []
        assert factor > 1 or cut_texts(dock) == [], name


def settle():
    """Process events until all layouts are done."""
    for _ in range(20):
        QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    QApplication.processEvents()


def is_in_reach(widget, dock):
    """Whether a widget fits the width of the dock, or of the page in a scroll area."""
    above = widget.parentWidget()
    while above is not dock and not isinstance(above, QScrollArea):
        above = above.parentWidget()
    page = above.widget() if isinstance(above, QScrollArea) else dock
    container = page if page.isAncestorOf(widget) else dock
    return widget.mapTo(container, widget.rect().topRight()).x() <= container.width()


def cut_texts(dock):
    """Texts that are cut off and have no tooltip."""
    texts = [
        widget
        for widget in dock.findChildren(QWidget)
        if isinstance(widget, QLabel | QAbstractButton)
    ]
    return [
        widget.text()
        for widget in texts
        if widget.isVisible() and not (holds_text(widget) or widget.toolTip())
    ]


def holds_text(widget):
    if isinstance(widget, QLabel) and widget.wordWrap():
        return widget.heightForWidth(widget.width()) <= widget.height()
    return (
        isinstance(widget, ElidedLabel)
        or widget.fontMetrics().horizontalAdvance(widget.text()) <= widget.width()
    )
