"""A place that shows either its content or a message about it: loading, empty, failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QStackedWidget, QWidget

from napari_cryoet._qt.widgets.message_panel import Action, MessagePanel
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.exceptions import CryoETError

LOADING_AFTER_MS = 200  # a quicker answer replaces the old content without a flash of "Loading"


class Loadable(QStackedWidget):
    """Content with a message panel behind it."""

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = MessagePanel()
        self._content = content
        self.addWidget(content)
        self.addWidget(self.message)
        self._loading_timer = single_shot(self, LOADING_AFTER_MS, self._turn_to_message)

    @property
    def shows_content(self) -> bool:
        """Whether the content is on top."""
        return self.currentWidget() is self._content

    def show_content(self) -> None:
        """Show the content; the keys stay where the eyes are."""
        self._loading_timer.stop()
        takes_focus = _has_keys(self.message)
        self.setCurrentWidget(self._content)
        if takes_focus:
            self._content.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_loading(self, text: str, *, at_once: bool = False) -> None:
        """Say that the content is on its way, unless it comes within a blink."""
        self.message.show_message(text)
        if at_once:
            self._turn_to_message()
        else:
            self._loading_timer.start()

    def show_message(self, title: str, hint: str = "", actions: Sequence[Action] = ()) -> None:
        """Show a message instead of the content."""
        self._loading_timer.stop()
        takes_focus = _has_keys(self.message)  # its buttons go
        self.message.show_message(title, hint, actions)
        self._turn_to_message(takes_focus=takes_focus)

    def show_error(self, error: CryoETError, retry: Callable[[], None] | None = None) -> None:
        """Show an error instead of the content."""
        self._loading_timer.stop()
        takes_focus = _has_keys(self.message)
        self.message.show_error(error, retry)
        self._turn_to_message(takes_focus=takes_focus)

    def _turn_to_message(self, *, takes_focus: bool = False) -> None:
        """Show the message; the keys stay where the eyes are."""
        takes_focus = takes_focus or _has_keys(self._content)
        self.setCurrentWidget(self.message)
        if takes_focus:
            self.message.take_focus()


def _has_keys(widget: QWidget) -> bool:
    """Whether the keys go to a widget or a part of it."""
    return widget.hasFocus() or widget.isAncestorOf(QApplication.focusWidget())
