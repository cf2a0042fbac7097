"""A small histogram in the colours of the theme: bars over a line, with where it begins and ends."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QHelpEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_cryoet._qt.widgets.painting import draw_line
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.comparison.report import Spread

_BARS_HEIGHT = 56
_GAP = 3
_INDENT = 5  # where the text of labels begins


class HistogramPlot(QWidget):
    """Shows one `Spread`; says it in words to who can't see it, and each bar's count under the mouse."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._title = ""
        self._words = ""
        self._spread: Spread | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_spread(self, title: str, spread: Spread) -> None:
        """Draw a spread under its title and what sums it up."""
        self._title, self._words, self._spread = title, spread.summary, spread
        self.setAccessibleName(f"{title}: {spread.summary}")
        self.setAccessibleDescription(
            "; ".join(self._bin_text(i) for i in range(len(spread.counts)) if spread.counts[i])
        )
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Two lines of text above the bars, and one below."""
        return QSize(300, 3 * self.fontMetrics().lineSpacing() + _BARS_HEIGHT + 2 * _GAP)

    def minimumSizeHint(self) -> QSize:
        """Narrow, as high as it is."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw all of it."""
        spread, colors = self._spread, self._theme.colors
        if spread is None:
            return
        painter = QPainter(self)
        line = QRectF(_INDENT, 0, self.width() - 2 * _INDENT, self.fontMetrics().lineSpacing()).toRect()
        painter.setPen(colors.text)
        draw_line(painter, line, self._title)
        line.translate(0, line.height())
        painter.setPen(colors.dim)
        draw_line(painter, line, self._words)
        bars = self._bars()
        highest = max(1, int(spread.counts.max()))
        width = bars.width() / len(spread.counts)
        for number, count in enumerate(spread.counts.tolist()):
            height = bars.height() * count / highest
            left = bars.left() + number * width
            painter.fillRect(QRectF(left + 0.5, bars.bottom() - height, max(1.0, width - 1), height), colors.accent)
        painter.setPen(colors.faint)
        painter.drawLine(bars.bottomLeft(), bars.bottomRight())
        self._draw_ends(painter, spread, bars)

    def event(self, event: QEvent | None) -> bool:
        """Say how many there are under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self._spread is not None:
            bars = self._bars()
            number = int((event.pos().x() - bars.left()) / bars.width() * len(self._spread.counts))
            if 0 <= number < len(self._spread.counts):
                QToolTip.showText(event.globalPos(), self._bin_text(number), self)
            return True
        return super().event(event)

    def _draw_ends(self, painter: QPainter, spread: Spread, bars: QRectF) -> None:
        below = QRectF(bars.left(), bars.bottom() + _GAP, bars.width(), self.fontMetrics().lineSpacing()).toRect()
        painter.setPen(self._theme.colors.dim)
        draw_line(painter, below, spread.text(spread.edges[0]))
        draw_line(painter, below, spread.text(spread.edges[-1]), align=Qt.AlignmentFlag.AlignRight)
        most = f"most: {int(spread.counts.max()):,}"
        draw_line(painter, below, most, align=Qt.AlignmentFlag.AlignHCenter)

    def _bars(self) -> QRectF:
        top = 2 * self.fontMetrics().lineSpacing() + _GAP
        return QRectF(_INDENT, top, self.width() - 2 * _INDENT, _BARS_HEIGHT)

    def _bin_text(self, number: int) -> str:
        spread = self._spread
        assert spread is not None  # noqa: S101 - nothing asks before one is shown
        low, high = spread.edges[number], spread.edges[number + 1]
        return f"{spread.text(low)} to {spread.text(high)}: {int(spread.counts[number]):,}"
