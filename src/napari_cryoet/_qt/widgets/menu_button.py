"""A button that drops a menu, with an arrow of our own beside its text instead of one on top of it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.theme import Theme


class MenuButton(QToolButton):
    """Text, arrow, menu."""

    def __init__(self, theme: Theme, text: str, purpose: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.items = QMenu(self)
        self.setObjectName("menuButton")
        self.setText(text)
        self.setAccessibleName(purpose)
        self.setToolTip(purpose)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow after the text
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.clicked.connect(self._drop)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()

    def _drop(self) -> None:
        """Qt's own popup mode would reserve room for a second arrow."""
        self.items.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def _draw_icon(self) -> None:
        self.setIcon(icon("down", self._theme.colors.text))
