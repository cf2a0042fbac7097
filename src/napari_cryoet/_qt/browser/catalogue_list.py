"""A screen that lists the catalogue: how many rows there are, in which order, and the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.item_list import ItemList
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.loadable import Loadable
from napari_cryoet._qt.widgets.message_panel import Action
from napari_cryoet._qt.widgets.painting import repaint
from napari_cryoet._qt.widgets.row_delegate import RowDelegate
from napari_cryoet._qt.widgets.row_model import R, RowModel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.wording import count_text


class CatalogueList(QWidget, Generic[R]):
    """Lists what it is given; says what to do where there is nothing.

    Parameters
    ----------
    noun
        What a row is: "dataset".
    delegate
        Draws the rows.
    """

    opened = Signal(object)  # the row's record
    left_upwards = Signal()
    search_cleared = Signal()

    def __init__(
        self, theme: Theme, noun: str, model: RowModel[R], delegate: RowDelegate, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._noun = noun
        self._rows: RowModel[R] = model
        model.setParent(self)
        self.count = ElidedLabel()
        self.count.setObjectName(f"{noun}Count")
        self.sort = QComboBox()
        self.sort.addItems(list(model.sorts))
        self.sort.setAccessibleName(f"Order of the {noun}s")
        self.sort.setToolTip(f"Order of the {noun}s")
        self.sort.currentTextChanged.connect(self._on_sort)
        self.view = ItemList(f"{noun.capitalize()}s")
        self.view.setObjectName(f"{noun}View")
        delegate.setParent(self.view)
        self.view.setItemDelegate(delegate)
        self.view.setModel(model)
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

    def set_rows(self, rows: Sequence[R], total: int, search: str, *, elsewhere: Action | None = None) -> None:
        """Show the rows that were found, and of how many.

        Parameters
        ----------
        elsewhere
            Where the search found something else; offered if it found nothing here.
        """
        kept = self._rows.record_at(self.view.currentIndex())
        self._rows.set_rows(rows)
        of_all = count_text(total, self._noun)
        self.count.setText(of_all if len(rows) == total else f"{len(rows):,} of {of_all}")
        if rows:
            again = self._rows.index_of(kept.id) if kept is not None else QModelIndex()
            self.view.setCurrentIndex(again)
            if not again.isValid():
                self.view.scrollToTop()
            self.place.show_content()
        elif search:
            self.place.show_message(
                f"No {self._noun} matches “{search}”.",
                "Every word has to match. Try fewer or shorter words, or an id like 10000.",
                [*([elsewhere] if elsewhere else []), Action("Clear the search", self.search_cleared.emit)],
            )
        else:
            self.place.show_message(f"This source has no {self._noun}s.")

    def clear(self) -> None:
        """List nothing, as before another source has answered."""
        self._rows.set_rows(())
        self.count.setText("")

    def show_loading(self, text: str, *, at_once: bool = False) -> None:
        """Say that the list is on its way."""
        self.place.show_loading(text, at_once=at_once)

    def show_error(self, error: CryoETError, retry: Callable[[], None]) -> None:
        """Say why there is no list."""
        self.count.setText("")
        self.place.show_error(error, retry)

    def await_focus(self) -> None:
        """Go on in the rows as soon as there are some."""
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    def focus_list(self) -> None:
        """Go on in the rows, or at the button of the message that stands for them."""
        if self.place.shows_content:
            self.view.focus_first()
        else:
            self.place.message.take_focus()

    def _on_opened(self, index: QModelIndex) -> None:
        record = self._rows.record_at(index)
        if record is not None:
            self.opened.emit(record)

    def _on_sort(self, name: str) -> None:
        kept = self._rows.record_at(self.view.currentIndex())
        self._rows.sort_by(name)
        if kept is not None:
            self.view.setCurrentIndex(self._rows.index_of(kept.id))
        self.view.scrollTo(self.view.currentIndex() if kept is not None else self._rows.index(0))

    def _repaint(self) -> None:
        repaint(self.view)
