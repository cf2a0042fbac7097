"""The window that a viewer is in, and what it is drawn on there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget


def main_window(viewer: Viewer) -> QWidget:
    """What dialogs lie over: the window that has napari's menus."""
    window: QWidget = viewer.window.main_menu.window()
    return window


def has_window(viewer: ViewerModel) -> bool:
    """Whether a viewer has a window that is still there: napari knows viewers whose window a person has closed."""
    try:
        return hasattr(viewer, "window") and bool(main_window(viewer))
    except RuntimeError:  # Qt has deleted it
        return False
