"""The dock's parts and how they are laid out; nothing is asked and nothing is decided here."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QStackedWidget, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.breadcrumb import Breadcrumb
from napari_cryoet._qt.browser.dataset_list import DatasetList
from napari_cryoet._qt.browser.dataset_page import DatasetView
from napari_cryoet._qt.browser.deposition_list import DepositionList
from napari_cryoet._qt.browser.deposition_page import DepositionView
from napari_cryoet._qt.browser.list_switch import ListSwitch
from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.browser.search_box import SearchBox
from napari_cryoet._qt.browser.source_bar import SourceBar
from napari_cryoet._qt.browser.start_page import StartPage
from napari_cryoet._qt.browser.status_strip import StatusStrip
from napari_cryoet._qt.widgets.loadable import Loadable
from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet._qt.widgets.scrolling import ScrollingPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails

SEARCH_HINT = "ribosome, membrane, 10000, a link …"


class Screens:
    """Every part of the dock by name."""

    def __init__(self, owner: QWidget, theme: Theme, thumbnails: Thumbnails) -> None:
        self._owner = owner
        self.source_bar = SourceBar(theme)
        self.search = SearchBox(theme, SEARCH_HINT, "Search datasets and depositions, or jump to an id or link")
        self.switch = ListSwitch()
        self.breadcrumb = Breadcrumb(theme)
        self.notice = NoticeBar(theme)
        self.start = StartPage()
        self.datasets = DatasetList(theme, thumbnails)
        self.depositions = DepositionList(theme, thumbnails)
        self.deposition = DepositionView(theme, thumbnails)
        self.dataset = DatasetView(theme, thumbnails)
        self.run = RunView(theme)
        self.run_place = Loadable(ScrollingPage(self.run))
        self.stack = QStackedWidget()
        lists, pages = (self.datasets, self.depositions), (self.deposition, self.dataset, self.run_place)
        for screen in (self.start, *lists, *pages):
            self.stack.addWidget(screen)
        self.status = StatusStrip()
        column = QVBoxLayout(owner)
        column.setContentsMargins(6, 6, 6, 4)
        column.setSpacing(6)
        for part in (self.source_bar, self.search, self.switch, self.breadcrumb, self.notice):
            column.addWidget(part)
        column.addWidget(self.stack, 1)
        column.addWidget(self.status)
        self.show_start()

    def has_focus(self) -> bool:
        """Whether the keys go to any part of the dock."""
        return self._owner.isAncestorOf(QApplication.focusWidget())

    def show_start(self) -> None:
        """The first screen, where there is nothing to search yet."""
        self.stack.setCurrentWidget(self.start)
        for part in (self.search, self.switch, self.breadcrumb, self.status):
            part.hide()

    def show_screen(self, screen: QWidget) -> None:
        """One of the other screens; the switch stands above the two lists, the way back above the rest."""
        is_list = screen in (self.datasets, self.depositions)
        self.stack.setCurrentWidget(screen)
        self.search.show()
        self.status.show()
        self.switch.setVisible(is_list)
        self.breadcrumb.setVisible(not is_list)

    def focus_search(self) -> None:
        """Go to the search field, ready to be typed over."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()
