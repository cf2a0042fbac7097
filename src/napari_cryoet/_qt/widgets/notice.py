"""A notice above a page, or over the bottom of its list."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QWidget

from napari_cryoet._qt.tasks import UnexpectedError, single_shot
from napari_cryoet._qt.widgets.controls import (
    COPY_REPORT,
    copy_text,
    plain_label,
    push_button,
    tool_button,
)
from napari_cryoet._qt.widgets.theme import Theme, pixmap
from napari_cryoet.exceptions import CryoETError

_MARGIN_PX: Final = 3  # around a floating notice


class NoticeBar(QFrame):
    """A notice above a page, shown until it is closed or replaced."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._on_action: Callable[[], object] | None = None
        self._topic = ""
        self._find_list: Callable[[], QWidget] | None = None
        self._place_soon = single_shot(self, 0, self._place)  # after the page's layout
        self.setObjectName("noticeBar")
        self._icon = QLabel()
        self._text = plain_label(name="noticeText")
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = push_button("", self._run_action)
        self.dismiss = tool_button("", "Close this notice")
        theme.set_icon(self.dismiss, "close")
        self.dismiss.clicked.connect(self.hide)
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 4, 4)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self._icon, 0, 0)
        grid.addWidget(self._text, 0, 1)
        grid.addWidget(self.dismiss, 0, 2)
        grid.addWidget(self.action, 1, 1, Qt.AlignmentFlag.AlignLeft)
        self.hide()
        theme.changed.connect(self._draw_icon)

    def float_in(self, pages: QWidget, find_list: Callable[[], QWidget]) -> None:
        """Show notices over the bottom of the list that ``find_list`` returns, so that no row moves."""
        self.setParent(pages)
        self._find_list = find_list
        pages.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            self._place_soon.start()
        return super().eventFilter(watched, event)

    @property
    def text(self) -> str:
        return self._text.text()

    def show_notice(
        self,
        text: str,
        action_text: str = "",
        action: Callable[[], object] | None = None,
        *,
        is_news: bool = False,
        topic: str = "",
    ) -> None:
        """Show a warning, or neutral information if ``is_news``, with an optional action button.

        `withdraw` hides it by its ``topic``.
        """
        self._topic = topic
        self.setProperty("isNews", is_news)
        if (style := self.style()) is not None:
            style.polish(self)
        self._draw_icon()
        self._text.setText(text)
        self.setAccessibleName(text)
        self._on_action = action
        self.action.setText(action_text)
        self.action.setVisible(action is not None)
        self._place()
        self.show()

    def show_error(
        self, error: CryoETError, retry: Callable[[], None] | None = None, *, topic: str = ""
    ) -> None:
        """Show an error with a Retry button, or with a button that copies a report of a bug."""
        if isinstance(error, UnexpectedError):
            self.show_notice(str(error), COPY_REPORT, partial(copy_text, error.report), topic=topic)
        else:
            self.show_notice(str(error), "Retry", retry, topic=topic)

    def withdraw(self, topic: str) -> None:
        if self._topic == topic:
            self.hide()

    def _place(self) -> None:
        pages = self.parentWidget()
        if self._find_list is None or pages is None:
            return
        below = self._find_list()
        below.installEventFilter(self)
        start = below.mapTo(pages, QPoint(_MARGIN_PX, below.height() - _MARGIN_PX))
        width = below.width() - 2 * _MARGIN_PX
        height = self.heightForWidth(width)
        bottom = min(start.y(), pages.height())
        self.setGeometry(start.x(), max(0, bottom - height), width, height)
        self.raise_()

    def _run_action(self) -> None:
        self.hide()
        if self._on_action is not None:
            self._on_action()

    def _draw_icon(self) -> None:
        colors, is_news = self._theme.colors, bool(self.property("isNews"))
        self._icon.setPixmap(
            pixmap("info", colors.dim) if is_news else pixmap("warning", colors.warning)
        )
