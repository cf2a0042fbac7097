"""The view of a deposition's holdings: Enter opens a dataset or run, Space unfolds a dataset."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QRect, QRectF, Qt, Signal
from qtpy.QtGui import QKeyEvent, QPainter
from qtpy.QtWidgets import QAbstractItemView, QTreeView, QWidget

from napari_cryoet._qt.browser.holdings_delegate import HoldingsDelegate
from napari_cryoet._qt.browser.holdings_model import HoldingsModel
from napari_cryoet._qt.widgets import icons
from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.portal.pages import DepositionPage

ARROW_PX = 13
UNFOLDED_ROWS = 16  # datasets are unfolded from the beginning if all that is below them is no more than this


class HoldingsTree(QTreeView):
    """Shows a `HoldingsModel`."""

    opened = Signal(QModelIndex)
    left_upwards = Signal()  # Up on the first row

    def __init__(self, theme: Theme, model: HoldingsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._holdings = model
        self._theme = theme
        self.setObjectName("holdingsTree")
        self.setAccessibleName("Datasets of the deposition")
        self.setHeaderHidden(True)
        self.setModel(model)
        self.setItemDelegate(HoldingsDelegate(theme, self))
        self.setMouseTracking(True)
        self.setIndentation(14)
        self.setExpandsOnDoubleClick(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.doubleClicked.connect(self.opened)

    def set_page(self, page: DepositionPage | None) -> None:
        """List what a deposition holds, and stand on its first dataset."""
        self._holdings.set_page(page)
        first = self._holdings.first_dataset()
        self.setCurrentIndex(first)
        roots = [self._holdings.index(row, 0) for row in range(self._holdings.rowCount())]
        if sum(map(self._holdings.rowCount, roots)) <= UNFOLDED_ROWS:
            self.expandAll()
        self.scrollToTop()

    def focus_first(self) -> None:
        """Go on in the tree, where one was or at its first dataset."""
        if not self.currentIndex().isValid():
            self.setCurrentIndex(self._holdings.first_dataset())
        self.setFocus(Qt.FocusReason.TabFocusReason)

    def drawBranches(self, painter: QPainter | None, rect: QRect, index: QModelIndex) -> None:
        """An arrow before what unfolds, on the background of its row."""
        if painter is None:
            return
        colors = self._theme.colors
        selection = self.selectionModel()
        is_selected = selection is not None and selection.isSelected(index)
        if is_selected:
            painter.fillRect(rect, colors.selection if self.hasFocus() else colors.border)
        if self._holdings.rowCount(index):
            arrow = QRectF(0, 0, ARROW_PX, ARROW_PX)
            arrow.moveCenter(QRectF(rect).center())
            icons.draw(
                painter,
                "down" if self.isExpanded(index) else "right",
                arrow,
                colors.text if is_selected else colors.dim,
            )

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter opens, Space folds and unfolds, Up leaves from the first dataset."""
        if event is None:
            return
        index = self.currentIndex()
        if event.key() in ENTER_KEYS and index.isValid():
            self.opened.emit(index)
        elif event.key() == Qt.Key.Key_Space and index.isValid():
            self.setExpanded(index, not self.isExpanded(index))
        elif event.key() == Qt.Key.Key_Up and index == self._holdings.first_dataset():
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)
