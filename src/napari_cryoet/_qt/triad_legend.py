"""The legend of triads: the three axes of a particle, each in its colour and as long as it is against the others."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QLabel

from napari_cryoet.picks.orientations import AXIS_COLORS, AXIS_NAMES, AXIS_SHARES

_LONGEST_PX: Final = 36


def triad_legend() -> QLabel:
    """A label for the picture that `axes_picture` gives."""
    label = QLabel()
    label.setObjectName("triadLegend")
    label.setAccessibleName("Axes of the particle: x vermillion and shortest, y green, z blue and longest")
    label.setToolTip("The particle's own axes: x is half and y three quarters as long as z")
    return label


def axes_picture(text_color: QColor) -> QPixmap:
    """What the axes of triads look like: each as long as it is against the others."""
    scale, height, gap = 2, 18, 30
    image = QPixmap(scale * 3 * (_LONGEST_PX + gap), scale * height)
    image.setDevicePixelRatio(scale)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for place, (name, color, share) in enumerate(zip(AXIS_NAMES, AXIS_COLORS, AXIS_SHARES, strict=True)):
        left = place * (_LONGEST_PX + gap) + 4  # where labels begin
        painter.setPen(text_color)
        painter.drawText(QPointF(left, height / 2 + 4), name)
        painter.setPen(QPen(QColor.fromRgbF(*color), 3))
        painter.drawLine(QPointF(left + 14, height / 2), QPointF(left + 14 + _LONGEST_PX * share, height / 2))
    painter.end()
    return image
