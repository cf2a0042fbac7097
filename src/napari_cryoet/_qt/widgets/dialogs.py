"""Dialogs over the viewer's window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_cryoet._qt.widgets.controls import wrappable

if TYPE_CHECKING:
    from napari.viewer import Viewer


def main_window(viewer: Viewer) -> QWidget:
    """The viewer's main window, the parent of dialogs."""
    window: QWidget = viewer.window.main_menu.window()
    return window


def agrees(
    parent: QWidget | None,
    title: str,
    text: str,
    *,
    verb: str,
    details: str = "",
    is_harmless: bool = False,
) -> bool:
    """Ask the user to confirm an action; Escape cancels.

    Parameters
    ----------
    title, text, details
        Plain text, never interpreted as markup.
    verb
        The text of the button that confirms.
    is_harmless
        Whether Enter confirms; otherwise Enter cancels.
    """
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(wrappable(text))
    box.setInformativeText(wrappable(details))
    agree = box.addButton(verb, QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(agree if is_harmless else cancel)
    box.setEscapeButton(cancel)
    box.exec()
    box.deleteLater()
    return box.clickedButton() is agree
