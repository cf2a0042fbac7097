"""The view of record lists and trees, with common keys: Enter opens, Space and letters tick, M opens a menu."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from qtpy.QtCore import QEvent, QModelIndex, QPoint, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent, QPainter, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTreeView,
    QWidget,
)

from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.controls import column_in, not_none
from napari_cryoet._qt.widgets.messages import Loadable
from napari_cryoet._qt.widgets.record_delegate import ICON_PX, RecordDelegate, icon_color
from napari_cryoet._qt.widgets.record_model import RecordModel, TickColumn
from napari_cryoet._qt.widgets.theme import Theme, draw_icon
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.pages.rows import RecordRow, RowKind

ENTER_KEYS: Final = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
ARROW_PX, INDENTATION_PX, TICK_COLUMN_PX = 13, 12, 34
LEAST_ROWS: Final = 2  # a short list shows at least this many, even in a very low dock


class ListPage(QWidget):
    """A list that takes the available room, or a message in its place."""

    def __init__(
        self,
        theme: Theme,
        thumbnails: Thumbnails | None,
        name: str,
        *,
        uniform: bool = True,
        tick_columns: Sequence[TickColumn] = (),
    ) -> None:
        super().__init__()
        self._name = name
        self.model = RecordModel(thumbnails, tick_columns=tick_columns, parent=self)
        self.view = RecordView(theme, self.model, name, uniform=uniform)
        self.loadable = Loadable(self.view)
        self.column = column_in(self, self.loadable, margins=(0, 0, 0, 0), spacing=4)
        self.column.setStretchFactor(self.loadable, 1)

    def add_ticks(self, column: TickColumn) -> None:
        """Add a column of tick boxes, below a header."""
        self.model.set_title(self._name)
        self.model.add_tick_column(column)

    def focus_list(self) -> None:
        self.view.stand_somewhere()
        self.loadable.take_focus()


class RecordView(QTreeView):
    """Shows a `RecordModel`.

    Parameters
    ----------
    name
        The list's name for screen readers.
    most_rows
        Fit the height to the rows, up to this many; None takes the available room.
    uniform
        Whether all rows have the same height, which lists of thousands of rows need.
    """

    opened = Signal(object)  # the record of a row
    current_record_changed = Signal(object)  # None if no row is current
    menu_requested = Signal(object, QPoint)  # record, position on the screen
    left_upwards = Signal()  # Up on the first row

    def __init__(
        self,
        theme: Theme,
        model: RecordModel,
        name: str,
        *,
        most_rows: int | None = None,
        uniform: bool = False,
    ) -> None:
        super().__init__()
        self._theme = theme
        self._records = model
        self._most_rows = most_rows
        self._kept: Hashable = (
            None  # this key and the folded rows are restored after the model is reset
        )
        self._kept_top_px = 0  # of this row in the viewport
        self._scrolled_px = 0
        self._folded: dict[Hashable, bool] = {}
        self._settle_soon = single_shot(self, 0, self._settle)
        self.setAccessibleName(name)
        model.modelAboutToBeReset.connect(self._remember)  # before the view forgets its layout
        self.setModel(model)
        self.setItemDelegate(RecordDelegate(theme, self))
        self.setMouseTracking(True)
        self.setExpandsOnDoubleClick(False)
        self.setUniformRowHeights(uniform)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        if most_rows is not None:
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._set_columns()
        self._indent()
        self.doubleClicked.connect(self._on_double_click)
        self.clicked.connect(self._on_click)
        model.modelReset.connect(self._recall)
        model.rowsInserted.connect(lambda *_args: self._settle_soon.start())
        self._bar = not_none(self.verticalScrollBar())
        self._bar.valueChanged.connect(self._ask_for_more)

    @property
    def current_row(self) -> RecordRow | None:
        return self._records.row_at(self.currentIndex())

    def select(self, key: Hashable) -> None:
        """Make the row with a key current; no row if it isn't listed."""
        self.setCurrentIndex(self._records.index_of(key))

    def stand_somewhere(self) -> None:
        """Make the first selectable row current if none is, so that Enter opens something."""
        index = self.currentIndex()
        if not index.isValid():
            rows = (
                index
                for index in self._records.indexes()
                if index.flags() & Qt.ItemFlag.ItemIsSelectable
            )
            index = next(rows, QModelIndex())
        if not self.selectedIndexes():
            self.setCurrentIndex(index)

    # Qt events

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return hint if self._most_rows is None else QSize(hint.width(), self.maximumHeight())

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if not_none(event).type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._settle_soon.start()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._ask_for_more()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        key = not_none(event).key()
        index = self.currentIndex().siblingAtColumn(0)
        if key in ENTER_KEYS and index.isValid():
            self._open(index)
        elif self._tick(index, key):
            pass
        elif key == Qt.Key.Key_Space and self._records.rowCount(index):
            self.setExpanded(index, not self.isExpanded(index))
        elif key == Qt.Key.Key_M:  # not every keyboard has a menu key
            self._request_menu(index)
        elif key == Qt.Key.Key_Up and self._is_first(index):
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        event = not_none(event)
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            self._request_menu(self.indexAt(event.pos()), event.globalPos())
        else:
            self._request_menu(self.currentIndex())

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        super().focusInEvent(event)
        self.stand_somewhere()

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        super().currentChanged(current, previous)
        if current.siblingAtColumn(0) != previous.siblingAtColumn(0):
            self.current_record_changed.emit(self._records.record_at(current))

    def drawBranches(self, painter: QPainter | None, rect: QRect, index: QModelIndex) -> None:
        painter = not_none(painter)
        colors = self._theme.colors
        is_selected = not_none(self.selectionModel()).isSelected(index)
        if is_selected:
            painter.fillRect(rect, colors.selection if self.hasFocus() else colors.border)
        if self._records.rowCount(index):
            arrow = QRectF(0, 0, ARROW_PX, ARROW_PX)
            arrow.moveCenter(QRectF(rect).center())
            name = "down" if self.isExpanded(index) else "right"
            draw_icon(painter, name, arrow, colors.text if is_selected else colors.dim)
        row = self._records.row_at(index)
        if row is not None and row.icon and index.parent().isValid():
            mark = QRectF(
                rect.right() - ICON_PX, rect.center().y() + 0.5 - ICON_PX / 2, ICON_PX, ICON_PX
            )
            draw_icon(painter, row.icon, mark, icon_color(row, colors, is_selected=is_selected))

    # keys and clicks

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() == 0:
            self._open(index)

    def _on_click(self, index: QModelIndex) -> None:
        row = self._records.row_at(index)
        if row is not None and row.kind is RowKind.FAILURE:
            self._open(index)

    def _open(self, index: QModelIndex) -> None:
        row = not_none(self._records.row_at(index))
        match row.kind:
            case RowKind.FAILURE:
                self._records.ask_for_more(again=True)
            case RowKind.RECORD if row.opens:
                self.opened.emit(row.record)
            case RowKind.RECORD:
                self.setExpanded(index, not self.isExpanded(index))

    def _tick(self, index: QModelIndex, key: int) -> bool:
        """Request toggling the tick whose shortcut was pressed; False if the row has none."""
        columns = (
            number for number, column in enumerate(self._records.tick_columns) if column.key == key
        )
        column = next(columns, None)
        return column is not None and self._records.request_tick(index, column)

    def _request_menu(self, index: QModelIndex, position: QPoint | None = None) -> None:
        row = self._records.row_at(index)
        if row is not None and row.kind is RowKind.RECORD:
            below = not_none(self.viewport()).mapToGlobal(self.visualRect(index).bottomLeft())
            self.menu_requested.emit(row.record, position or below)

    def _is_first(self, index: QModelIndex) -> bool:
        """Whether no selectable row is above."""
        above = self.indexAbove(index)
        while above.isValid() and not above.flags() & Qt.ItemFlag.ItemIsSelectable:
            above = self.indexAbove(above)
        return not above.isValid()

    # changed rows

    def _remember(self) -> None:
        row = self.current_row
        self._kept = None if row is None else row.key
        self._kept_top_px = self.visualRect(self.currentIndex()).top()
        self._scrolled_px = self._bar.value()
        self._folded = {
            root.key: not self.isExpanded(self._records.index(number))
            for number, root in enumerate(self._records.rows)
            if root.children
        }

    def _recall(self) -> None:
        for number, root in enumerate(self._records.rows):
            if root.children:
                self.setExpanded(
                    self._records.index(number),
                    not self._folded.get(root.key, not root.is_unfolded),
                )
            if self._records.tick_columns and not self._has_ticks(root):
                self.setFirstColumnSpanned(number, QModelIndex(), True)
        kept = self._records.index_of(self._kept) if self._kept is not None else QModelIndex()
        self.setCurrentIndex(kept)
        self._indent()
        self._scroll_back(kept)
        if self.hasFocus():
            self.stand_somewhere()
        self._settle_soon.start()

    def _scroll_back(self, kept: QModelIndex) -> None:
        """Keep the current row where it was, as the mouse may be on it; a new list starts at the top."""
        self.executeDelayedItemsLayout()
        is_same_tree = any(row.key in self._folded for row in self._records.rows)
        if not kept.isValid() and (self._kept is None or not is_same_tree):
            self.scrollToTop()
            return
        self._bar.setValue(self._scrolled_px)
        if not 0 <= self._kept_top_px < not_none(self.viewport()).height():
            return
        if kept.isValid():
            self._bar.setValue(self._bar.value() + self.visualRect(kept).top() - self._kept_top_px)
        else:
            self.setCurrentIndex(self.indexAt(QPoint(0, self._kept_top_px)))

    def _has_ticks(self, row: RecordRow) -> bool:
        return any(
            self._records.tick(row, column) for column in range(len(self._records.tick_columns))
        )

    def _settle(self) -> None:
        """Update what depends on the layout of the rows."""
        if self.hasFocus():
            self.stand_somewhere()
        self._fit_ticks()
        if self._most_rows is not None:
            self._fit_height(self._most_rows)
        self._ask_for_more()

    def _fit_height(self, most_rows: int) -> None:
        heights = [self.rowHeight(index) for index in self._records.indexes()]
        header = not_none(self.header())
        frame = 2 * self.frameWidth() + (0 if header.isHidden() else header.height())
        self.setMinimumHeight(sum(heights[:LEAST_ROWS]) + frame if heights else 0)
        self.setMaximumHeight(sum(heights[:most_rows]) + frame if heights else 0)
        self.updateGeometry()

    def _ask_for_more(self) -> None:
        """Request more rows once the last row is visible."""
        last = self._records.index(self._records.rowCount() - 1)
        shown = not_none(self.viewport()).rect()
        if self.isVisible() and shown.intersects(self.visualRect(last)):
            self._records.ask_for_more()

    def _set_columns(self) -> None:
        header = not_none(self.header())
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(TICK_COLUMN_PX)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._fit_ticks()

    def _fit_ticks(self) -> None:
        """Make tick columns only as wide as their titles, to leave room for the texts."""
        self.setHeaderHidden(not self._records.title)
        header = not_none(self.header())
        for number, column in enumerate(self._records.tick_columns, 1):
            width = header.fontMetrics().horizontalAdvance(column.title)
            width = width + 3 if self._records.title else 0
            header.resizeSection(number, max(TICK_COLUMN_PX, width))

    def _indent(self) -> None:
        is_tree = any(row.children for row in self._records.rows)
        self.setIndentation(INDENTATION_PX if is_tree else 0)
        self.setRootIsDecorated(is_tree)
