"""The field to type into: words to look for, or an id or link to jump to."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.theme import Theme

_SETTLE_MS: Final = 150
_PASTED_CHARACTERS: Final = 8  # typing doesn't bring so many at once


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
    pasted = Signal(str)  # the text, where it came at once
    left_downwards = Signal()  # the list below shall have the keys

    def __init__(
        self, theme: Theme, placeholder: str, name: str, *, settle_ms: int = _SETTLE_MS, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._settled_text = ""
        self._length = 0  # of the text before
        self._is_pasted = False
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name)
        self.setClearButtonEnabled(True)
        self.setMaxLength(500)
        self._glass = QAction(self)
        self.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self._pause = single_shot(self, settle_ms, self._settle)
        self.textChanged.connect(self._on_text)
        self.returnPressed.connect(self._on_return)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()

    def clear_quietly(self) -> None:
        """Show no text, without a signal."""
        self.setText("")  # which can't be undone
        self._pause.stop()
        self._is_pasted = False
        self._settled_text = ""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape clears, Down goes on in the list."""
        if event is not None and event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
            self._settle()
        elif event is not None and event.key() == Qt.Key.Key_Down:
            self.left_downwards.emit()
        else:
            super().keyPressEvent(event)

    def _on_text(self, text: str) -> None:
        self._is_pasted = len(text) - self._length >= _PASTED_CHARACTERS
        self._length = len(text)
        self._pause.start()

    def _on_return(self) -> None:
        self._is_pasted = False
        self._settle()
        self.entered.emit(self.text().strip())

    def _settle(self) -> None:
        self._pause.stop()
        text, is_pasted = self.text().strip(), self._is_pasted
        self._is_pasted = False
        if text != self._settled_text:
            self._settled_text = text
            self.settled.emit(text)
            if is_pasted:
                self.pasted.emit(text)

    def _draw_icon(self) -> None:
        self._glass.setIcon(icon("search", self._theme.colors.dim))
