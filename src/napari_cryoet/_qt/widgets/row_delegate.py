"""What rows with a picture share: a fixed height, the theme's colours, a thumbnail on the left."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QObject, QRect, QSize
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from napari_cryoet._qt.widgets.painting import draw_line, draw_thumbnail, draw_two_lines, fill_row, lines_height
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.theme import Colors, Theme
from napari_cryoet.wording import plain

MARGIN_PX = 6
GAP_PX = 8


class RowDelegate(QStyledItemDelegate):
    """Draws a background and a picture; a subclass draws the text beside them."""

    lines = 4
    thumbnail_px = 64

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, _index: Index) -> QSize:
        """The same height for every row, so that lists of any length scroll smoothly."""
        height = max(self.thumbnail_px, lines_height(option.font, self.lines)) + 2 * MARGIN_PX
        return QSize(self.thumbnail_px * 2, height)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the background, the picture, then the row's own text."""
        if painter is None:
            return
        colors = self._theme.colors
        painter.save()
        painter.setFont(option.font)
        is_selected = fill_row(painter, option, colors)
        inner = option.rect.adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        square = QRect(inner.left(), inner.top(), self.thumbnail_px, self.thumbnail_px)
        draw_thumbnail(painter, square, index.data(Role.PICTURE), colors.border)
        inner.setLeft(square.right() + GAP_PX)
        self.paint_text(painter, inner, index, colors, colors.text if is_selected else colors.dim)
        painter.restore()

    def paint_text(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
        """Draw the text of a row; ``dim`` is the colour of what stands back."""
        raise NotImplementedError


def paint_titled(painter: QPainter, rect: QRect, title: str, lines: Iterable[str], *, dim: QColor) -> None:
    """Draw a title of up to two lines in the painter's colour, and below the room of both what stands back."""
    spacing = painter.fontMetrics().lineSpacing()
    draw_two_lines(painter, rect, plain(title))
    painter.setPen(dim)
    line = QRect(rect.left(), rect.top() + 2 * spacing, rect.width(), spacing)
    for text in lines:
        draw_line(painter, line, text)
        line.translate(0, spacing)
