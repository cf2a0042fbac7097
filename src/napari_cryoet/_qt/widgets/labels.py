"""Labels for remote text, which is never taken for markup, and a button that unfolds more."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QWidget
from superqt import QElidingLabel

_NARROW_PX: Final = 60
_NUMBER_AND_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|Å|nm|σ|MB|GB)(?!\w))")
_LONG_WORD: Final = re.compile(r"\S{20,}")
_PART_OF_WORD: Final = re.compile(r"(?:\S{0,14}?[/\\_.-]|\S{15})(?=\S)")


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't take for markup of its own."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def wrappable(text: str) -> str:
    """A text whose long words may be broken, and whose numbers stay with their units: ``30 nm``, ``85.9 %``."""
    text = _LONG_WORD.sub(lambda word: _PART_OF_WORD.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), text)
    return _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


def plain_label(text: str = "", *, parent: QWidget | None = None, name: str = "") -> QLabel:
    """A wrapping label that never takes its text for markup, and breaks words that are longer than a line."""
    label = WrappedLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    return label


class WrappedLabel(QLabel):
    """Wraps long names too, so that they don't widen a dock."""

    _said = ""

    def setText(self, text: str | None) -> None:
        self._said = text or ""
        super().setText(wrappable(self._said))

    def text(self) -> str:
        """The text as it was given."""
        return self._said

    def minimumSizeHint(self) -> QSize:
        """A few letters, however long a word is."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())


_DESCENDERS_PX: Final = 4  # Qt draws the last line so much lower than its font says


class ElidedLabel(QElidingLabel):
    """Plain text on one line that yields to any width; the tooltip has all of it."""

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
        """As high for a short text as for a long one, so that nothing below it jumps."""
        return QSize(100, self.fontMetrics().lineSpacing() + _DESCENDERS_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self.sizeHint().height())


def more_button(part: QWidget, text: str = "More") -> QToolButton:
    """A button that shows and hides a part of a dock; folded at first, so that Tab passes over the part."""
    button = QToolButton()
    button.setText(text)
    button.setCheckable(True)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setToolTip("Show what is rarely needed")

    def unfold(is_open: bool) -> None:
        button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        part.setVisible(is_open)

    button.toggled.connect(unfold)
    unfold(False)
    return button
