"""Short lists of a run's records: as high as their rows, a line or two each, with a tick."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QRect, QSize, Qt
from qtpy.QtGui import QFocusEvent, QPainter
from qtpy.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_cryoet._qt.widgets.painting import fill_row, lines_height
from napari_cryoet._qt.widgets.roles import Index
from napari_cryoet._qt.widgets.theme import Colors, Theme

LEAST_ROWS = 2  # that are seen in the lowest of docks


class RecordDelegate(QStyledItemDelegate):
    """Draws the background of a row; a subclass draws the rest."""

    lines = 1

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """The same for every row."""
        return QSize(100, lines_height(option.font, self.lines) + 8)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row."""
        if painter is None:
            return
        painter.save()
        painter.setFont(option.font)
        is_chosen = fill_row(painter, option, self._theme.colors)
        self.paint_row(painter, option.rect, index, self._theme.colors, is_chosen=is_chosen)
        painter.restore()

    def paint_row(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, *, is_chosen: bool) -> None:
        """Draw what a row says."""
        raise NotImplementedError


class RecordList(QListWidget):
    """Shows all its rows up to so many, and fewer where its dock is low."""

    rows_in_view = 4

    def __init__(self, delegate: RecordDelegate, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        delegate.setParent(self)
        self.setItemDelegate(delegate)
        self.setAccessibleName(name)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)

    def rows(self) -> list[QListWidgetItem]:
        """All rows."""
        found = (self.item(row) for row in range(self.count()))
        return [item for item in found if item is not None]

    def fit_height(self) -> None:
        """Be as high as the rows that there are now, in the font that there is now."""
        self.setMinimumHeight(self._height_of(min(self.count(), LEAST_ROWS)))
        self.setMaximumHeight(self._height_of(min(self.count(), self.rows_in_view)))

    def sizeHint(self) -> QSize:
        """All rows, up to so many."""
        return QSize(super().sizeHint().width(), self.maximumHeight())

    def changeEvent(self, event: QEvent | None) -> None:
        """Fit the height to another font."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self.count():
            self.fit_height()

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Whoever comes with the keys sees on which row they are."""
        super().focusInEvent(event)
        if not self.selectedItems():
            self.setCurrentRow(max(0, self.currentRow()))

    def _height_of(self, rows: int) -> int:
        return rows * self.sizeHintForRow(0) + 2 * self.frameWidth() if rows else 0
