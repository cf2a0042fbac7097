"""Icons as SVG paths on a grid of 16, drawn in whatever colour the theme has."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

GRID: Final = 16
_FINER: Final = 2
_DISABLED_OPACITY: Final = 0.35  # about as faint as napari makes a text then
_CIRCLE: Final = "M{left} 8a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0"


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
    stroke = f'fill="none" stroke="{color.name()}" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"'
    looks = zip(_PATHS[name], (stroke, f'fill="{color.name()}"'), strict=True)
    shapes = "".join(f'<path d="{path}" {look}/>' for path, look in looks if path)
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {GRID} {GRID}" opacity="{color.alphaF():.3f}"'
    svg = QByteArray(f"<svg {head}>{shapes}</svg>".encode())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(svg).render(painter, rect)
    painter.restore()


def _circle(radius: float) -> str:
    """A circle around the middle."""
    return _CIRCLE.format(left=8 - radius, r=radius, d=2 * radius)


#: What is stroked and what is filled.
_PATHS: Final = {
    "back": ("M9.5 4L5.5 8L9.5 12", ""),
    "check": ("M3.5 8.5L6.8 11.8L12.5 4.8", ""),
    "choice": (_circle(5.5), ""),
    "chosen": (_circle(5.5), _circle(2.5)),
    "close": ("M4.5 4.5L11.5 11.5M11.5 4.5L4.5 11.5", ""),
    "dot": ("", _circle(2)),
    "down": ("M4.5 6.5L8 10L11.5 6.5", ""),
    "download": ("M8 2.5V10M4.8 7L8 10.2L11.2 7M3.5 13.2H12.5", ""),
    "eye": ("M1.8 8Q8 1.6 14.2 8Q8 14.4 1.8 8Z", _circle(2.2)),
    "folder": ("M2.5 12.5V4H6.5L8 5.8H13.5V12.5Z", ""),
    "gear": (
        _circle(2) + _circle(4.4) + "M12.6 8h1.6M8 12.6v1.6M3.4 8h-1.6M8 3.4v-1.6"
        "M11.25 11.25l1.1 1.1M4.75 11.25l-1.1 1.1M4.75 4.75l-1.1-1.1M11.25 4.75l1.1-1.1",
        "",
    ),
    "globe": (_circle(5.6) + "M5.6 8a2.4 5.6 0 1 0 4.8 0a2.4 5.6 0 1 0 -4.8 0M2.4 8H13.6", ""),
    "info": (_circle(5.8) + "M8 7.6V11", "M7.1 5.1a.9 .9 0 1 0 1.8 0a.9 .9 0 1 0 -1.8 0"),
    "link": ("M7 4H3.5V12.5H12V9M7.5 8.5L13 3M9.5 3H13V6.5", ""),
    "right": ("M6.5 4.5L10 8L6.5 11.5", ""),
    "search": ("M3 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0M10.2 10.2L13.5 13.5", ""),
    "star": ("", "M8 2L9.6 6.2L14.1 6.4L10.6 9.2L11.8 13.6L8 11.1L4.2 13.6L5.4 9.2L1.9 6.4L6.4 6.2Z"),
    "volume": ("M8 2L13.4 5V11L8 14L2.6 11V5ZM2.6 5L8 8L13.4 5M8 8V14", ""),
    "warning": ("M8 2.2L14.2 13.2H1.8ZM8 6.4V9.4", "M7.1 11.3a.9 .9 0 1 0 1.8 0a.9 .9 0 1 0 -1.8 0"),
}
