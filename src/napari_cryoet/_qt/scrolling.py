"""Pages that scroll where a dock is too low for them."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QScrollArea, QWidget

_PAGE_KEYS = (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class ScrollingPage(QScrollArea):
    """A place for a page, as wide as its dock, and as high where there is room; its controls have the keys."""

    def __init__(self, page: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(page)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave arrows to the viewer, which steps through planes by them."""
        if event is not None and event.key() in _PAGE_KEYS:
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()
