"""What stands where a list can't: a plain message, what to do next, and buttons to do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_cryoet._qt.tasks import UnexpectedError
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet.exceptions import CryoETError, WithheldError

#: What the button says that lifts what withheld something.
SWITCH_TEXTS = {"offline mode": "Go online", "data saver": "Data saver…"}
MOST_ACTIONS = 3


class Action(NamedTuple):
    """A button of a message."""

    text: str
    run: Callable[[], None]


class MessagePanel(QWidget):
    """A message in the middle of the room that a list would take.

    Its buttons are made once: Tab leads to those that are made later after all of the window.
    """

    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = _centered_label("messageTitle")
        self._hint = _centered_label("messageHint")
        self._actions: Sequence[Action] = ()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(24, 24, 24, 24)
        self._column.setSpacing(8)
        self._column.addStretch(2)
        self._column.addWidget(self._title)
        self._column.addWidget(self._hint)
        self._column.addSpacing(4)
        self._buttons = [self._add_button(number) for number in range(MOST_ACTIONS)]
        self._column.addStretch(3)

    @property
    def text(self) -> str:
        """The message and its hint, as read aloud."""
        return f"{self._title.text()} {self._hint.text()}".strip()

    def button(self, text: str) -> QPushButton:
        """The button with that text; an error if there is none."""
        return next(button for button in self._buttons[: len(self._actions)] if button.text() == text)

    def show_message(self, title: str, hint: str = "", actions: Sequence[Action] = ()) -> None:
        """Replace the message, with up to three actions; the first is the one that Enter takes."""
        self._title.setText(title)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self.setAccessibleName(self.text)
        self._actions = actions
        for button, action in zip_longest(self._buttons, actions):
            button.setText(action.text if action else "")
            button.setAccessibleName(button.text())
            button.setVisible(action is not None)

    def take_focus(self) -> None:
        """Go on at the first button; where there is none, wait here for what comes."""
        first: QWidget = self._buttons[0] if self._actions else self
        first.setFocus(Qt.FocusReason.OtherFocusReason)

    def retitle(self, title: str, hint: str) -> None:
        """Change the words and keep the buttons, for a message that goes on."""
        self._title.setText(title)
        self._hint.setText(hint)
        self.setAccessibleName(self.text)

    def show_error(self, error: CryoETError, retry: Callable[[], None] | None = None) -> None:
        """Say what went wrong in its own plain words, with a Retry where that can help."""
        actions = [] if retry is None else [Action("Retry", retry)]
        if isinstance(error, WithheldError):
            switch = Action(SWITCH_TEXTS[error.by], lambda: self.switch_requested.emit(error, retry))
            actions = [switch, *actions]
        if isinstance(error, UnexpectedError):
            actions.append(Action("Copy details", lambda: copy_text(error.details)))
        self.show_message(error.message, error.hint, actions)

    def _add_button(self, number: int) -> QPushButton:
        button = QPushButton()
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setMinimumWidth(200)
        button.setAutoDefault(True)
        button.clicked.connect(lambda _checked=False: self._actions[number].run())
        button.hide()
        self._column.addWidget(button, alignment=Qt.AlignmentFlag.AlignHCenter)
        return button


def copy_text(text: str) -> None:
    """Put a text on the clipboard."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def _centered_label(name: str) -> QLabel:
    label = plain_label(name=name)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    return label
