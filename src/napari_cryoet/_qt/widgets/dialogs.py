"""Questions to the user, the window they are asked in, items of menus, and the web browser."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QAction, QDesktopServices
from qtpy.QtWidgets import QMenu, QMessageBox, QWidget

from napari_cryoet._qt.widgets.labels import wrappable
from napari_cryoet.portal.links import is_web_address
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari.viewer import Viewer

_MOST_LETTERS: Final = 80  # of a menu's item


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


def add_item(menu: QMenu, text: str, then: Callable[[], object]) -> QAction:
    """Add an item whose text may be remote: it is shortened, and an ampersand in it stands for itself."""
    action = QAction(shorten(plain(text), _MOST_LETTERS, placeholder="…").replace("&", "&&"), menu)
    action.triggered.connect(lambda _checked=False: then())
    menu.addAction(action)
    return action


def open_in_browser(url: str) -> None:
    """Open a web address; anything else, like a file or a script, is left alone."""
    if is_web_address(url):
        QDesktopServices.openUrl(QUrl(url))
