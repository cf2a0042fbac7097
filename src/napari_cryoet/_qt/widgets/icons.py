"""The few icons that we draw ourselves, on a grid of 16, in whatever colour the theme has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

GRID = 16
_FINER: Final = 2
_DISABLED_OPACITY: Final = 0.35  # about as faint as napari makes a text then


def icon(name: str, color: QColor) -> QIcon:
    """An icon for a button, faint where that can't be pressed."""
    made, faint = QIcon(pixmap(name, color)), QColor(color)
    faint.setAlphaF(_DISABLED_OPACITY * color.alphaF())
    made.addPixmap(pixmap(name, faint), QIcon.Mode.Disabled)
    return made


def pixmap(name: str, color: QColor) -> QPixmap:
    """An icon as pixels, finer than its grid for dense screens."""
    image = QPixmap(QSize(GRID * _FINER, GRID * _FINER))
    image.setDevicePixelRatio(_FINER)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    draw(painter, name, QRectF(0, 0, GRID, GRID), color)
    painter.end()
    return image


def draw(painter: QPainter, name: str, rect: QRectF, color: QColor) -> None:
    """Draw an icon into a rectangle."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.topLeft())
    painter.scale(rect.width() / GRID, rect.height() / GRID)
    pen = QPen(color, 1.5)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    _DRAWINGS[name](painter, color)
    painter.restore()


def _search(painter: QPainter, _color: QColor) -> None:
    painter.drawEllipse(QPointF(7, 7), 4, 4)
    painter.drawLine(QPointF(10.2, 10.2), QPointF(13.5, 13.5))


def _star(painter: QPainter, color: QColor) -> None:
    corners = []
    for corner in range(10):
        radius = 6.4 if corner % 2 == 0 else 2.7
        angle = math.radians(-90 + 36 * corner)
        corners.append(QPointF(8 + radius * math.cos(angle), 8.4 + radius * math.sin(angle)))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPolygon(QPolygonF(corners))


def _check(painter: QPainter, _color: QColor) -> None:
    painter.drawPolyline(QPolygonF([QPointF(3.5, 8.5), QPointF(6.8, 11.8), QPointF(12.5, 4.8)]))


def _dot(painter: QPainter, color: QColor) -> None:
    painter.setBrush(color)
    painter.drawEllipse(QPointF(8, 8), 1.5, 1.5)


def _back(painter: QPainter, _color: QColor) -> None:
    painter.drawPolyline(QPolygonF([QPointF(9.5, 4), QPointF(5.5, 8), QPointF(9.5, 12)]))


def _down(painter: QPainter, _color: QColor) -> None:
    painter.drawPolyline(QPolygonF([QPointF(4.5, 6.5), QPointF(8, 10), QPointF(11.5, 6.5)]))


def _right(painter: QPainter, _color: QColor) -> None:
    painter.drawPolyline(QPolygonF([QPointF(6.5, 4.5), QPointF(10, 8), QPointF(6.5, 11.5)]))


def _gear(painter: QPainter, _color: QColor) -> None:
    painter.drawEllipse(QPointF(8, 8), 2, 2)
    painter.drawEllipse(QPointF(8, 8), 4.4, 4.4)
    for tooth in range(8):
        angle = math.radians(45 * tooth)
        along = QPointF(math.cos(angle), math.sin(angle))
        painter.drawLine(QPointF(8, 8) + along * 4.6, QPointF(8, 8) + along * 6.2)


def _link(painter: QPainter, _color: QColor) -> None:
    painter.drawPolyline(
        QPolygonF([QPointF(7, 4), QPointF(3.5, 4), QPointF(3.5, 12.5), QPointF(12, 12.5), QPointF(12, 9)])
    )
    painter.drawLine(QPointF(7.5, 8.5), QPointF(13, 3))
    painter.drawPolyline(QPolygonF([QPointF(9.5, 3), QPointF(13, 3), QPointF(13, 6.5)]))


def _reload(painter: QPainter, color: QColor) -> None:
    painter.drawArc(QRectF(3.5, 3.5, 9, 9), 40 * 16, 280 * 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPolygon(QPolygonF([QPointF(13.8, 2.6), QPointF(13.8, 7), QPointF(9.6, 6)]))


def _stop(painter: QPainter, color: QColor) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawRoundedRect(QRectF(4, 4, 8, 8), 1, 1)


def _download(painter: QPainter, _color: QColor) -> None:
    painter.drawLine(QPointF(8, 2.5), QPointF(8, 10))
    painter.drawPolyline(QPolygonF([QPointF(4.8, 7), QPointF(8, 10.2), QPointF(11.2, 7)]))
    painter.drawLine(QPointF(3.5, 13.2), QPointF(12.5, 13.2))


def _eye(painter: QPainter, color: QColor) -> None:
    lids = QPainterPath(QPointF(1.8, 8))
    lids.quadTo(QPointF(8, 1.6), QPointF(14.2, 8))
    lids.quadTo(QPointF(8, 14.4), QPointF(1.8, 8))
    painter.drawPath(lids)
    painter.setBrush(color)
    painter.drawEllipse(QPointF(8, 8), 1.8, 1.8)


def _folder(painter: QPainter, _color: QColor) -> None:
    outline = [(2.5, 12.5), (2.5, 4), (6.5, 4), (8, 5.8), (13.5, 5.8), (13.5, 12.5)]
    painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in outline]))


def _globe(painter: QPainter, _color: QColor) -> None:
    painter.drawEllipse(QPointF(8, 8), 5.6, 5.6)
    painter.drawEllipse(QPointF(8, 8), 2.4, 5.6)
    painter.drawLine(QPointF(2.4, 8), QPointF(13.6, 8))


def _volume(painter: QPainter, _color: QColor) -> None:
    top = [(8, 2), (13.4, 5), (13.4, 11), (8, 14), (2.6, 11), (2.6, 5)]
    painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in top]))
    painter.drawPolyline(QPolygonF([QPointF(2.6, 5), QPointF(8, 8), QPointF(13.4, 5)]))
    painter.drawLine(QPointF(8, 8), QPointF(8, 14))


def _info(painter: QPainter, color: QColor) -> None:
    painter.drawEllipse(QPointF(8, 8), 5.8, 5.8)
    painter.drawLine(QPointF(8, 7.6), QPointF(8, 11))
    painter.setBrush(color)
    painter.drawEllipse(QPointF(8, 5.1), 0.3, 0.3)


def _warning(painter: QPainter, color: QColor) -> None:
    painter.drawPolygon(QPolygonF([QPointF(8, 2.2), QPointF(14.2, 13.2), QPointF(1.8, 13.2)]))
    painter.drawLine(QPointF(8, 6.4), QPointF(8, 9.4))
    painter.setBrush(color)
    painter.drawEllipse(QPointF(8, 11.3), 0.3, 0.3)


def _close(painter: QPainter, _color: QColor) -> None:
    painter.drawLine(QPointF(4.5, 4.5), QPointF(11.5, 11.5))
    painter.drawLine(QPointF(11.5, 4.5), QPointF(4.5, 11.5))


_DRAWINGS: dict[str, Callable[[QPainter, QColor], None]] = {
    "back": _back,
    "check": _check,
    "close": _close,
    "dot": _dot,
    "down": _down,
    "download": _download,
    "eye": _eye,
    "folder": _folder,
    "gear": _gear,
    "globe": _globe,
    "info": _info,
    "link": _link,
    "reload": _reload,
    "right": _right,
    "search": _search,
    "star": _star,
    "stop": _stop,
    "volume": _volume,
    "warning": _warning,
}
