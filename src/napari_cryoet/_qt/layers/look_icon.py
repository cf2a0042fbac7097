"""A small picture of how a layer looks, its colour and its symbol, for lists and legends."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

from napari_cryoet.appearance.colors import RGBA

_GRID: Final = 16
_FINER: Final = 2
_FILL_OPACITY: Final = 0.3
_ROUND: Final = ("disc", "ring")
_POLYGONS: Final = {
    "square": [(2.5, 2.5), (13.5, 2.5), (13.5, 13.5), (2.5, 13.5)],
    "diamond": [(8, 1.5), (14.5, 8), (8, 14.5), (1.5, 8)],
    "triangle_up": [(8, 2), (14.5, 13.5), (1.5, 13.5)],
    "triangle_down": [(8, 14), (14.5, 2.5), (1.5, 2.5)],
}
_CROSSES: Final = {
    "cross": [((8, 2), (8, 14)), ((2, 8), (14, 8))],
    "x": [((3, 3), (13, 13)), ((13, 3), (3, 13))],
}
_SYMBOLS: Final = frozenset({*_ROUND, *_POLYGONS, *_CROSSES})


def look_icon(color: RGBA | None, symbol: str, outline: QColor) -> QIcon:
    """A symbol in a colour, with a thin line around it that sets it off from any background; hatched if it has several.

    Parameters
    ----------
    color
        None for what has several.
    symbol
        napari's word for it; a patch stands for what has none, and for those that aren't drawn here.
    outline
        The colour of that line, and of the hatching of what has several colours.
    """
    image = QPixmap(QSize(_GRID * _FINER, _GRID * _FINER))
    image.setDevicePixelRatio(_FINER)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    ink = QColor(outline) if color is None else QColor.fromRgbF(*color[:3])
    for pen, brush in _strokes(ink, outline, is_hatched=color is None, is_patch=symbol not in _SYMBOLS):
        painter.setPen(pen)
        painter.setBrush(brush)
        _draw(painter, symbol)
    painter.end()
    return QIcon(image)


def _strokes(ink: QColor, outline: QColor, *, is_hatched: bool, is_patch: bool) -> list[tuple[QPen, QBrush]]:
    """What a shape is drawn with, one over the other."""
    fill = QColor(ink)
    fill.setAlphaF(1.0 if is_patch else _FILL_OPACITY)
    brush = QBrush(ink, Qt.BrushStyle.BDiagPattern) if is_hatched else QBrush(fill)
    if is_patch:
        return [(QPen(outline, 1), brush)]
    return [(QPen(outline, 4.0), QBrush()), (QPen(ink, 2.5), brush)]


def _draw(painter: QPainter, symbol: str) -> None:
    if symbol in _ROUND:
        painter.drawEllipse(QPointF(8, 8), 5.7, 5.7)
    elif symbol in _POLYGONS:
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in _POLYGONS[symbol]]))
    elif symbol in _CROSSES:
        for start, end in _CROSSES[symbol]:
            painter.drawLine(QPointF(*start), QPointF(*end))
    else:
        painter.drawRoundedRect(QRectF(2.5, 2.5, 11, 11), 2.5, 2.5)
