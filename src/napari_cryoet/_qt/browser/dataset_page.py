"""The screen of one dataset: what it is, and its runs, page by page."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.dataset_header import DatasetHeader
from napari_cryoet._qt.browser.run_delegate import RunDelegate
from napari_cryoet._qt.browser.run_model import RunModel
from napari_cryoet._qt.browser.search_box import SearchBox
from napari_cryoet._qt.widgets.item_list import ItemList
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.loadable import Loadable
from napari_cryoet._qt.widgets.message_panel import Action
from napari_cryoet._qt.widgets.painting import repaint
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.pages import CatalogueRow, DatasetPage, RunRow
from napari_cryoet.wording import count_text

FILTER_SETTLE_MS = 300  # the portal filters, not we


class DatasetView(QWidget):
    """Asks for pages of runs; whoever answers calls `add_page` or `show_error`."""

    page_requested = Signal(int, str)  # offset, what the names of runs have to contain
    run_opened = Signal(object)  # RunRow

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.header = DatasetHeader(theme)
        self.filter = SearchBox(theme, "filter runs by name", "Filter the runs by name", settle_ms=FILTER_SETTLE_MS)
        self.filter.settled.connect(lambda _text: self.model.restart())
        self.filter.left_downwards.connect(self.focus_list)
        self.count = ElidedLabel()
        self.count.setObjectName("runCount")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.model = RunModel(thumbnails, self)
        self.model.more_requested.connect(self._on_more)
        self.view = ItemList("Runs")
        self.view.setObjectName("runView")
        self.view.setItemDelegate(RunDelegate(theme, self.view))
        self.view.setModel(self.model)
        self.view.opened.connect(self._on_opened)
        self.view.clicked.connect(self._on_clicked)
        self.view.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.place = Loadable(self.view)
        row = QHBoxLayout()
        row.addWidget(self.filter, 3)
        row.addWidget(self.count, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.header)
        column.addLayout(row)
        column.addWidget(self.place, 1)
        theme.changed.connect(self._repaint)

    def start(self, dataset_id: int, preview: CatalogueRow | None, deposition_title: str = "") -> None:
        """Begin with a dataset: show what is known, and ask for its first page."""
        self.header.set_preview(dataset_id, preview, deposition_title)
        self.filter.clear_quietly()
        self.model.restart()

    def restart(self) -> None:
        """Ask for the first page again."""
        self.model.restart()

    def add_page(self, page: DatasetPage, portal_page: str) -> None:
        """Show one more page of runs."""
        if page.offset == 0:
            self.header.set_dataset(page.dataset, portal_page)
        self.model.add_page(page)
        loaded, total = self.model.loaded, page.run_total
        self.count.setText(count_text(total, "run") if loaded >= total else f"{loaded:,} of {total:,} runs")
        if total:
            self.place.show_content()
        elif self.filter.text():
            clear = Action("Clear the filter", self._clear_filter)
            self.place.show_message(f"No run's name contains “{self.filter.text().strip()}”.", "", [clear])
        else:
            self.place.show_message("This dataset has no runs yet.")

    def show_error(self, error: CryoETError) -> None:
        """Say why runs are missing: in the place of all, or in the last row where some are there."""
        if self.model.loaded:
            self.model.set_failed(error)
        else:
            self.count.setText("")
            self.place.show_error(error, self.model.restart)

    def focus_list(self) -> None:
        """Go on in the runs."""
        self.view.focus_first()

    def _on_more(self, offset: int) -> None:
        if offset == 0:
            self.count.setText("")
            self.place.show_content()
        self.page_requested.emit(offset, self.filter.text().strip())

    def _on_opened(self, index: QModelIndex) -> None:
        run: RunRow | None = self.model.run_at(index)
        if run is None:
            self.model.retry()
        else:
            self.run_opened.emit(run)

    def _on_clicked(self, index: QModelIndex) -> None:
        if self.model.run_at(index) is None:
            self.model.retry()

    def _clear_filter(self) -> None:
        self.filter.clear_quietly()
        self.model.restart()

    def _repaint(self) -> None:
        repaint(self.view)
