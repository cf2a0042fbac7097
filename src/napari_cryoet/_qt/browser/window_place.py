"""Where a second window is put, so that it doesn't cover the first."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QRect, QSize
from qtpy.QtWidgets import QWidget

SIZE: Final = QSize(760, 680)
_OVERLAP_DOWN_PX: Final = 60
_LEFT_OPEN: Final = 0.4  # of the first window, where the screen has no room beside it


def place_beside(window: QWidget, first: QWidget) -> None:
    """Say where a window will be shown: beside another one that is on screen."""
    screen = first.screen()
    if screen is not None:
        window.setGeometry(place_for(first.frameGeometry(), screen.availableGeometry()))


def place_for(first: QRect, screen: QRect, size: QSize = SIZE) -> QRect:
    """Right or left of a window if the screen has room there, else over its left side and somewhat lower.

    Parameters
    ----------
    first
        The window that shall stay in sight; docks are on its right.
    screen
        What of the screen windows may take.
    size
        Of the second window, if there is room for it.
    """
    room = QSize(screen.width(), screen.height() - _OVERLAP_DOWN_PX)
    width, height = min(size.width(), room.width()), min(size.height(), room.height())
    top = max(screen.top(), min(first.top(), screen.bottom() + 1 - height))
    if screen.right() - first.right() >= width:
        return QRect(first.right() + 1, top, width, height)
    if first.left() - screen.left() >= width:
        return QRect(first.left() - width, top, width, height)
    seen = first.intersected(screen)
    width, left = min(width, round(seen.width() * (1 - _LEFT_OPEN))), seen.left()
    return QRect(left, min(top + _OVERLAP_DOWN_PX, screen.bottom() + 1 - height), width, height)
