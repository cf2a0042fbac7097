"""The window that a viewer is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget


def main_window(viewer: Viewer) -> QWidget:
    """What dialogs lie over: the window that has napari's menus."""
    window: QWidget = viewer.window.main_menu.window()
    return window
