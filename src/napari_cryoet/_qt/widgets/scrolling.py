"""Pages that scroll where a dock is too low for them."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QScrollArea, QWidget

_PAGE_KEYS = (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class ScrollingPage(QScrollArea):
    """A place for a page, as wide as its dock, and as high where there is room; its controls have the keys.

    It scrolls sideways only where letters are so large that the page needs more width than a dock may take.
    """

    def __init__(self, page: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setWidget(page)

    def minimumSizeHint(self) -> QSize:
        """As wide as the page, and of any height."""
        page, bar, hint = self.widget(), self.verticalScrollBar(), super().minimumSizeHint()
        if page is None or bar is None:
            return hint
        is_scrolled = bar.isVisible()
        return QSize(page.minimumSizeHint().width() + (bar.sizeHint().width() if is_scrolled else 0), hint.height())

    def eventFilter(self, page: QObject | None, event: QEvent | None) -> bool:
        """The page needs another width."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(page, event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave arrows to the viewer, which steps through planes by them."""
        if event is not None and event.key() in _PAGE_KEYS:
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()
