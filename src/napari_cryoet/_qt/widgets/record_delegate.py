"""Draws any `Row`: picture, colour chip, title with badges, further lines, and ticks in columns of their own."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from napari_cryoet._qt.widgets import icons
from napari_cryoet._qt.widgets.painting import (
    draw_chip,
    draw_line,
    draw_thumbnail,
    draw_two_lines,
    fill_row,
    readable_on,
)
from napari_cryoet._qt.widgets.record_model import Index, Kind, RecordModel, Role, Row, Text, Tick
from napari_cryoet._qt.widgets.theme import Colors, Theme
from napari_cryoet.wording import plain

PICTURE_PX = 64
CHIP_PX = 10
TICK_PX = 15
ICON_PX = 12
MARK_PX = 16  # room of an icon or a radio mark
GAP_PX = 6


class RecordDelegate(QStyledItemDelegate):
    """Draws rows in the colours of the theme; a row is as high as what it has."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The height of a row."""
        row: Row = index.data(Role.ROW)
        text = QFontMetrics(option.font).lineSpacing() * (row.title_lines + len(row.lines))
        picture = _picture_px(row, text)
        return QSize(TICK_PX if index.column() else 60, max(text, picture) + 2 * _margin_px(row))

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row, or one of its ticks."""
        if painter is None:
            return
        row: Row = index.data(Role.ROW)
        painter.save()
        painter.setFont(option.font)
        is_selected = row.kind is not Kind.HEADING and fill_row(painter, option, self._theme.colors)
        cell = _Cell(painter, row, self._theme.colors, is_selected, has_icon=not index.parent().isValid())
        if index.column():
            ticks = row.ticks[index.column() - 1 : index.column()]
            if ticks and ticks[0] is not None:
                cell.draw_tick(option.rect, ticks[0])
        elif row.kind in (Kind.MESSAGE, Kind.FAILURE):
            cell.draw_message(option.rect)
        else:
            cell.draw_record(option.rect, index.data(Role.PICTURE) if row.picture_url is not None else None)
        painter.restore()

    def editorEvent(self, event: QEvent | None, model: object, _option: QStyleOptionViewItem, index: Index) -> bool:
        """A click on a tick asks for its other state."""
        row: Row = index.data(Role.ROW)
        column = index.column() - 1
        is_tick = column >= 0 and column < len(row.ticks) and row.ticks[column] is not None
        if not is_tick or event is None or not isinstance(model, RecordModel):
            return False
        if event.type() == QEvent.Type.MouseButtonRelease:
            model.request_tick(index, column)
        presses = (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease, QEvent.Type.MouseButtonDblClick)
        return event.type() in presses


class _Cell:
    """One row while it is drawn."""

    def __init__(self, painter: QPainter, row: Row, colors: Colors, is_selected: bool, *, has_icon: bool) -> None:
        self._painter = painter
        self._row = row
        self._colors = colors
        self._dim = colors.text if is_selected else colors.dim
        self._placeholder = colors.background if is_selected else colors.border
        self._icon_color = icon_color(row, colors, is_selected=is_selected)
        self._has_icon = has_icon  # the view draws those of rows below others

    def draw_record(self, rect: QRect, picture: QPixmap | None) -> None:
        """Picture, title and lines."""
        painter, row, margin = self._painter, self._row, _margin_px(self._row)
        inner = rect.adjusted(2, margin, -3, -margin)
        spacing = painter.fontMetrics().lineSpacing()
        side = _picture_px(row, inner.height())
        if side:
            square = QRect(inner.left() + 2, inner.top(), side, side)
            draw_thumbnail(painter, square, picture, self._placeholder)
            inner.setLeft(square.right() + GAP_PX)
        line = QRect(inner.left(), inner.top(), inner.width(), spacing)
        self._draw_title(line)
        line.translate(0, spacing * (row.title_lines - 1))
        painter.setPen(self._dim)
        for text in row.lines:
            line.translate(0, spacing)
            draw_line(painter, line, self._fitting(text, line.width()))

    def draw_message(self, rect: QRect) -> None:
        """A sentence in the middle."""
        painter, is_failure = self._painter, self._row.kind is Kind.FAILURE
        painter.setPen(self._colors.warning if is_failure and self._dim != self._colors.text else self._dim)
        wrapped = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        painter.drawText(rect.adjusted(6, 2, -6, -2), wrapped, self._fitting(self._row.title, 1_000_000))

    def draw_tick(self, cell: QRect, tick: Tick) -> None:
        """A tick box in the middle of a cell."""
        painter, colors = self._painter, self._colors
        box = QRectF(0, 0, TICK_PX, TICK_PX)
        box.moveCenter(QPointF(cell.center()) + QPointF(0.5, 0.5))
        fill, frame, mark = colors.raised, colors.dim, colors.text
        if tick.color is not None:
            frame = QColor.fromRgbF(*tick.color[:3])
            if not tick.is_hollow:
                fill, mark = frame, readable_on(frame)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(frame, 1.0 if fill == frame else 1.5))
        painter.setBrush(fill)
        painter.drawRoundedRect(box, 3, 3)
        if tick.state == Qt.CheckState.Checked:
            icons.draw(painter, "check", box, colors.faint if tick.is_hollow else mark)
        elif tick.state == Qt.CheckState.PartiallyChecked:
            painter.fillRect(box.adjusted(4, 6, -4, -6), mark)

    def _draw_title(self, line: QRect) -> None:
        painter, row = self._painter, self._row
        line = self._draw_marks(QRect(line))
        regular, font = painter.font(), QFont(painter.font())
        font.setBold(row.is_bold)
        right = self._fitting(row.right, self._room_at_right(line.width(), QFontMetrics(font)))
        if right:
            painter.setPen(self._dim)
            draw_line(painter, line, right, align=Qt.AlignmentFlag.AlignRight)
            line.setRight(line.right() - painter.fontMetrics().horizontalAdvance(right) - GAP_PX)
        painter.setFont(font)
        painter.setPen(self._dim if row.is_dim else self._colors.text)
        if row.title_lines > 1:
            draw_two_lines(painter, line, self._fitting(row.title, 2 * line.width()))
            painter.setFont(regular)
            return
        badges = self._badges(line.width())
        room = line.width() - sum(self._badge_px(badge) for badge in badges)
        title = self._fitting(row.title, room)
        elide = Qt.TextElideMode.ElideMiddle if row.is_bold else Qt.TextElideMode.ElideRight
        draw_line(painter, QRect(line.left(), line.top(), room, line.height()), title, elide=elide)
        left = line.left() + min(room, painter.fontMetrics().horizontalAdvance(title))
        painter.setFont(regular)
        for badge in badges:
            left += self._badge_px(badge)
            draw_chip(painter, QPointF(left, line.center().y() + 1), badge, self._colors.text, self._colors.border)

    def _draw_marks(self, line: QRect) -> QRect:
        """Radio mark, icon and colour chip; returns the room that is left of the line."""
        painter, row, middle = self._painter, self._row, line.center().y() + 0.5
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if row.is_chosen is not None:
            center = QPointF(line.left() + 7, middle)
            painter.setPen(QPen(self._colors.text if row.is_chosen else self._dim, 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(center, 5.5, 5.5)
            if row.is_chosen:
                painter.setBrush(self._colors.text)
                painter.drawEllipse(center, 2.5, 2.5)
            line.setLeft(line.left() + MARK_PX + 4)
        if row.icon and self._has_icon:
            square = QRectF(line.left(), middle - ICON_PX / 2, ICON_PX, ICON_PX)
            icons.draw(painter, row.icon, square, self._icon_color)
            line.setLeft(line.left() + MARK_PX)
        if row.color is not None:
            painter.setPen(QPen(self._dim, 1))
            painter.setBrush(QColor.fromRgbF(*row.color))
            painter.drawRoundedRect(QRectF(line.left() + 1, middle - CHIP_PX / 2, CHIP_PX, CHIP_PX), 2.5, 2.5)
            line.setLeft(line.left() + CHIP_PX + 7)
        return line

    def _room_at_right(self, width: int, title_metrics: QFontMetrics) -> int:
        """What the shortest title and the badges leave; half of the line at least where there is only one text."""
        title, *badges = (text if isinstance(text, str) else text[-1] for text in (self._row.title, *self._row.badges))
        taken = title_metrics.horizontalAdvance(plain(title)) + sum(map(self._badge_px, badges)) + GAP_PX
        return max(width - taken, width // 2 if isinstance(self._row.right, str) else 0)

    def _badges(self, width: int) -> list[str]:
        """The badges, shortened where the title needs the room."""
        title = self._painter.fontMetrics().horizontalAdvance(self._fitting(self._row.title, width))
        room = width - title
        badges = []
        for text in self._row.badges:
            choices = [text] if isinstance(text, str) else list(text)
            badge = next((each for each in choices if self._badge_px(each) <= room), choices[-1])
            room -= self._badge_px(badge)
            badges.append(badge)
        return badges

    def _badge_px(self, text: str) -> int:
        return self._painter.fontMetrics().horizontalAdvance(text) + 8 + GAP_PX

    def _fitting(self, text: Text, width: int) -> str:
        choices: Sequence[str] = [text] if isinstance(text, str) else text
        metrics = self._painter.fontMetrics()
        shown = next((each for each in choices if metrics.horizontalAdvance(each) <= width), choices[-1])
        return plain(shown)


def icon_color(row: Row, colors: Colors, *, is_selected: bool) -> QColor:
    """The colour of a row's icon."""
    return colors.text if is_selected else colors.dim if row.is_dim else colors.accent


def _picture_px(row: Row, text_height: int) -> int:
    return 0 if row.picture_url is None else min(PICTURE_PX, max(text_height, 48))


def _margin_px(row: Row) -> int:
    return 6 if row.picture_url is not None else 3
