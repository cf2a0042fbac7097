"""Messages in docks: in place of a list (loading, empty, failed), and notices beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from typing import Final, NamedTuple

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.tasks import UnexpectedError, single_shot
from napari_cryoet._qt.widgets.controls import (
    BAR_STEPS,
    COPY_REPORT,
    copy_text,
    not_none,
    plain_label,
    progress_bar,
    push_button,
    set_look,
    tool_button,
)
from napari_cryoet._qt.widgets.theme import Theme, pixmap
from napari_cryoet.exceptions import CryoETError

_MAX_ACTIONS: Final = 2
_LOADING_AFTER_MS: Final = 200  # faster answers replace the old content without flicker
_MARGIN_PX: Final = 3  # around a floating notice


class Action(NamedTuple):
    """A button of a message and its callback."""

    text: str
    run: Callable[[], None]


class MessagePanel(QWidget):
    """A message in place of a list, with up to two buttons.

    The buttons are created once: later ones would come last in the window's tab order.
    """

    def __init__(self) -> None:
        super().__init__()
        self._title, self._hint = plain_label(name="messageTitle"), plain_label(name="messageHint")
        self.bar = progress_bar()
        self._actions: Sequence[Action] = ()
        self._buttons = [self._make_button(number) for number in range(_MAX_ACTIONS)]
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(8)
        column.addStretch(2)
        for part in (self._title, self._hint, self.bar):
            column.addWidget(part)
        for label in (self._title, self._hint):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        for button in self._buttons:
            column.addWidget(button, alignment=Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)
        self.show_message("")

    @property
    def text(self) -> str:
        return f"{self._title.text()} {self._hint.text()}".strip()

    def show_message(self, title: str, hint: str = "", actions: Sequence[Action] = ()) -> None:
        """Replace the message and its actions, at most two; Enter triggers the first."""
        self._set_text(title, hint)
        self.bar.hide()
        self._actions = actions
        for button, action in zip_longest(self._buttons, actions):
            button.setText(action.text if action else "")
            button.setVisible(action is not None)

    def show_progress(self, title: str, hint: str, fraction: float) -> None:
        """Change the text, show the fraction done, and keep the buttons."""
        self._set_text(title, hint)
        self.bar.setValue(round(fraction * BAR_STEPS))
        self.bar.show()

    def explain(self, hint: str) -> None:
        """Add to the message why it takes long."""
        self._set_text(self._title.text(), hint)

    def show_error(self, error: CryoETError, retry: Callable[[], None] | None = None) -> None:
        actions = [] if retry is None else [Action("Retry", retry)]
        if isinstance(error, UnexpectedError):
            actions.append(Action(COPY_REPORT, partial(copy_text, error.report)))
        self.show_message(error.message, error.hint, actions)

    def take_focus(self) -> None:
        first: QWidget = self._buttons[0] if self._actions else self
        first.setFocus(Qt.FocusReason.OtherFocusReason)

    def _set_text(self, title: str, hint: str) -> None:
        self._title.setText(title)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self.setAccessibleName(self.text)

    def _run_action(self, number: int) -> None:
        self._actions[number].run()

    def _make_button(self, number: int) -> QPushButton:
        button = push_button("", partial(self._run_action, number))
        button.setMinimumWidth(200)
        button.setAutoDefault(True)
        return button


class Loadable(QStackedWidget):
    """A widget that shows either its content or a message, and moves the keyboard focus along."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.message = MessagePanel()
        self._content = content
        self.addWidget(content)
        self.addWidget(self.message)
        self._loading_soon = single_shot(self, _LOADING_AFTER_MS, self._switch_to_message)

    @property
    def shows_content(self) -> bool:
        return self.currentWidget() is self._content

    def take_focus(self) -> None:
        """Focus the content, or the message's first button if the message is shown."""
        if self.shows_content:
            self._content.setFocus(Qt.FocusReason.TabFocusReason)
        else:
            self.message.take_focus()

    def show_content(self) -> None:
        self._loading_soon.stop()
        takes_focus = _has_keys(self.message)
        self.setCurrentWidget(self._content)
        if takes_focus:
            self.take_focus()

    def show_loading(self, text: str, *, at_once: bool = False) -> None:
        """Show a loading message after a short delay, or immediately with ``at_once``."""
        self.message.show_message(text)
        if at_once:
            self._switch_to_message()
        else:
            self._loading_soon.start()

    def show_message(self, title: str, hint: str = "", actions: Sequence[Action] = ()) -> None:
        self._switch_to_message(partial(self.message.show_message, title, hint, actions))

    def show_progress(self, title: str, words: str, share: float, stop: Callable[[], None]) -> None:
        """Say how far the content is, with a Stop."""
        if self.shows_content or self.message.bar.isHidden():
            self.show_message(title, words, [Action("Stop", stop)])
        self.message.show_progress(title, words, share)

    def show_error(self, error: CryoETError, retry: Callable[[], None] | None = None) -> None:
        self._switch_to_message(partial(self.message.show_error, error, retry))

    def _switch_to_message(self, change: Callable[[], None] | None = None) -> None:
        self._loading_soon.stop()
        takes_focus = _has_keys(self)  # before buttons are hidden
        if change is not None:
            change()
        self.setCurrentWidget(self.message)
        if takes_focus:
            self.message.take_focus()


def _has_keys(widget: QWidget) -> bool:
    return widget.hasFocus() or widget.isAncestorOf(QApplication.focusWidget())


# notices


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
        self._text = plain_label(name="noticeText", is_selectable=True)
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
        if not_none(event).type() in (QEvent.Type.Resize, QEvent.Type.Move):
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
        set_look(self, "isNews", is_news)
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

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Hide an older notice, and show an error that ends the block."""
        self.hide()
        try:
            yield
        except CryoETError as error:
            self.show_error(error)

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
        colors = self._theme.colors
        is_news = bool(self.property("isNews"))
        self._icon.setPixmap(
            pixmap("info", colors.dim) if is_news else pixmap("warning", colors.warning)
        )
