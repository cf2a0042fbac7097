"""Larger letters, as a person may choose them in napari's settings: nothing is cut off, and all of a dock follows."""

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QLineEdit

from napari_cryoet._qt.browser.dock import PortalBrowser


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


@pytest.mark.slow
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
