"""The clipboard, the file manager and the web browser."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices, QGuiApplication

from napari_cryoet.portal.links import is_web_address


def copy_text(text: str) -> None:
    """Copy a text to the clipboard."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def open_folder(folder: Path) -> None:
    """Show a folder in the system's file manager, or its parent if the folder doesn't exist."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder if folder.is_dir() else folder.parent)))


def open_in_browser(url: str) -> None:
    """Open a web address in the browser; ignore other URLs, such as files and scripts."""
    if is_web_address(url):
        QDesktopServices.openUrl(QUrl(url))
