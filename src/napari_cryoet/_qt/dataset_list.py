"""The screen of all datasets: how many are listed, in which order, and the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.dataset_delegate import DatasetDelegate
from napari_cryoet._qt.dataset_model import SORTS, DatasetModel
from napari_cryoet._qt.item_list import ItemList
from napari_cryoet._qt.labels import ElidedLabel
from napari_cryoet._qt.loadable import Loadable
from napari_cryoet._qt.message_panel import Action
from napari_cryoet._qt.theme import Theme
from napari_cryoet._qt.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.pages import CatalogueRow
from napari_cryoet.wording import count_text


class DatasetList(QWidget):
    """Lists what it is given; says what to do where there is nothing."""

    dataset_opened = Signal(object)  # CatalogueRow
    left_upwards = Signal()
    search_cleared = Signal()

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = DatasetModel(thumbnails, self)
        self.count = ElidedLabel()
        self.count.setObjectName("datasetCount")
        self.sort = QComboBox()
        self.sort.addItems(list(SORTS))
        self.sort.setAccessibleName("Order of the datasets")
        self.sort.setToolTip("Order of the datasets")
        self.sort.currentTextChanged.connect(self._on_sort)
        self.view = ItemList("Datasets")
        self.view.setObjectName("datasetView")
        self.view.setItemDelegate(DatasetDelegate(theme, self.view))
        self.view.setModel(self.model)
        self.view.opened.connect(self._on_opened)
        self.view.left_upwards.connect(self.left_upwards)
        self.place = Loadable(self.view)
        top = QHBoxLayout()
        top.addWidget(self.count, 1)
        top.addWidget(self.sort)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.place, 1)
        theme.changed.connect(self._repaint)

    def set_rows(self, rows: Sequence[CatalogueRow], total: int, search: str) -> None:
        """Show the datasets that were found, and of how many."""
        kept = self.model.dataset_at(self.view.currentIndex())
        self.model.set_rows(rows)
        self.count.setText(
            count_text(total, "dataset") if len(rows) == total else f"{len(rows):,} of {total:,} datasets"
        )
        if rows:
            again = self.model.index_of(kept.id) if kept is not None else QModelIndex()
            self.view.setCurrentIndex(again)
            if not again.isValid():
                self.view.scrollToTop()
            self.place.show_content()
        elif search:
            self.place.show_message(
                f"No dataset matches “{search}”.",
                "Every word has to match. Try fewer or shorter words, or an id like 10000.",
                [Action("Clear the search", self.search_cleared.emit)],
            )
        else:
            self.place.show_message("This source has no datasets.")

    def clear(self) -> None:
        """List nothing, as before another source has answered."""
        self.model.set_rows(())
        self.count.setText("")

    def show_loading(self, text: str, *, at_once: bool = False) -> None:
        """Say that the list is on its way."""
        self.place.show_loading(text, at_once=at_once)

    def show_error(self, error: CryoETError, retry: Callable[[], None]) -> None:
        """Say why there is no list."""
        self.count.setText("")
        self.place.show_error(error, retry)

    def _on_opened(self, index: QModelIndex) -> None:
        dataset = self.model.dataset_at(index)
        if dataset is not None:
            self.dataset_opened.emit(dataset)

    def _on_sort(self, name: str) -> None:
        kept = self.model.dataset_at(self.view.currentIndex())
        self.model.sort_by(name)
        if kept is not None:
            self.view.setCurrentIndex(self.model.index_of(kept.id))
        self.view.scrollTo(self.view.currentIndex() if kept is not None else self.model.index(0))

    def _repaint(self) -> None:
        viewport = self.view.viewport()
        if viewport is not None:
            viewport.update()

    def await_focus(self) -> None:
        """Go on in the rows as soon as there are some."""
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    def focus_list(self) -> None:
        """Go on in the rows, or at the button of the message that stands for them."""
        if self.place.shows_content:
            self.view.focus_first()
        else:
            self.place.message.setFocus(Qt.FocusReason.TabFocusReason)
