"""The person's own web browser, for web addresses only."""

from __future__ import annotations

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_cryoet.portal.links import is_web_address


def open_in_browser(url: str) -> None:
    """Open a web address; anything else, like a file or a script, is left alone."""
    if is_web_address(url):
        QDesktopServices.openUrl(QUrl(url))
