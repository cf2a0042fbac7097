"""Labels for remote text: always plain, never taken for markup, tooltips included."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QStyleOption, QWidget

from napari_cryoet._qt.painting import draw_two_lines


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't take for markup of its own."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def plain_label(text: str = "", *, parent: QWidget | None = None, name: str = "") -> QLabel:
    """A wrapping label that never takes its text for markup."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    return label


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
