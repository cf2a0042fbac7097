"""Labels for remote text: always plain, never taken for markup, tooltips included."""

from __future__ import annotations

from html import escape
from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QTextLayout, QTextOption
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QStyleOption, QWidget

from napari_cryoet._qt.painting import draw_two_lines

_NARROW_PX: Final = 60
_BUTTON_ROOM_PX: Final = 32


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


def roomy(*buttons: QPushButton) -> None:
    """Give buttons that stand by themselves some room beside their text, which napari doesn't."""
    for button in buttons:
        button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + _BUTTON_ROOM_PX)


class BrokenLabel(QLabel):
    """Wraps at words, and within those that are longer than a line: names must neither widen a dock nor end early."""

    def minimumSizeHint(self) -> QSize:
        """A few letters, however long a word is."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())

    def heightForWidth(self, width: int) -> int:
        """As high as all lines."""
        margins = self.width() - self.contentsRect().width()
        if not self._has_long_word(width - margins):
            return super().heightForWidth(width)
        frame = self.height() - self.contentsRect().height()
        return len(self._lines(width - margins)) * self.fontMetrics().lineSpacing() + frame

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw all lines."""
        room, style = self.contentsRect(), self.style()
        if style is None or not self._has_long_word(room.width()):
            super().paintEvent(event)
            return
        painter, option = QPainter(self), QStyleOption()
        option.initFrom(self)
        text = "\n".join(self._lines(room.width()))
        align = int(self.alignment() | Qt.AlignmentFlag.AlignTop)
        style.drawItemText(painter, room, align, option.palette, self.isEnabled(), text, self.foregroundRole())

    def _has_long_word(self, width: int) -> bool:
        return width > 0 and any(self.fontMetrics().horizontalAdvance(word) > width for word in self.text().split())

    def _lines(self, width: int) -> list[str]:
        lines = []
        for paragraph in self.text().split("\n"):
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
    """A text of up to two lines, as high for one line as for two, so that nothing below it jumps."""

    def __init__(
        self,
        name: str,
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._elide = elide
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
        draw_two_lines(painter, self.contentsRect(), self.text(), elide=self._elide)


class TitleLabel(TwoLineLabel):
    """The title of a page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("pageTitle", elide=Qt.TextElideMode.ElideMiddle, parent=parent)
