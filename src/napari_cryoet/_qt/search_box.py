"""The one field to type into: words to look for, or an id or link to jump to."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_cryoet._qt.icons import icon
from napari_cryoet._qt.theme import Theme
from napari_cryoet._qt.timers import single_shot

SETTLE_MS = 150


class SearchBox(QLineEdit):
    """A search field that waits for a pause in typing.

    Parameters
    ----------
    placeholder, name
        What it is for, as a hint and as read aloud.
    settle_ms
        How long the pause is.
    """

    settled = Signal(str)  # the text, after a pause or Enter
    entered = Signal(str)  # the text, on Enter
    left_downwards = Signal()  # the person wants to go on in the list below

    def __init__(
        self, theme: Theme, placeholder: str, name: str, *, settle_ms: int = SETTLE_MS, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._told = ""
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name)
        self.setClearButtonEnabled(True)
        self.setMaxLength(500)
        self._glass = QAction(self)
        self.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self._pause = single_shot(self, settle_ms, self._tell)
        self.textChanged.connect(lambda _text: self._pause.start())
        self.returnPressed.connect(self._on_return)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()

    def set_quietly(self, text: str) -> None:
        """Show a text without telling anybody."""
        self.setText(text)
        self._pause.stop()
        self._told = text.strip()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape clears, Down goes on in the list."""
        if event is not None and event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
            self._tell()
        elif event is not None and event.key() == Qt.Key.Key_Down:
            self.left_downwards.emit()
        else:
            super().keyPressEvent(event)

    def _on_return(self) -> None:
        self._tell()
        self.entered.emit(self.text().strip())

    def _tell(self) -> None:
        self._pause.stop()
        text = self.text().strip()
        if text != self._told:
            self._told = text
            self.settled.emit(text)

    def _draw_icon(self) -> None:
        self._glass.setIcon(icon("search", self._theme.colors.dim))
