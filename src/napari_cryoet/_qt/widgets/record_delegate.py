"""Draws a `RecordRow`: picture, colour chip, title with badge, further lines, and columns of tick boxes."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QEvent, QObject, QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QPainterPath,
    QPen,
    QPixmap,
    QTextLayout,
)
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_cryoet._qt.widgets.controls import not_none
from napari_cryoet._qt.widgets.record_model import ModelIndex, RecordModel, Role
from napari_cryoet._qt.widgets.theme import Colors, Theme, draw_icon
from napari_cryoet.pages.rows import RecordRow, RowKind, Text, Tick, TickState, longest
from napari_cryoet.wording import plain

LEAST_PICTURE_PX, MOST_PICTURE_PX = 48, 64
CHIP_PX, TICK_PX, ICON_PX = 10, 15, 12
GAP_PX: Final = 6
BADGE_PADDING_PX: Final = 4
_PRESSES: Final = (
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseButtonRelease,
    QEvent.Type.MouseButtonDblClick,
)


class RecordDelegate(QStyledItemDelegate):
    """Draws rows in the theme's colours; the row height follows the content."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: ModelIndex) -> QSize:
        row: RecordRow = index.data(Role.ROW)
        text = QFontMetrics(option.font).lineSpacing() * (row.title_lines + len(row.lines))
        return QSize(60, max(text, _picture_px(row, text)) + 2 * _margin_px(row))

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: ModelIndex
    ) -> None:
        painter = not_none(painter)
        row: RecordRow = index.data(Role.ROW)
        painter.save()
        painter.setFont(option.font)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        cell = _Cell(
            painter, row, self._theme.colors, option, has_icon=not index.parent().isValid()
        )
        cell.fill()
        if index.column():
            cell.draw_tick(index.data(Role.TICK))
        elif row.kind in (RowKind.MESSAGE, RowKind.FAILURE):
            cell.draw_message()
        else:
            cell.draw_record(index.data(Role.PICTURE) if row.picture_url is not None else None)
        painter.restore()

    def editorEvent(
        self, event: QEvent | None, model: object, _option: QStyleOptionViewItem, index: ModelIndex
    ) -> bool:
        if (
            not index.column()
            or event is None
            or index.data(Qt.ItemDataRole.CheckStateRole) is None
        ):
            return False
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(model, RecordModel):
            model.request_tick(index, index.column() - 1)
        return event.type() in _PRESSES


class _Cell:
    """Draws one cell of a row."""

    def __init__(
        self,
        painter: QPainter,
        row: RecordRow,
        colors: Colors,
        option: QStyleOptionViewItem,
        *,
        has_icon: bool,
    ) -> None:
        self._painter, self._row, self._colors, self._option = painter, row, colors, option
        self._has_icon = has_icon  # the view draws the icons of child rows
        self._is_selected = row.kind is not RowKind.HEADING and bool(
            option.state & QStyle.StateFlag.State_Selected
        )
        self._dim = colors.text if self._is_selected else colors.dim
        self._box_color = colors.background if self._is_selected else colors.border

    def fill(self) -> None:
        colors, option = self._colors, self._option
        if self._is_selected:
            self._painter.fillRect(
                option.rect, colors.selection if option.widget.hasFocus() else colors.border
            )
        elif (
            option.state & QStyle.StateFlag.State_MouseOver
            and self._row.kind is not RowKind.HEADING
        ):
            self._painter.fillRect(option.rect, colors.raised)

    def draw_record(self, picture: QPixmap | None) -> None:
        row, margin, spacing = (
            self._row,
            _margin_px(self._row),
            self._painter.fontMetrics().lineSpacing(),
        )
        inner = self._option.rect.adjusted(2, margin, -3, -margin)
        if side := _picture_px(row, inner.height()):
            square = QRect(inner.left() + 4, inner.top(), side, side)
            self._draw_picture(square, picture)
            inner.setLeft(square.right() + GAP_PX + 2)
        line = QRect(inner.left(), inner.top(), inner.width(), spacing)
        self._draw_title(line)
        line.translate(0, spacing * (row.title_lines - 1))
        self._painter.setPen(self._dim)
        for text in row.lines:
            line.translate(0, spacing)
            self._draw_text(line, self._fitting(text, line.width()))

    def draw_message(self) -> None:
        is_warning = self._row.kind is RowKind.FAILURE and not self._is_selected
        self._painter.setPen(self._colors.warning if is_warning else self._dim)
        wrapped = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        self._painter.drawText(
            self._option.rect.adjusted(6, 2, -6, -2), wrapped, plain(longest(self._row.title))
        )

    def draw_tick(self, tick: Tick | None) -> None:
        painter, colors = self._painter, self._colors
        if tick is None:
            return
        box = QRectF(0, 0, TICK_PX, TICK_PX)
        box.moveCenter(QPointF(self._option.rect.center()) + QPointF(0.5, 0.5))
        fill, frame, mark = colors.raised, colors.dim, colors.text
        if tick.color is not None:
            frame = QColor.fromRgbF(*tick.color[:3])
            if not tick.is_hollow:
                fill, mark = frame, _readable_on(frame)
        painter.setPen(QPen(frame, 1.0 if fill == frame else 1.5))
        painter.setBrush(fill)
        painter.drawRoundedRect(box, 3, 3)
        if tick.state is TickState.ON:
            draw_icon(painter, "check", box, colors.faint if tick.is_hollow else mark)
        elif tick.state is TickState.PARTIAL:
            painter.fillRect(box.adjusted(4, 6, -4, -6), mark)

    def _draw_picture(self, square: QRect, picture: QPixmap | None) -> None:
        """Draw the picture clipped to a rounded square, or a placeholder until it arrives."""
        outline = QPainterPath()
        outline.addRoundedRect(QRectF(square), 4, 4)
        self._painter.save()
        self._painter.setClipPath(outline)
        if picture is None:
            self._painter.fillRect(square, self._box_color)
        else:
            self._painter.drawPixmap(square, picture)
        self._painter.restore()

    def _draw_title(self, line: QRect) -> None:
        painter, row = self._painter, self._row
        line = self._draw_marks(QRect(line))
        regular, font = painter.font(), QFont(painter.font())
        font.setBold(row.is_bold)
        title_px = QFontMetrics(font).horizontalAdvance(plain(_shortest(row.title)))
        badge_px = self._badge_px(row.title_lines * line.width() - title_px)
        line.setRight(line.right() - badge_px - (GAP_PX if badge_px else 0))
        if right := self._fitting(row.right, self._room_at_right(line.width(), title_px)):
            painter.setPen(self._dim)
            at_right = line.adjusted(0, 0, self._option.rect.right() - 3 - line.right(), 0)
            self._draw_text(at_right, right, align=Qt.AlignmentFlag.AlignRight)
            line.setRight(line.right() - painter.fontMetrics().horizontalAdvance(right) - GAP_PX)
        painter.setFont(font)
        painter.setPen(self._dim if row.is_dim else self._colors.text)
        title = self._fitting(row.title, row.title_lines * line.width())
        elide = Qt.TextElideMode.ElideMiddle if row.is_bold else Qt.TextElideMode.ElideRight
        if row.title_lines > 1:
            first = _first_line(title, font, line.width())
            self._draw_text(line, first.rstrip())
            self._draw_text(
                line.translated(0, line.height()), title[len(first) :].strip(), elide=elide
            )
        else:
            self._draw_text(line, title, elide=elide)
        left = line.left() + min(line.width(), painter.fontMetrics().horizontalAdvance(title))
        painter.setFont(regular)
        if badge_px:
            height = painter.fontMetrics().height() + 2
            box = QRectF(left + GAP_PX, line.center().y() + 1 - height / 2, badge_px, height)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._box_color)
            painter.drawRoundedRect(box, height / 2, height / 2)
            painter.setPen(self._colors.text)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), row.badge)

    def _draw_marks(self, line: QRect) -> QRect:
        """Draw the radio mark, icon and colour chip; return the rest of the line."""
        painter, row, colors, middle = (
            self._painter,
            self._row,
            self._colors,
            line.center().y() + 0.5,
        )
        if row.is_chosen is not None:
            name, square = (
                "chosen" if row.is_chosen else "choice",
                QRectF(line.left() - 1, middle - 8, 16, 16),
            )
            draw_icon(painter, name, square, colors.text if row.is_chosen else self._dim)
            line.setLeft(line.left() + 20)
        if row.icon and self._has_icon:
            square = QRectF(line.left(), middle - ICON_PX / 2, ICON_PX, ICON_PX)
            draw_icon(
                painter, row.icon, square, icon_color(row, colors, is_selected=self._is_selected)
            )
            line.setLeft(line.left() + ICON_PX + 4)
        if row.color is not None:
            painter.setPen(QPen(self._dim, 1))
            painter.setBrush(QColor.fromRgbF(*row.color))
            painter.drawRoundedRect(
                QRectF(line.left() + 1, middle - CHIP_PX / 2, CHIP_PX, CHIP_PX), 2.5, 2.5
            )
            line.setLeft(line.left() + CHIP_PX + 7)
        return line

    def _badge_px(self, room_px: int) -> int:
        """The width of the badge; 0 if there is none, or no room beside the shortest title."""
        text_px = self._painter.fontMetrics().horizontalAdvance(self._row.badge)
        width = text_px + 2 * BADGE_PADDING_PX
        return width if self._row.badge and width + GAP_PX <= room_px else 0

    def _room_at_right(self, width: int, title_px: int) -> int:
        """The width that the shortest title leaves.

        At least half of the line if the right text has no alternatives.
        """
        left = width - title_px - GAP_PX
        return max(left, width // 2 if isinstance(self._row.right, str) else 0)

    def _draw_text(
        self,
        line: QRect,
        text: str,
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    ) -> None:
        shortened = self._painter.fontMetrics().elidedText(text, elide, line.width())
        self._painter.drawText(
            line, int(align | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine), shortened
        )

    def _fitting(self, text: Text, width: int) -> str:
        """The longest alternative that fits, or the shortest."""
        choices = (text,) if isinstance(text, str) else text
        metrics = self._painter.fontMetrics()
        return plain(
            next(
                (choice for choice in choices if metrics.horizontalAdvance(choice) <= width),
                choices[-1],
            )
        )


def icon_color(row: RecordRow, colors: Colors, *, is_selected: bool) -> QColor:
    """The colour of a row's icon."""
    return colors.text if is_selected else colors.dim if row.is_dim else colors.accent


def _shortest(text: Text) -> str:
    return text if isinstance(text, str) else text[-1]


def _picture_px(row: RecordRow, text_height: int) -> int:
    return (
        0 if row.picture_url is None else min(MOST_PICTURE_PX, max(text_height, LEAST_PICTURE_PX))
    )


def _margin_px(row: RecordRow) -> int:
    return 6 if row.picture_url is not None else 3


def _first_line(text: str, font: QFont, width: int) -> str:
    """As many whole words as fit on one line."""
    layout = QTextLayout(text, font)
    layout.beginLayout()
    line = layout.createLine()
    line.setLineWidth(width)
    length = line.textLength()
    layout.endLayout()
    return text[:length]


def _readable_on(background: QColor) -> QColor:
    """Black or white, whichever has more contrast."""
    red, green, blue = (part**2.2 for part in background.getRgbF()[:3])
    return QColor("black") if 0.21 * red + 0.72 * green + 0.07 * blue > 0.18 else QColor("white")
