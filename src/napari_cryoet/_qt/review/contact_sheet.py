"""The contact sheet: a grid of a review's crops, with frames and letters that mark verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from qtpy.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QRect,
    QRectF,
    QSize,
    QStringListModel,
    Qt,
    Signal,
)
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFont,
    QKeyEvent,
    QPainter,
    QPen,
    QPixmap,
    QRegion,
    QResizeEvent,
)
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_cryoet._qt.review.crops import CropFeed
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.controls import not_none, plain_tooltip
from napari_cryoet._qt.widgets.theme import KEPT_COLOR, REJECTED_COLOR, Colors, Theme
from napari_cryoet.review.session import Verdict
from napari_cryoet.review.sheet import ReviewSheet, number_of

SMALLEST_PX: Final = 60
LARGEST_PX: Final = 240
_COLORS: Final = {Verdict.KEPT: KEPT_COLOR, Verdict.REJECTED: REJECTED_COLOR}
_GAP_PX: Final = 4
_FRAME_PX: Final = 3
_BADGE_PX: Final = 16
_FONT_PX: Final = 11
_CAPTION_PX: Final = 15
_OVERLAY_OPACITY: Final = 0.5  # over rejected crops
_LOOK_MS: Final = 30
_MOST_SELECTED: Final = 500  # the time that Qt needs grows quadratically
_ENTER: Final = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


@dataclass(frozen=True, slots=True)
class Card:
    """What the sheet shows of a pick; ``picture`` is None until the crop is loaded."""

    verdict: Verdict
    caption: str
    picture: QPixmap | None


class SheetModel(QStringListModel):
    """A Qt model of a `ReviewSheet` with the crops of a `CropFeed`.

    It stores empty strings so that Qt counts rows in C++: a Python ``rowCount`` would be slow.

    Attributes
    ----------
    ids
        The ids of the shown picks, in order.
    """

    def __init__(self, feed: CropFeed, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._feed = feed
        self._sheet: ReviewSheet | None = None
        self.ids = np.empty(0, dtype=np.int64)
        feed.arrived.connect(self._on_crop)
        feed.contrast_changed.connect(self.refresh)

    def set_sheet(self, sheet: ReviewSheet | None) -> None:
        """Show another review, or the current one in a new order."""
        self._sheet = sheet
        self.ids = np.empty(0, dtype=np.int64) if sheet is None else sheet.ids
        self.setStringList([""] * len(self.ids))

    def refresh(self) -> None:
        """Redraw verdicts and pictures; the order stays."""
        if self.rowCount():
            self.dataChanged.emit(self.index(0), self.index(self.rowCount() - 1))

    def row_at(self, cell: int) -> int:
        """The row of the pick in a cell; -1 without a review."""
        return self._sheet.row_at(cell) if self._sheet is not None else -1

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A `Card`, an accessible text or a tooltip."""
        sheet = self._sheet
        if not index.isValid() or sheet is None:
            return None
        row = sheet.row_at(index.row())
        verdict = sheet.review.verdict(row)
        match role:
            case Qt.ItemDataRole.UserRole:
                return Card(verdict, sheet.caption(row), self._feed.picture(row))
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"Pick {number_of(sheet.review.ids[row])}, {verdict.word}"
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tooltip(sheet.pick_text(row))
        return None

    def _on_crop(self, row: int) -> None:
        cell = self._sheet.cell_of(row) if self._sheet is not None else None
        if cell is not None:
            self.dataChanged.emit(self.index(cell), self.index(cell))


class SheetDelegate(QStyledItemDelegate):
    """Draws a pick: its crop, a frame and a letter for its verdict, and a caption.

    Attributes
    ----------
    cell_size
        The size of all cells, set by the view.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.cell_size = QSize(88, 100)

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        return self.cell_size

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        painter = not_none(painter)
        card: Card = index.data(Qt.ItemDataRole.UserRole)
        colors = self._theme.colors
        painter.save()
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        cell = option.rect.adjusted(_GAP_PX // 2, _GAP_PX // 2, -_GAP_PX // 2, -_GAP_PX // 2)
        side = cell.width() - 2 * _FRAME_PX
        square = QRect(cell.left() + _FRAME_PX, cell.top() + _FRAME_PX, side, side)
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        self._draw_state(painter, cell, option, colors)
        self._draw_crop(painter, square, card, colors)
        self._draw_verdict(painter, square, card.verdict)
        painter.setFont(_font(option.font))
        painter.setPen(colors.text if is_selected else colors.dim)
        below = QRect(
            cell.left() + 2, square.bottom() + 1, cell.width() - 4, cell.bottom() - square.bottom()
        )
        caption = painter.fontMetrics().elidedText(
            card.caption, Qt.TextElideMode.ElideRight, below.width()
        )
        painter.drawText(below, int(Qt.AlignmentFlag.AlignCenter), caption)
        painter.restore()

    def _draw_state(
        self, painter: QPainter, cell: QRect, option: QStyleOptionViewItem, colors: Colors
    ) -> None:
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        has_keys = bool(option.state & QStyle.StateFlag.State_HasFocus)
        is_hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        painter.setBrush(
            colors.selection
            if is_selected
            else colors.raised
            if is_hovered
            else Qt.BrushStyle.NoBrush
        )
        painter.setPen(QPen(colors.accent, 2) if has_keys else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(QRectF(cell).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)

    def _draw_crop(self, painter: QPainter, square: QRect, card: Card, colors: Colors) -> None:
        painter.fillRect(square, colors.raised)
        if card.picture is None:
            return
        painter.fillRect(
            square, QBrush(colors.faint, Qt.BrushStyle.BDiagPattern)
        )  # visible outside the volume
        painter.drawPixmap(square, card.picture)
        if card.verdict is Verdict.REJECTED:
            overlay = QColor(colors.background)
            overlay.setAlphaF(_OVERLAY_OPACITY)
            painter.fillRect(square, overlay)

    def _draw_verdict(self, painter: QPainter, square: QRect, verdict: Verdict) -> None:
        color = _COLORS.get(verdict)
        if color is None:
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(color, _FRAME_PX))
        painter.drawRoundedRect(QRectF(square).adjusted(-0.5, -0.5, 0.5, 0.5), 3, 3)
        badge = QRectF(square.left() - 1, square.top() - 1, _BADGE_PX, _BADGE_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawRoundedRect(badge, 3, 3)
        painter.setFont(_font(painter.font(), is_bold=True))
        painter.setPen(QColor("white"))
        painter.drawText(badge, int(Qt.AlignmentFlag.AlignCenter), verdict.letter)


def _font(font: QFont, *, is_bold: bool = False) -> QFont:
    font = QFont(font)
    font.setPixelSize(_FONT_PX)
    font.setBold(is_bold)
    return font


class SheetView(QListView):
    """Shows a `SheetModel` in as many columns as fit; unused keys go to the dock.

    It is a wrapping list, because Qt's icon mode takes seconds for a hundred thousand items.
    """

    opened = Signal(int)  # the cell to show in the viewer
    moved = Signal()  # the current pick changed
    looked_at = Signal(object)  # cells on screen in reading order, then those of the next screen

    def __init__(self, model: SheetModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sheet = model
        self._crop_px = 80
        self._delegate = SheetDelegate(theme, self)
        self.setObjectName("contactSheet")
        self.setAccessibleName("Contact sheet of picks")
        self.setModel(model)
        self.setItemDelegate(self._delegate)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setUniformItemSizes(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAlwaysOn
        )  # else the layout would jump
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(True)
        self._look_soon = single_shot(self, _LOOK_MS, self._look)
        self._scroll = not_none(self.verticalScrollBar())
        self._selection = not_none(self.selectionModel())
        self._scroll.valueChanged.connect(self._on_scroll)
        self._selection.currentChanged.connect(lambda _now, _before: self.moved.emit())
        self.clicked.connect(lambda index: self.opened.emit(index.row()))
        model.modelReset.connect(self._look_soon.start)
        theme.changed.connect(model.refresh)

    # layout and position

    @property
    def crop_px(self) -> int:
        """The width of a drawn crop in physical pixels."""
        return round((self._delegate.cell_size.width() - 3 * _GAP_PX) * self.devicePixelRatioF())

    def set_crop_px(self, crop_px: int) -> None:
        """Set the approximate width of crops; columns fill the view's width."""
        self._crop_px = crop_px
        self._fit_cells()
        self.scrollTo(self.currentIndex())
        self._look_soon.start()

    def cells_on_screen(self) -> range:
        """The cells that are at least partly visible."""
        shown, size = not_none(self.viewport()).size(), self._delegate.cell_size
        columns = max(1, shown.width() // size.width())
        first = self._scroll.value() // size.height() * columns
        last = ((self._scroll.value() + shown.height() - 1) // size.height() + 1) * columns
        return range(min(first, self._sheet.rowCount()), min(last, self._sheet.rowCount()))

    # selection

    @property
    def selected_cells(self) -> list[int]:
        """The selected cells in order, or the current one if none is selected."""
        current = self.currentIndex()
        return sorted(index.row() for index in self.selectedIndexes()) or (
            [current.row()] if current.isValid() else []
        )

    def go_to(self, cell: int) -> None:
        """Make a cell current, select only it, and scroll to it."""
        index = self._sheet.index(cell)
        # the view's own method would extend the selection while Ctrl is held
        self._selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self.scrollTo(index)

    def select(self, cells: Iterable[int]) -> None:
        """Select cells; only the first of very many."""
        chosen = QItemSelection()
        for cell in list(cells)[:_MOST_SELECTED]:
            chosen.select(self._sheet.index(cell), self._sheet.index(cell))
        self._selection.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Open on Enter.

        Leave letters and Space to the dock, which a list would use to search and select.
        """
        event = not_none(event)
        if event.key() in _ENTER:
            self.opened.emit(self.currentIndex().row())
        elif event.key() == Qt.Key.Key_Space or event.text().isalpha():
            event.ignore()
        else:
            super().keyPressEvent(event)

    # Qt events

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        self._fit_cells()
        super().resizeEvent(event)
        self.scrollTo(self.currentIndex())
        self._look_soon.start()

    def dataChanged(
        self, first: QModelIndex, last: QModelIndex, _roles: Iterable[int] = ()
    ) -> None:
        """Repaint visible cells only; Qt would lay out all cells again for each crop."""
        viewport, shown = not_none(self.viewport()), self.cells_on_screen()
        if first.row() < shown.stop and shown.start <= last.row():
            is_one = first.row() == last.row()
            viewport.update(self.visualRect(first) if is_one else viewport.rect())

    def visualRegionForSelection(self, _selection: QItemSelection) -> QRegion:
        """Repaint the whole view when the selection changes.

        Qt would locate each item, which is slow.
        """
        return QRegion(not_none(self.viewport()).rect())

    def _fit_cells(self) -> None:
        least = self._crop_px + 2 * _FRAME_PX + _GAP_PX
        width = max(not_none(self.viewport()).width() - 1, SMALLEST_PX)
        side = width // max(1, round(width / least))
        self._delegate.cell_size = QSize(side, side + _CAPTION_PX)
        self.setGridSize(self._delegate.cell_size)
        self._scroll.setSingleStep(max(1, self._delegate.cell_size.height() // 3))

    def _on_scroll(self, _value: int) -> None:
        if not self._look_soon.isActive():
            self._look_soon.start()

    def _look(self) -> None:
        shown = self.cells_on_screen()
        self.looked_at.emit(
            range(shown.start, min(shown.stop + len(shown), self._sheet.rowCount()))
        )


class SheetKeys(QObject):
    """The keys of a widget around a sheet, wherever the focus in it is.

    Shortcuts of the viewer don't override them; they act when the focused control ignores them.

    Parameters
    ----------
    action_of
        The action of a key; None for keys that aren't ours.
    """

    def __init__(
        self, widget: QWidget, action_of: Callable[[QKeyEvent], Callable[[], None] | None]
    ) -> None:
        super().__init__(widget)
        self._action_of = action_of
        widget.installEventFilter(self)

    def eventFilter(self, _widget: QObject | None, event: QEvent | None) -> bool:
        if not isinstance(event, QKeyEvent) or event.type() == QEvent.Type.KeyRelease:
            return False
        act = self._action_of(event)
        if act is None:
            return False
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            act()
        return True
