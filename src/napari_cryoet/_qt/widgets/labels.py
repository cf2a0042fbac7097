"""Labels that show remote text as plain text, and small controls shared by the docks."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from html import escape
from typing import Any, Final

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_cryoet._qt.tasks import Tasks

_NARROW_PX: Final = 60
_DESCENDERS_PX: Final = 4  # Qt draws the last line this much lower than the font metrics say
BAR_STEPS: Final = 1000  # of a progress bar
_NUMBER_AND_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|Å|nm|σ|MB|GB)(?!\w))")
_LONG_WORD: Final = re.compile(r"\S{20,}")
_PART_OF_WORD: Final = re.compile(r"(?:\S{0,14}?[/\\_.-]|\S{15})(?=\S)")


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't interpret as markup."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def wrappable(text: str) -> str:
    """A text with break points in long words and no-break spaces before units: ``30 nm``, ``85.9 %``."""
    text = _LONG_WORD.sub(
        lambda word: _PART_OF_WORD.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), text
    )
    return _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


def plain_label(text: str = "", *, parent: QWidget | None = None, name: str = "") -> QLabel:
    """A wrapping label for plain text that breaks words longer than a line."""
    label = WrappedLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    return label


class WrappedLabel(QLabel):
    """A label that also wraps long words, so that they don't widen a dock."""

    _plain_text = ""

    def setText(self, text: str | None) -> None:
        self._plain_text = text or ""
        super().setText(wrappable(self._plain_text))

    def text(self) -> str:
        return self._plain_text

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())


class ElidedLabel(QElidingLabel):
    """A single line of plain text that is elided to any width; the tooltip shows the whole text."""

    def __init__(
        self,
        text: str = "",
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setElideMode(elide)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        super().setText(text or "")
        self.setToolTip(plain_tooltip(text or ""))

    def sizeHint(self) -> QSize:
        """The same height for every text, so that nothing below it jumps."""
        return QSize(100, self.fontMetrics().lineSpacing() + _DESCENDERS_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self.sizeHint().height())


def explain(control: QWidget, purpose: str) -> None:
    """Set a control's tooltip and accessible name to its purpose."""
    control.setAccessibleName(purpose)
    control.setToolTip(purpose)


def push_button(
    text: str, press: Callable[[], object] | None = None, purpose: str = ""
) -> QPushButton:
    """A button as wide as its text."""
    button = QPushButton(text)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    button.setAccessibleName(purpose)
    if press is not None:
        button.clicked.connect(lambda _checked=False: press())
    return button


def tool_button(text: str, purpose: str) -> QToolButton:
    """A flat button that takes the focus by Tab and opens its menu immediately."""
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    styles = Qt.ToolButtonStyle
    button.setToolButtonStyle(
        styles.ToolButtonTextBesideIcon if text else styles.ToolButtonIconOnly
    )
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    explain(button, purpose)
    return button


def progress_bar(name: str = "Progress") -> QProgressBar:
    """A thin progress bar with a range from 0 to `BAR_STEPS`."""
    bar = QProgressBar()
    bar.setRange(0, BAR_STEPS)
    bar.setTextVisible(False)
    bar.setFixedHeight(6)
    bar.setAccessibleName(name)
    return bar


def form_of(*rows: tuple[str, Any], parent: QWidget | None = None) -> QFormLayout:
    """A form of labelled fields, each a widget or a layout; fields take the remaining width."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for name, field in rows:
        form.addRow(name, field)
    return form


def more_button(part: QWidget) -> QToolButton:
    """A button that shows and hides a part of a dock, hidden at first so that Tab skips it."""
    button = tool_button("More", "Show more settings")
    button.setCheckable(True)

    def unfold(is_open: bool) -> None:
        button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        part.setVisible(is_open)

    button.toggled.connect(unfold)
    unfold(False)
    return button


def number_box(
    purpose: str, unit: str, largest: float, *, least: float = 0, decimals: int = 1, unset: str = ""
) -> QDoubleSpinBox:
    """A spin box with a unit; it shows ``unset`` at its minimum."""
    box = QDoubleSpinBox()
    box.setRange(least, largest)
    box.setDecimals(decimals)
    box.setSuffix(f" {unit}")
    box.setSpecialValueText(unset)
    explain(box, purpose)
    return box


class StartBar(QWidget):
    """A button that starts and stops a task, with a progress bar and a message."""

    start_requested = Signal()

    def __init__(self, tasks: Tasks, key: Hashable, text: str, tooltip: str) -> None:
        super().__init__()
        self._tasks, self._key, self._text = tasks, key, text
        self._is_ready = True
        self.button = QPushButton()
        self.button.setToolTip(tooltip)
        self.bar = progress_bar()
        self.message = plain_label(name="dimText")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.button, self.bar, self.message):
            column.addWidget(part)
        self.button.clicked.connect(self._on_click)
        tasks.started.connect(self._on_change)
        tasks.finished.connect(self._on_change)
        tasks.said.connect(self._on_said)
        self._on_change(key)

    def say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def set_ready(self, is_ready: bool) -> None:
        """Enable or disable starting the task."""
        self._is_ready = is_ready
        self.button.setEnabled(is_ready or self._tasks.is_running(self._key))

    def _on_click(self) -> None:
        if self._tasks.is_running(self._key):
            self._tasks.stop(self._key)
            self.say("Stopped.")
        else:
            self.start_requested.emit()

    def _on_change(self, key: object) -> None:
        if key == self._key:
            is_running = self._tasks.is_running(key)
            self.button.setText("Stop" if is_running else self._text)
            self.bar.setValue(0)
            self.bar.setVisible(is_running)
            self.set_ready(self._is_ready)
            self.say("")

    def _on_said(self, key: object, fraction: float, message: str) -> None:
        if key == self._key:
            self.bar.setValue(round(fraction * BAR_STEPS))
            self.say(message)
