"""How annotations look: an object with its colour, and below it rows of two lines with two ticks."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QModelIndex, QObject, QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPen
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from napari_cryoet._qt.browser.annotation_model import AnnotationModel, Apart, Column, badges_of, details_of, title_of
from napari_cryoet._qt.layers.appearance import Appearance
from napari_cryoet._qt.widgets import icons
from napari_cryoet._qt.widgets.painting import (
    Look,
    chip_width,
    draw_chip,
    draw_line,
    draw_tick,
    fill_row,
    fits_in,
    lines_height,
)
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.theme import Colors, Theme
from napari_cryoet.run.outline import AnnotationRow, ObjectGroup

PADDING_PX = 3
CHIP_PX = 10
CHIP_GAP_PX = 8


class AnnotationDelegate(QStyledItemDelegate):
    """Draws the annotation tree and toggles its ticks."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Two lines for an annotation, one for an object."""
        lines = 2 if isinstance(index.data(Role.RECORD), AnnotationRow) else 1
        return QSize(60, lines_height(option.font, lines) + 2 * PADDING_PX + 1)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one cell."""
        if painter is None:
            return
        colors = self._theme.colors
        painter.save()
        painter.setFont(option.font)
        is_selected = fill_row(painter, option, colors)
        record = index.data(Role.RECORD)
        inner = option.rect.adjusted(2, PADDING_PX, -2, -PADDING_PX)
        if index.column() != Column.TEXT:
            look = index.data(Role.LOOK) if index.column() == Column.SHOW else None
            draw_tick(painter, option.rect, index.data(Qt.ItemDataRole.CheckStateRole), colors, look=_look_of(look))
        elif isinstance(record, AnnotationRow):
            _paint_row(painter, inner, record, colors, is_selected=is_selected)
        else:
            chip = QColor.fromRgbF(*index.data(Role.COLOR)) if isinstance(record, ObjectGroup) else None
            dim = colors.text if is_selected else colors.dim
            _paint_group(painter, inner, record, chip, text=colors.text, dim=dim)
        painter.restore()

    def editorEvent(self, event: QEvent | None, model: object, _option: QStyleOptionViewItem, index: Index) -> bool:
        """A click on a tick asks for its other state."""
        is_tick = index.column() != Column.TEXT and index.data(Qt.ItemDataRole.CheckStateRole) is not None
        if not is_tick or event is None or not isinstance(model, AnnotationModel):
            return False
        if event.type() == QEvent.Type.MouseButtonRelease:
            model.toggle(QModelIndex(index), Column(index.column()))
        return event.type() in (
            QEvent.Type.MouseButtonPress,
            QEvent.Type.MouseButtonRelease,
            QEvent.Type.MouseButtonDblClick,
        )


def _look_of(look: Appearance | None) -> Look | None:
    """How a tick shows a layer."""
    if look is None:
        return None
    return Look(QColor.fromRgbF(*look.color[:3]) if look.color is not None else None, look.is_visible)


def _paint_group(
    painter: QPainter, rect: QRect, group: ObjectGroup | Apart, chip: QColor | None, *, text: QColor, dim: QColor
) -> None:
    if chip is not None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(dim, 1))
        painter.setBrush(chip)
        top = rect.center().y() - CHIP_PX / 2 + 0.5
        painter.drawRoundedRect(QRectF(rect.left() + 1, top, CHIP_PX, CHIP_PX), 2.5, 2.5)
        rect = rect.adjusted(CHIP_PX + 7, 0, 0, 0)
    font, bold = painter.font(), QFont(painter.font())
    bold.setBold(isinstance(group, ObjectGroup))
    painter.setFont(bold)
    painter.setPen(text if isinstance(group, ObjectGroup) else dim)
    title = title_of(group)
    width = min(painter.fontMetrics().horizontalAdvance(title), rect.width())
    draw_line(painter, rect, title, elide=Qt.TextElideMode.ElideMiddle)
    painter.setFont(font)
    room = rect.adjusted(width + 8, 0, 0, 0)
    if isinstance(group, ObjectGroup) and fits_in(painter, room.width())(
        group.object_id
    ):  # a part of an id says nothing
        painter.setPen(dim)
        draw_line(painter, room, group.object_id)


def _paint_row(painter: QPainter, rect: QRect, row: AnnotationRow, colors: Colors, *, is_selected: bool) -> None:
    spacing = painter.fontMetrics().lineSpacing()
    stands_back = not row.fits or (row.shown_file is None and row.caption_file is None)
    dim = colors.text if is_selected else colors.dim
    line = QRect(rect.left(), rect.top(), rect.width(), spacing)
    if row.annotation.is_curator_recommended:
        star = QRectF(line.left(), line.center().y() - 5.5, 12, 12)
        icons.draw(painter, "star", star, dim if stands_back else colors.accent if not is_selected else colors.text)
        line.setLeft(line.left() + 16)
    painter.setPen(dim if stands_back else colors.text)
    text = badges_of(row)
    if row.annotation.ground_truth_status:
        line.setRight(_paint_truth(painter, line, text, colors))
    draw_line(painter, line, text)
    line = QRect(rect.left(), rect.top() + spacing, rect.width(), spacing)
    painter.setPen(dim)
    draw_line(painter, line, row.reason if stands_back and row.reason else details_of(row))


def _paint_truth(painter: QPainter, line: QRect, text: str, colors: Colors) -> int:
    """Mark a ground truth after a text, in as many letters as there is room for; returns where the text has to end."""
    used = painter.fontMetrics().horizontalAdvance(text) + CHIP_GAP_PX
    widths = {mark: chip_width(painter, mark) for mark in ("ground truth", "GT")}
    mark = next((mark for mark, width in widths.items() if used + width <= line.width()), "GT")
    right = min(line.left() + used + widths[mark], line.right())
    draw_chip(painter, QPointF(right, line.center().y() + 1), mark, colors.text, colors.border)
    return right - widths[mark] - CHIP_GAP_PX // 2
