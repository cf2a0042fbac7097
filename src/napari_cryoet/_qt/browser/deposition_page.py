"""The screen of one deposition: what it is, the datasets that it brought, and those of others that it added to."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryoet._qt.browser.deposition_header import DepositionHeader
from napari_cryoet._qt.browser.holdings_model import HoldingsModel, MoreObjects, MoreRuns, ObjectHolding
from napari_cryoet._qt.browser.holdings_tree import HoldingsTree
from napari_cryoet._qt.widgets.loadable import Loadable
from napari_cryoet._qt.widgets.painting import repaint
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.pages import DatasetCount, DepositionPage, DepositionRow, RunRow


class DepositionView(QWidget):
    """Asks for a deposition's page; whoever answers calls `set_page` or `show_error`."""

    page_requested = Signal()
    dataset_opened = Signal(int)  # its id
    run_opened = Signal(object)  # RunRow

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.header = DepositionHeader(theme, thumbnails)
        self.model = HoldingsModel(thumbnails, self)
        self.tree = HoldingsTree(theme, self.model)
        self.tree.opened.connect(self._on_opened)
        self.tree.left_upwards.connect(lambda: self.header.details.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.place = Loadable(self.tree)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.header)
        column.addWidget(self.place, 1)
        theme.changed.connect(self._repaint)

    def start(self, deposition_id: int, preview: DepositionRow | None) -> None:
        """Begin with a deposition: show what is known, and ask for its page."""
        self.header.set_preview(deposition_id, preview)
        self.tree.set_page(None)
        self.restart()

    def restart(self) -> None:
        """Ask for the page again."""
        self.place.show_loading("Loading the deposition…")
        self.page_requested.emit()

    def set_page(self, page: DepositionPage, portal_page: str) -> None:
        """Show a deposition; ``portal_page`` is its address on the portal, or empty where it has none."""
        self.header.set_page(page, portal_page)
        self.tree.set_page(page)
        if page.datasets:
            self.place.show_content()
        else:
            self.place.show_message("This deposition holds nothing of any dataset yet.")

    def show_error(self, error: CryoETError) -> None:
        """Say why there is no page."""
        self.place.show_error(error, self.restart)

    def focus_list(self) -> None:
        """Go on in the datasets, or at the button of the message that stands for them."""
        if self.place.shows_content:
            self.tree.focus_first()
        else:
            self.place.message.take_focus()

    def _on_opened(self, index: QModelIndex) -> None:
        record = self.model.record_at(index)
        match record:
            case RunRow():
                self.run_opened.emit(record)
            case DatasetCount() | MoreRuns() | MoreObjects():
                self.dataset_opened.emit(record.dataset_id)
            case ObjectHolding():
                self._on_opened(index.parent())

    def _repaint(self) -> None:
        repaint(self.tree)
