"""A line for news that leaves the page as it is: shown from the cache, something failed beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QToolButton, QWidget

from napari_cryoet._qt.tasks import UnexpectedError
from napari_cryoet._qt.widgets.icons import icon, pixmap
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.message_panel import SWITCH_TEXTS, copy_text
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError, WithheldError

_HIGH_PX: Final = 100_000
_LINES_BESIDE: Final = 2
_MIDDLE: Final = Qt.AlignmentFlag.AlignVCenter


class NoticeBar(QFrame):
    """One notice at a time, until it is closed or another takes its place."""

    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._on_action: Callable[[], None] | None = None
        self.topic = ""  # which who tells something may name, to withdraw it later
        self.setObjectName("noticeBar")
        self._sign = QLabel()
        self._text = plain_label(name="noticeText")
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.clicked.connect(self._run_action)
        self.dismiss = QToolButton()
        self.dismiss.setAutoRaise(True)
        self.dismiss.setAccessibleName("Close this notice")
        self.dismiss.setToolTip("Close this notice")
        self.dismiss.clicked.connect(self.hide)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(6, 4, 4, 4)
        self._grid.setColumnStretch(1, 1)
        self._grid.addWidget(self._sign, 0, 0)
        self._grid.addWidget(self._text, 0, 1)
        self._grid.addWidget(self.action, 0, 2)
        self._grid.addWidget(self.dismiss, 0, 3)
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

    def withdraw(self, topic: str) -> None:
        """Hide what is told, if it is of this topic."""
        if self.topic == topic:
            self.hide()

    def show_news(self, text: str, action_text: str = "", action: Callable[[], None] | None = None) -> None:
        """Tell what is as it should be, or an offer: without a warning's looks."""
        self._tell(text, action_text, action, is_news=True)

    def _tell(self, text: str, action_text: str, action: Callable[[], None] | None, *, is_news: bool) -> None:
        self.topic = ""
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
        self._place_action()
        self.show()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave the text its room."""
        super().resizeEvent(event)
        self._place_action()

    def _place_action(self) -> None:
        """Put the button beside a short text, and below one that it would press into a narrow column."""
        others = self._sign.sizeHint().width() + self.action.sizeHint().width() + self.dismiss.sizeHint().width()
        room = self.width() - others - 3 * self._grid.horizontalSpacing() - 10
        letters = self._text.fontMetrics()
        needed = letters.boundingRect(0, 0, max(room, 1), _HIGH_PX, Qt.TextFlag.TextWordWrap, self.text)
        is_below = needed.height() > _LINES_BESIDE * letters.lineSpacing() or needed.width() > room
        row, column = (1, 1) if is_below else (0, 2)
        if self._grid.getItemPosition(self._grid.indexOf(self.action))[:2] != (row, column):
            self._grid.removeWidget(self.action)
            self._grid.addWidget(self.action, row, column, Qt.AlignmentFlag.AlignLeft if is_below else _MIDDLE)

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
