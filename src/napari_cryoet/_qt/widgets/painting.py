"""Text in item rows: laid out as plain text, shortened where it doesn't fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtpy.QtCore import QPointF, QRect, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QPainter, QPainterPath, QPen, QPixmap, QTextLayout
from qtpy.QtWidgets import QAbstractScrollArea, QStyle, QStyleOptionViewItem

from napari_cryoet._qt.widgets.icons import draw as draw_icon
from napari_cryoet._qt.widgets.theme import Colors

TICK_PX = 15


def repaint(view: QAbstractScrollArea) -> None:
    """Draw all rows anew, soon."""
    viewport = view.viewport()
    if viewport is not None:
        viewport.update()


def fill_row(painter: QPainter, option: QStyleOptionViewItem, colors: Colors) -> bool:
    """Draw the background of a row, stronger where the keys go; returns whether the row is selected."""
    is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
    if is_selected:
        has_keys = option.widget.hasFocus()
        painter.fillRect(option.rect, colors.selection if has_keys else colors.border)
    elif option.state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(option.rect, colors.raised)
    return is_selected


def draw_line(
    painter: QPainter,
    rect: QRect,
    text: str,
    *,
    elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
) -> None:
    """One line of text in the painter's font and colour."""
    shortened = painter.fontMetrics().elidedText(text, elide, rect.width())
    painter.drawText(rect, int(align | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine), shortened)


def fits_in(painter: QPainter, width_px: int) -> Callable[[str], bool]:
    """What tells whether a line of text has room in a width, in the painter's font."""
    return lambda text: painter.fontMetrics().horizontalAdvance(text) <= width_px


def named_in_room(text_of: Callable[[int], str], fits: Callable[[str], bool]) -> str:
    """The longest text that fits, of those that name three, two or one of some things."""
    return next((text for limit in (3, 2) if fits(text := text_of(limit))), text_of(1))


def draw_two_lines(
    painter: QPainter, rect: QRect, text: str, *, elide: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle
) -> None:
    """A title over at most two lines; what doesn't fit is left out of the middle of the second, or where it is said."""
    metrics = painter.fontMetrics()
    first = first_line(text, painter.font(), rect.width())
    line = QRect(rect.left(), rect.top(), rect.width(), metrics.lineSpacing())
    draw_line(painter, line, first.rstrip())  # the layout lets a blank stand out at its end
    rest = text[len(first) :].strip()
    if rest:
        line.translate(0, metrics.lineSpacing())
        draw_line(painter, line, rest, elide=elide)


def first_line(text: str, font: QFont, width: int) -> str:
    """As many whole words of a text as fit into one line."""
    layout = QTextLayout(text, font)
    layout.beginLayout()
    line = layout.createLine()
    line.setLineWidth(width)
    length = line.textLength()
    layout.endLayout()
    return text[:length]


def draw_thumbnail(painter: QPainter, rect: QRect, image: QPixmap | None, placeholder: QColor) -> None:
    """A picture cut to fill a rounded square, or the quiet place where it will be."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    outline = QPainterPath()
    outline.addRoundedRect(QRectF(rect), 4, 4)
    painter.setClipPath(outline)
    if image is None:
        painter.fillRect(rect, placeholder)
    else:
        painter.drawPixmap(rect, image)
    painter.restore()


def draw_chip(painter: QPainter, right_center: QPointF, text: str, text_color: QColor, fill: QColor) -> int:
    """A short word in a rounded box that ends at a point; returns the width that it took."""
    width, height = chip_width(painter, text), painter.fontMetrics().height() + 2
    box = QRectF(right_center.x() - width, right_center.y() - height / 2, width, height)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(fill)
    painter.drawRoundedRect(box, height / 2, height / 2)
    painter.setPen(text_color)
    painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)
    painter.restore()
    return width


def chip_width(painter: QPainter, text: str) -> int:
    """How wide a chip with that text is."""
    return painter.fontMetrics().horizontalAdvance(text) + 8


def lines_height(font: QFont, lines: int) -> int:
    """The height of some lines of text."""
    return QFontMetrics(font).lineSpacing() * lines


def readable_on(background: QColor) -> QColor:
    """Black or white, whichever stands out more; after the relative luminance of WCAG 2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in background.getRgbF()[:3]]
    luminance = sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return QColor("black") if luminance > 0.179 else QColor("white")


class Look(NamedTuple):
    """How the layer behind a tick looks: its colour where it has one, and whether its eye is open."""

    color: QColor | None
    is_visible: bool


def draw_tick(
    painter: QPainter, cell: QRect, state: Qt.CheckState | None, colors: Colors, *, look: Look | None = None
) -> None:
    """A tick box in the middle of a cell: empty, ticked, or half (on its way); nothing where there is none.

    The tick of a layer is filled with the layer's colour; while the layer's eye is closed only its frame is.
    """
    if state is None:
        return
    box = QRectF(0, 0, TICK_PX, TICK_PX)
    box.moveCenter(QPointF(cell.center()) + QPointF(0.5, 0.5))
    fill, frame, mark = colors.raised, colors.dim, colors.text
    if look is not None and look.color is not None:
        frame = look.color
        if look.is_visible:
            fill, mark = look.color, readable_on(look.color)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(frame, 1.0 if fill == frame else 1.5))
    painter.setBrush(fill)
    painter.drawRoundedRect(box, 3, 3)
    painter.restore()
    if state == Qt.CheckState.Checked:
        draw_icon(painter, "check", box, mark if look is None or look.is_visible else colors.faint)
    elif state == Qt.CheckState.PartiallyChecked:
        painter.fillRect(box.adjusted(4, 6, -4, -6), mark)
