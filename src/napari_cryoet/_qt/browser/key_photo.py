"""The picture of a record at the head of its page."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_cryoet._qt.widgets.painting import draw_thumbnail
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails

SIDE_PX = 64


class KeyPhoto(QWidget):
    """A square whose picture comes when it comes; not there for a record without."""

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._thumbnails = thumbnails
        self._url: str | None = None
        self.setAccessibleName("Key photo")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        thumbnails.arrived.connect(self._on_picture)
        theme.changed.connect(self.update)
        self.hide()

    def set_address(self, url: str | None) -> None:
        """Show the picture of an address."""
        self._url = url
        self.setVisible(bool(url))
        self.update()

    def sizeHint(self) -> QSize:
        """As large as in rows."""
        return QSize(SIDE_PX, SIDE_PX)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the picture, or the place where it will be."""
        painter = QPainter(self)
        draw_thumbnail(painter, self.rect(), self._thumbnails.picture(self._url), self._theme.colors.border)

    def _on_picture(self, url: str) -> None:
        if url == self._url:
            self.update()
