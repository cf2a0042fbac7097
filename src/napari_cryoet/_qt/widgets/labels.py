"""Labels for remote text: always plain, never taken for markup, tooltips included."""

from __future__ import annotations

import re
from functools import partial
from html import escape
from typing import Final

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QTextLayout, QTextOption
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QStyleOption, QWidget

from napari_cryoet._qt.widgets.letters import keep_fitted
from napari_cryoet._qt.widgets.painting import draw_two_lines

_NARROW_PX: Final = 60
_WIDE_PX: Final = 480
_HIGH_PX: Final = 100_000
_BUTTON_ROOM_PX: Final = 32
_NUMBER_AND_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|Å|nm|σ|MB|GB)(?!\w))")


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't take for markup of its own."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def plain_label(text: str = "", *, parent: QWidget | None = None, name: str = "") -> QLabel:
    """A wrapping label that never takes its text for markup, and breaks words that are longer than a line."""
    label = BrokenLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    return label


def unbroken(text: str) -> str:
    """A text whose numbers stay on a line with their units: ``30 nm``, ``85.9 %``."""
    return _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


def roomy(*buttons: QPushButton) -> None:
    """Give buttons that stand by themselves some room beside their text, which napari doesn't."""
    for button in buttons:
        keep_fitted(button, partial(_make_roomy, button))


def _make_roomy(button: QPushButton) -> None:
    button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + _BUTTON_ROOM_PX)


class BrokenLabel(QLabel):
    """Wraps at words, and within those that are longer than a line: names must neither widen a dock nor end early.

    A number stays with its unit.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._said = ""

    def setText(self, text: str | None) -> None:
        """Show a text."""
        self._said = text or ""
        super().setText(unbroken(self._said))

    def text(self) -> str:
        """The text as it was given."""
        return self._said

    def minimumSizeHint(self) -> QSize:
        """A few letters, however long a word is."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())

    def sizeHint(self) -> QSize:
        """No wider than is good to read where a word is longer: a window would be made as wide as the word."""
        hint = super().sizeHint()
        if hint.width() <= _WIDE_PX or not self._has_long_word(_WIDE_PX):
            return hint
        return QSize(_WIDE_PX, self.heightForWidth(_WIDE_PX))

    def heightForWidth(self, width: int) -> int:
        """As high as all lines; Qt itself leaves more at the sides than it draws with, and so often a line too many."""
        room = self._room(QRect(0, 0, width - self.width() + self.contentsRect().width(), _HIGH_PX))
        is_broken = self._has_long_word(room.width())
        text = "\n".join(self._lines(room.width())) if is_broken else unbroken(self._said)
        flags = self._flags() | (0 if is_broken else int(Qt.TextFlag.TextWordWrap))
        frame = self.height() - self.contentsRect().height()
        return self.fontMetrics().boundingRect(room, flags, text).height() + frame

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw all lines."""
        room, style = self._room(self.contentsRect()), self.style()
        if style is None or not self._has_long_word(room.width()):
            super().paintEvent(event)
            return
        painter, option = QPainter(self), QStyleOption()
        option.initFrom(self)
        self.drawFrame(painter)
        text = "\n".join(self._lines(room.width()))
        style.drawItemText(painter, room, self._flags(), option.palette, self.isEnabled(), text, self.foregroundRole())

    def _room(self, contents: QRect) -> QRect:
        """Where Qt would draw the text: it indents labels that have a frame."""
        indent = self.indent() if self.indent() >= 0 else self.fontMetrics().horizontalAdvance("x") // 2
        return contents.adjusted(indent if self.frameWidth() or self.indent() > 0 else 0, 0, 0, 0)

    def _flags(self) -> int:
        return int((self.alignment() & Qt.AlignmentFlag.AlignHorizontal_Mask) | Qt.AlignmentFlag.AlignTop)

    def _has_long_word(self, width: int) -> bool:
        return width > 0 and any(self.fontMetrics().horizontalAdvance(word) > width for word in self._said.split())

    def _lines(self, width: int) -> list[str]:
        lines = []
        for paragraph in unbroken(self._said).split("\n"):
            layout = QTextLayout(paragraph, self.font())
            how = QTextOption()
            how.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
            layout.setTextOption(how)
            layout.beginLayout()
            while (line := layout.createLine()).isValid():
                line.setLineWidth(width)
                lines.append(paragraph[line.textStart() : line.textStart() + line.textLength()].rstrip())
            layout.endLayout()
        return lines


class ElidedLabel(QLabel):
    """One line of plain text that yields to any width."""

    def __init__(
        self,
        text: str = "",
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._elide = elide
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Show a text, and all of it in the tooltip."""
        super().setText(text)
        self.setToolTip(plain_tooltip(text or ""))

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        return QSize(24, self.fontMetrics().lineSpacing())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        option = QStyleOption()
        option.initFrom(self)
        shown = self.fontMetrics().elidedText(self.text(), self._elide, self.contentsRect().width())
        style = self.style()
        if style is not None:
            style.drawItemText(
                painter,
                self.contentsRect(),
                int(self.alignment()),
                option.palette,
                self.isEnabled(),
                shown,
                self.foregroundRole(),
            )


class TwoLineLabel(QLabel):
    """A text of up to two lines, as high for one line as for two, so that nothing below it jumps.

    A text of one line stands at the top, or in the middle.
    """

    def __init__(
        self,
        name: str,
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        is_centered: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._elide, self._is_centered = elide, is_centered
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def setText(self, text: str | None) -> None:
        """Show a text, and all of it in the tooltip."""
        super().setText(text)
        self.setToolTip(plain_tooltip(text or ""))

    def sizeHint(self) -> QSize:
        """Two lines."""
        return QSize(100, 2 * self.fontMetrics().lineSpacing())

    def minimumSizeHint(self) -> QSize:
        """Two lines of a few letters."""
        return QSize(24, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        room, spacing = self.contentsRect(), self.fontMetrics().lineSpacing()
        if self._is_centered:
            is_short = self.fontMetrics().horizontalAdvance(self.text()) <= room.width()
            room.adjust(0, max(0, room.height() - (1 if is_short else 2) * spacing) // 2, 0, 0)
        draw_two_lines(painter, room, self.text(), elide=self._elide)


class TitleLabel(TwoLineLabel):
    """The title of a page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("pageTitle", elide=Qt.TextElideMode.ElideMiddle, parent=parent)
