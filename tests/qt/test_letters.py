"""Larger letters, as a person may choose them in napari's settings: nothing is cut off, and all of a dock follows."""

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QLineEdit, QPushButton

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.compare_dock import CompareDock
from napari_cryoet._qt.dock import WIDEST_NEED_PX
from napari_cryoet._qt.labels import roomy
from napari_cryoet._qt.picks_on_screen import PicksOnScreen
from napari_cryoet._qt.review_controls import Nanometres
from napari_cryoet._qt.review_dock import ReviewDock


@pytest.fixture
def large_letters():
    def enlarge():
        get_settings().appearance.font_size = 14
        QApplication.processEvents()

    yield enlarge
    get_settings().reset()


def beyond(dock):
    """What of a dock lies beside it."""
    parts = [*dock.findChildren(QAbstractButton), *dock.findChildren(QLineEdit)]
    return [part for part in parts if part.isVisible() and part.mapTo(dock, part.rect().topRight()).x() > dock.width()]


def test_a_run_s_page_is_seen_in_its_whole_width_and_all_of_it_has_large_letters(
    qtbot, viewer_in_window, portal, memory, large_letters
):
    browser = PortalBrowser(viewer_in_window, open_portal=lambda _source, _job: portal, memory=memory)
    viewer_in_window.window.add_dock_widget(browser, area="right")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(506)
    large_letters()
    page = browser.screens.run

    def is_seen_whole():
        assert page.mapTo(browser, page.rect().topRight()).x() <= browser.width()
        assert beyond(browser) == []
        assert {part.font().pointSize() for part in (page.tomograms, page.tree, page.planes)} == {14}
        header = page.tree.header()
        for column in (1, 2):
            title = header.model().headerData(column, Qt.Orientation.Horizontal)
            assert header.sectionSize(column) > header.fontMetrics().horizontalAdvance(title), title

    qtbot.waitUntil(is_seen_whole)
    browser.close_down()


@pytest.mark.parametrize("make", [PicksOnScreen, ReviewDock])
def test_docks_need_little_more_width_for_larger_letters_and_show_all(qtbot, viewer_in_window, large_letters, make):
    viewer_in_window.add_points(np.zeros((3, 3)))
    dock = make(viewer_in_window)
    viewer_in_window.window.add_dock_widget(dock, area="right")
    large_letters()

    def shows_all():
        assert dock.minimumSizeHint().width() <= WIDEST_NEED_PX
        assert beyond(dock) == []
        for field in dock.findChildren(Nanometres):
            words = field.fontMetrics().horizontalAdvance(field.text())
            assert field.width() >= words + 10

    qtbot.waitUntil(shows_all)


def test_buttons_keep_their_room(qtbot, viewer_in_window, large_letters):
    button = QPushButton("Export")
    roomy(button)
    viewer_in_window.window.add_dock_widget(button, area="right")
    large_letters()
    qtbot.waitUntil(lambda: button.width() >= button.fontMetrics().horizontalAdvance("Export") + 30)


@pytest.mark.parametrize("area", ["right", "bottom"])
def test_the_title_covers_nothing_of_a_dock(qtbot, viewer_in_window, large_letters, area):
    viewer_in_window.add_points(np.zeros((3, 3)))
    dock = CompareDock(viewer_in_window)
    holder = viewer_in_window.window.add_dock_widget(dock, name="Compare annotations", area=area)
    large_letters()

    def begins_below_title():
        title = holder.titleBarWidget()
        assert title.isVisible()
        assert not title.geometry().intersects(dock.contentsRect().translated(dock.pos()))

    qtbot.waitUntil(begins_below_title)
    get_settings().appearance.font_size = 9
    qtbot.waitUntil(lambda: dock.contentsMargins().top() < 5)
    begins_below_title()
    dock.close_down()
