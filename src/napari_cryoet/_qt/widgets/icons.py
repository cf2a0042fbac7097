"""Icons in the theme's colours, drawn from the files in ``icons``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

GRID: Final = 16  # px, the side of an icon
_FINER: Final = 2
_DISABLED_OPACITY: Final = 0.35  # about as faint as napari draws disabled text
_FOLDER: Final = Path(__file__).with_name("icons")


def icon(name: str, color: QColor) -> QIcon:
    """An icon for a button, faint when the button is disabled."""
    result, faint = QIcon(pixmap(name, color)), QColor(color)
    faint.setAlphaF(_DISABLED_OPACITY * color.alphaF())
    result.addPixmap(pixmap(name, faint), QIcon.Mode.Disabled)
    return result


def pixmap(name: str, color: QColor) -> QPixmap:
    """An icon as a pixmap at twice its grid's resolution, for high-density screens."""
    image = QPixmap(QSize(GRID * _FINER, GRID * _FINER))
    image.setDevicePixelRatio(_FINER)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    draw_icon(painter, name, QRectF(0, 0, GRID, GRID), color)
    painter.end()
    return image


def draw_icon(painter: QPainter, name: str, rect: QRectF, color: QColor) -> None:
    """Draw an icon into a rectangle."""
    svg = _read_svg(name).replace("currentColor", color.name())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setOpacity(painter.opacity() * color.alphaF())
    QSvgRenderer(QByteArray(svg.encode())).render(painter, rect)
    painter.restore()


@cache
def _read_svg(name: str) -> str:
    return (_FOLDER / f"{name}.svg").read_text(encoding="utf-8")
