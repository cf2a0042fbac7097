"""A line for news that leaves the page as it is: shown from the cache, something failed beside it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from napari_cryoet._qt.icons import icon, pixmap
from napari_cryoet._qt.labels import plain_label
from napari_cryoet._qt.message_panel import SWITCH_TEXTS, copy_text
from napari_cryoet._qt.tasks import UnexpectedError
from napari_cryoet._qt.theme import Theme
from napari_cryoet.exceptions import CryoETError, WithheldError


class NoticeBar(QFrame):
    """One notice at a time, until it is closed or another takes its place."""

    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._on_action: Callable[[], None] | None = None
        self.setObjectName("noticeBar")
        self._sign = QLabel()
        self._text = plain_label(name="noticeText")
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.clicked.connect(self._run_action)
        self.dismiss = QToolButton()
        self.dismiss.setAutoRaise(True)
        self.dismiss.setAccessibleName("Close this notice")
        self.dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 4, 4)
        row.addWidget(self._sign)
        row.addWidget(self._text, 1)
        row.addWidget(self.action)
        row.addWidget(self.dismiss)
        self.hide()
        theme.changed.connect(self._draw_icons)
        self._draw_icons()

    @property
    def text(self) -> str:
        """What is told now."""
        return self._text.text()

    def show_notice(self, text: str, action_text: str = "", action: Callable[[], None] | None = None) -> None:
        """Tell what a person should mind, with a button that does something about it."""
        self._tell(text, action_text, action, is_news=False)

    def show_news(self, text: str, action_text: str = "", action: Callable[[], None] | None = None) -> None:
        """Tell what is as it should be, or an offer: without a warning's looks."""
        self._tell(text, action_text, action, is_news=True)

    def _tell(self, text: str, action_text: str, action: Callable[[], None] | None, *, is_news: bool) -> None:
        self.setProperty("isNews", is_news)
        style = self.style()
        if style is not None:
            style.polish(self)
        self._draw_icons()
        self._text.setText(text)
        self.setAccessibleName(text)
        self._on_action = action
        self.action.setText(action_text)
        self.action.setAccessibleName(action_text)
        self.action.setVisible(action is not None)
        self.show()

    def show_error(self, error: CryoETError, retry: Callable[[], None] | None = None) -> None:
        """Tell an error; a fault of ours comes with its details to copy, what was withheld with the switch."""
        if isinstance(error, WithheldError):
            self.show_notice(str(error), SWITCH_TEXTS[error.by], lambda: self._switch(error, retry))
        elif isinstance(error, UnexpectedError):
            self.show_notice(str(error), "Copy details", lambda: copy_text(error.details))
        elif retry is not None:
            self.show_notice(str(error), "Retry", retry)
        else:
            self.show_notice(str(error))

    def _switch(self, error: WithheldError, retry: Callable[[], None] | None) -> None:
        self.hide()
        self.switch_requested.emit(error, retry)

    def _run_action(self) -> None:
        action = self._on_action
        if self.action.text() == "Retry":
            self.hide()
        if action is not None:
            action()

    def _draw_icons(self) -> None:
        colors = self._theme.colors
        is_news = bool(self.property("isNews"))
        self._sign.setPixmap(pixmap("info", colors.dim) if is_news else pixmap("warning", colors.warning))
        self.dismiss.setIcon(icon("close", colors.text))
