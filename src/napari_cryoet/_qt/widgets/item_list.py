"""A list of rows that opens on Enter or a double click, never on a mere selection, on every platform alike."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QListView, QWidget

from napari_cryoet._qt.widgets.timers import single_shot

ENTER_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class ItemList(QListView):
    """A flat list with rows of one height."""

    opened = Signal(QModelIndex)
    left_upwards = Signal()  # Up on the first row

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.doubleClicked.connect(self.opened)
        self._begin_soon = single_shot(self, 0, self._begin)

    def focus_first(self) -> None:
        """Go on in the list, where one was or at its top."""
        model = self.model()
        if not self.currentIndex().isValid() and model is not None and model.rowCount():
            self.setCurrentIndex(model.index(0, 0))
        self.setFocus(Qt.FocusReason.TabFocusReason)

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Whoever comes with the keys stands on a row, so that Enter opens something."""
        super().focusInEvent(event)
        self._begin()

    def rowsInserted(self, parent: QModelIndex, start: int, end: int) -> None:
        """The first rows may come after the keys did."""
        super().rowsInserted(parent, start, end)
        self._begin_soon.start()

    def reset(self) -> None:
        """Other rows altogether."""
        super().reset()
        self._begin_soon.start()

    def _begin(self) -> None:
        model = self.model()
        if self.hasFocus() and not self.currentIndex().isValid() and model is not None and model.rowCount():
            self.setCurrentIndex(model.index(0, 0))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter opens; Up leaves from the first row."""
        if event is None:
            return
        index = self.currentIndex()
        if event.key() in ENTER_KEYS and index.isValid():
            self.opened.emit(index)
        elif event.key() == Qt.Key.Key_Up and index.row() <= 0:
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)
