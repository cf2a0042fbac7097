"""Questions to the user, the window they are asked in, and the web browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_cryoet._qt.widgets.labels import wrappable
from napari_cryoet.portal.links import is_web_address

if TYPE_CHECKING:
    from napari.viewer import Viewer


def main_window(viewer: Viewer) -> QWidget:
    """The window that dialogs lie over: the one with napari's menus."""
    window: QWidget = viewer.window.main_menu.window()
    return window


def agrees(
    parent: QWidget | None, title: str, text: str, *, verb: str, details: str = "", is_harmless: bool = False
) -> bool:
    """Ask whether to do something; Escape never does it.

    Parameters
    ----------
    title, text, details
        Plain text: names in it are never taken for markup.
    verb
        What the button says that does it; the other one says Cancel.
    is_harmless
        Whether Enter does it; else Enter cancels.
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


def open_in_browser(url: str) -> None:
    """Open a web address; anything else, like a file or a script, is left alone."""
    if is_web_address(url):
        QDesktopServices.openUrl(QUrl(url))
