"""Text that is painted: plain, and shortened where it doesn't fit."""

from __future__ import annotations

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QTextLayout


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


def draw_two_lines(
    painter: QPainter, rect: QRect, text: str, *, elide: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle
) -> None:
    """A text over at most two lines; what doesn't fit is left out of the second."""
    first = _first_line(text, painter.font(), rect.width())
    line = QRect(rect.left(), rect.top(), rect.width(), painter.fontMetrics().lineSpacing())
    draw_line(painter, line, first.rstrip())  # the layout lets a blank stand out at its end
    line.translate(0, line.height())
    draw_line(painter, line, text[len(first) :].strip(), elide=elide)


def readable_on(background: QColor) -> QColor:
    """Black or white, whichever stands out more; after the relative luminance of WCAG 2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in background.getRgbF()[:3]]
    luminance = sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return QColor("black") if luminance > 0.179 else QColor("white")


def _first_line(text: str, font: QFont, width: int) -> str:
    """As many whole words of a text as fit into one line."""
    layout = QTextLayout(text, font)
    layout.beginLayout()
    line = layout.createLine()
    line.setLineWidth(width)
    length = line.textLength()
    layout.endLayout()
    return text[:length]
