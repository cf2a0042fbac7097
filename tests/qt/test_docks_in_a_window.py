"""All docks in a window of 1280 x 800, whatever size letters have: the window stays as it is, and all is in reach."""

from __future__ import annotations

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget

from napari_cryoet import load_annotation, open_portal
from napari_cryoet._qt.layers.manager import add_layers
from qt.cut_texts import cut_texts

TRUTH, TEMPLATES, MEMBRANES = 9001, 9004, 9008
SIZE = (1280, 800)
DOCKS = {
    "CryoET Data Portal": "Portal",
    "Review picks": "Review",
    "Compare annotations": "Compare",
    "Check picks": "Check",
    "Export picks": "Export",
}


@pytest.fixture
def enlarge():
    """Choose letters so many times as large as napari's, in its settings and in the application's font."""
    font = QApplication.font()

    def enlarge(factor):
        larger = QApplication.font()
        larger.setPointSizeF(factor * font.pointSizeF())
        QApplication.setFont(larger)
        get_settings().appearance.font_size = round(factor * get_settings().appearance.font_size)

    yield enlarge
    QApplication.setFont(font)
    get_settings().reset()


@pytest.fixture
def viewer(viewer_in_window, demo_pack):
    viewer = viewer_in_window
    page = open_portal(demo_pack).run_page(9001)
    files = {file.shape.annotation.id: file for file in reversed(page.annotation_files)}
    viewer.add_image(np.zeros((20, 40, 60), np.float32), scale=(10,) * 3, units=("angstrom",) * 3, name="volume")
    for number in (TRUTH, TEMPLATES, MEMBRANES):  # the controls of labels are the largest that napari has
        add_layers(viewer, load_annotation(files[number]))
    return viewer


def settle(window):
    """Let all layouts be done, and what each of them asks for."""
    for _ in range(20):
        QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    QApplication.processEvents()


def out_of_reach(dock):
    """What no page that scrolls holds, and what is beyond the end of one."""
    return [
        (type(each).__name__, each.accessibleName() or each.objectName())
        for each in dock.findChildren(QWidget)
        if each.isVisible() and not _is_reached(each, dock)
    ]


def _is_reached(widget, dock):
    above = widget.parentWidget()
    while above is not dock and not isinstance(above, QScrollArea):
        above = above.parentWidget()
    place = above.widget() if isinstance(above, QScrollArea) and above.widget().isAncestorOf(widget) else dock
    return widget.mapTo(place, widget.rect().topRight()).x() <= place.width()


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_no_dock_makes_the_window_larger_and_all_of_it_is_in_reach(qtbot, viewer, enlarge, factor):
    window = viewer.window._qt_window
    enlarge(factor)
    viewer.window.resize(*SIZE)
    settle(window)
    before = window.size()  # with letters twice as large, napari itself needs a little more height
    assert before.width() == SIZE[0]
    for name in DOCKS:
        _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", name)
        qtbot.waitUntil(lambda dock=dock: not dock.visibleRegion().isEmpty())
        settle(window)
        assert window.size() == before, name
        assert out_of_reach(dock) == [], name
        if factor <= 1.5:
            assert cut_texts(dock) == [], name
            assert not any(page.horizontalScrollBar().isVisible() for page in dock.findChildren(QScrollArea)), name


def test_tabs_are_short_and_the_menu_of_docks_says_the_whole_name(qtbot, viewer):
    holder, _ = viewer.window.add_plugin_dock_widget("napari-cryoet", "Check picks")

    qtbot.waitUntil(lambda: holder.windowTitle() == "Check")
    assert holder.toggleViewAction().text().startswith("Check picks")
