"""Docks that are opened from napari's menu take the keys, keep them, and don't squeeze each other."""

import threading

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QLineEdit

from keyboard import CONTROL, SHIFT, click, controls_by_tab, has_keys, marks_of_keys, press, spoken
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.compare import dock as compare_dock
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.review.dock import ReviewDock
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.layers.specs import METADATA_KEY, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review import Verdict

WORLD = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "axis_labels": ("z", "y", "x")}
LONG_MS = 60_000
DOCKS = {
    "CryoET Data Portal": lambda dock: dock.screens.start,
    "Review picks": lambda dock: dock.sheet,
    "Compare annotations": lambda dock: dock.a,
    "Check picks": lambda dock: dock.points,
    "Export picks": lambda dock: dock.layer,
}


@pytest.fixture(scope="module")
def window_with_picks(_shown_window):
    """A volume and two sets of picks, which the tests share."""
    viewer = _shown_window
    viewer.window.resize(1280, 900)
    viewer.add_layer(Image(np.random.default_rng(0).normal(size=(16, 32, 32)).astype("f4"), name="tomogram", **WORLD))
    for name in ("picks", "others"):
        add_picks(viewer, name, [[8.0, 10.0, 10.0], [8.0, 20.0, 20.0], [9.0, 10.0, 24.0]])
    return viewer


@pytest.fixture
def viewer(window_with_picks, qtbot):
    viewer = window_with_picks
    layers = list(viewer.layers)
    viewer.layers.selection.active = viewer.layers["picks"]
    window = viewer.window._qt_window
    with qtbot.waitActive(window):
        window.activateWindow()
    yield viewer
    viewer.window.remove_dock_widget("all")
    for layer in set(viewer.layers) - set(layers):
        viewer.layers.remove(layer)
    assert [len(viewer.layers[name].data) for name in ("picks", "others")] == [3, 3]
    viewer.theme = "dark"
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def add_picks(viewer, name, voxels):
    picks = Picks(voxels, 10.0, scores=np.linspace(0.1, 0.9, len(voxels)))
    about = {METADATA_KEY: {"kind": "annotation", "annotation_file_id": len(name), "source_url": name}}
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 100, "spacing_angstrom": 10}
    add_layers(viewer, [points_spec(picks, WORLD | {"metadata": about}, name=name, **looks)])


@pytest.fixture
def choose(viewer, qtbot):
    """Choose a dock in napari's menu, and wait until it has settled."""

    def choose(name):
        viewer.window._qt_viewer.setFocus()
        actions = [action for menu in _menus(viewer) for action in menu.actions()]
        next(action for action in actions if action.text() == f"{name} (CryoET Data Portal)").trigger()
        dock = viewer.window.dock_widgets[f"{name} (CryoET Data Portal)"]
        qtbot.waitUntil(lambda: is_at_rest(dock) and (not dock.isVisible() or has_keys(dock)))
        qtbot.waitUntil(lambda: not isinstance(dock, ReviewDock) or dock.review is not None)
        return dock

    return choose


def _menus(viewer):
    plugins = viewer.window.plugins_menu
    plugins.aboutToShow.emit()
    return [action.menu() for action in plugins.actions() if action.menu() is not None]


def holder_of(dock):
    holder = dock.parent()
    assert isinstance(holder, QDockWidget)
    return holder


def is_at_rest(dock):
    """Whether a dock has come to where it stays, and has taken the keys if it does."""
    QApplication.processEvents()
    return not (dock._come_forward_soon.isActive() or dock._arrive_soon.isActive())


def is_in_front(dock):
    return dock.isVisible() and not dock.visibleRegion().isEmpty()


@pytest.mark.parametrize("name", DOCKS)
def test_a_dock_that_is_chosen_in_the_menu_has_the_keys_and_a_plain_title(choose, qtbot, name):
    dock = choose(name)
    qtbot.waitUntil(lambda: has_keys(DOCKS[name](dock)))
    title = holder_of(dock).titleBarWidget().findChildren(QLabel)
    assert [label.text() for label in title if label.text()] == [name]


def test_the_menu_knows_a_dock_that_another_one_opened(viewer, choose, qtbot):
    dock = open_dock(viewer, "Review picks")
    qtbot.waitUntil(lambda: has_keys(dock))
    assert choose("Review picks") is dock
    assert not dock.isVisible()
    assert open_dock(viewer, "Review picks") is dock
    qtbot.waitUntil(lambda: has_keys(dock))


def test_docks_are_tabs_beside_each_other(viewer, choose, qtbot):
    first, second, third = map(choose, ("CryoET Data Portal", "Review picks", "Compare annotations"))
    tabs = viewer.window._qt_window.tabifiedDockWidgets
    qtbot.waitUntil(lambda: set(tabs(holder_of(first))) == {holder_of(second), holder_of(third)})
    assert is_in_front(third)
    qtbot.waitUntil(lambda: third.height() > 500)


def test_the_menu_brings_a_dock_forward_that_is_behind_a_tab_and_hides_what_is_in_front(choose, qtbot):
    review = choose("Review picks")
    choose("Compare annotations")
    assert choose("Review picks") is review
    qtbot.waitUntil(lambda: is_in_front(review) and has_keys(review.sheet))
    choose("Review picks")
    assert not review.isVisible()
    choose("Review picks")
    qtbot.waitUntil(lambda: is_in_front(review) and has_keys(review.sheet))


def test_keys_go_to_the_dock_whose_tab_is_chosen(choose, qtbot):
    review, compare = choose("Review picks"), choose("Compare annotations")
    holder_of(review).raise_()
    qtbot.waitUntil(lambda: has_keys(review.sheet))
    holder_of(compare).raise_()
    qtbot.waitUntil(lambda: has_keys(compare))
    press(Qt.Key.Key_K)
    assert review.review.counts.judged == 0


def test_a_dock_that_opens_with_its_window_leaves_the_keys_to_the_viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=False)
    _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", "CryoET Data Portal")
    viewer.window.show()
    with qtbot.waitActive(viewer.window._qt_window):
        viewer.window._qt_window.activateWindow()
    qtbot.waitUntil(lambda: is_at_rest(dock))
    assert isinstance(dock, PortalBrowser)
    assert not has_keys(dock)


def test_verdicts_by_mouse_leave_the_keys_in_the_sheet(choose):
    dock = choose("Review picks")
    assert isinstance(dock, ReviewDock)
    click(dock.verdicts[Verdict.KEPT])
    assert dock.review.counts.kept == 1
    assert has_keys(dock.sheet)
    press(Qt.Key.Key_Z, CONTROL)
    assert dock.review.counts.kept == 0


@pytest.mark.parametrize("key", [Qt.Key.Key_Delete, Qt.Key.Key_A])
def test_keys_in_a_dock_do_nothing_to_the_points_that_are_selected(choose, viewer, key):
    layer = viewer.layers["picks"]
    review, compare = choose("Review picks"), choose("Compare annotations")
    for dock, control in ((review, review.sheet), (review, review.controls.direction), (compare, compare.start)):
        holder_of(dock).raise_()
        control.setFocus()
        layer.selected_data = {1}
        press(key)
        assert has_keys(control)
        assert (len(layer.data), set(layer.selected_data), layer.mode) == (3, {1}, "pan_zoom"), control


def test_arrows_in_a_dock_scrub_where_no_control_takes_them(choose, viewer):
    compare = choose("Compare annotations")
    compare.a.setFocus()
    plane = viewer.dims.current_step[0]
    press(Qt.Key.Key_Right)
    assert viewer.dims.current_step[0] == plane + 1


@pytest.mark.parametrize("name", DOCKS)
def test_every_control_has_a_name_and_shows_when_it_has_the_keys(choose, viewer, name):
    dock = choose(name)
    dock.take_keys()
    controls = controls_by_tab(dock)
    assert len(controls) > 1
    assert [control for control in controls if not spoken(control)] == []
    for theme in ("dark", "light"):
        viewer.theme = theme
        unmarked = [spoken(control) for control in controls if marks_of_keys(control, dock) < 20]
        assert unmarked == [], theme


def test_a_comparison_ends_when_napari_closes_its_dock(choose, viewer, qtbot, monkeypatch):
    ended = threading.Event()

    def endless(*_args, stop, **_how):
        stop.wait(LONG_MS / 1000)
        ended.set()
        raise StoppedError

    monkeypatch.setattr(compare_dock, "compare", endless)
    dock = choose("Compare annotations")
    dock.start.setFocus()
    press(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dock.tasks.is_running(compare_dock.KEY))
    viewer.window.remove_dock_widget(holder_of(dock))
    assert ended.wait(30)


def test_the_command_palette_runs_no_command_that_needs_a_path(viewer, qtbot):
    press(Qt.Key.Key_P, CONTROL | SHIFT)
    qtbot.waitUntil(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
    qtbot.keyClicks(QApplication.focusWidget(), "Open cryo-ET volumes, annotations and packs")
    press(Qt.Key.Key_Return)  # would raise
    press(Qt.Key.Key_Escape)
