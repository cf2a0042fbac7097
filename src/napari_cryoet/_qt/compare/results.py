"""The outcome of a comparison: one sentence, then numbers, parts to show as layers, and histograms."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.colors import PALETTE
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import Comparison, Spread, label_of, remarks_of, rows_of, subject
from napari_cryoet.layers.compared import LOOKS
from napari_cryoet.wording import count_text, joined

#: Figures that are settings: they stand in one line, not in the table.
_SETTINGS: Final = ("radius_angstrom", "method", "symmetry", "beta", "iou_threshold")
_BARS_PX, _GAP_PX = 56, 3


class CompareResults(QWidget):
    """Shows one comparison; asks for layers, a copy or a file of it."""

    part_requested = Signal(int)  # number in `comparison_layers`
    copy_requested = Signal()
    save_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.headline = plain_label(name="heading")
        self.setting = plain_label(name="dimText")
        self.table = _table()
        self.show_buttons = [QPushButton() for _ in range(3)]
        self.plots = [HistogramPlot(theme) for _ in range(3)]
        self.notes = plain_label(name="dimText")
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = QPushButton("Copy as text")
        self.save = QPushButton("Save JSON…")
        for number, button in enumerate(self.show_buttons):
            button.clicked.connect(lambda _checked=False, number=number: self.part_requested.emit(number))
        self.copy.clicked.connect(lambda _checked=False: self.copy_requested.emit())
        self.save.clicked.connect(lambda _checked=False: self.save_requested.emit())
        self.copy.setToolTip("Copy all numbers, and what was compared how")
        self.save.setToolTip("Write all numbers, histograms, settings and where A and B come from into a file")
        self._lay_out()
        self.hide()

    def show_comparison(self, comparison: Comparison) -> None:
        """Replace what is shown."""
        figures = comparison.figures
        settings = [f"{name} {value}" for name, value in rows_of({k: figures[k] for k in _SETTINGS if k in figures})]
        self.headline.setText(comparison.headline)
        self.setting.setText(f"{subject(comparison)}\n{joined(*settings)}".strip())
        spreads = {key: value for key, value in figures.items() if isinstance(value, Spread)}
        numbers = {k: v for k, v in figures.items() if k not in spreads and k not in _SETTINGS and v is not None}
        _fill(self.table, rows_of(numbers))
        for plot in self.plots[len(spreads) :]:
            plot.hide()
        for plot, (key, spread) in zip(self.plots, spreads.items(), strict=False):
            plot.show_spread(label_of(key).capitalize(), spread)
            plot.show()
        remarks = remarks_of(comparison)
        self.notes.setText("\n".join(remarks))
        self.notes.setVisible(bool(remarks))
        parts = _parts_of(comparison)
        for button in self.show_buttons[len(parts) :]:
            button.hide()
        for button, (look, where, count) in zip(self.show_buttons, parts, strict=False):
            button.setText(f"{count:,} {where}")
            button.setIcon(_swatch(PALETTE[LOOKS[look][0]]))
            button.setToolTip(f"Add a layer of {count_text(count, 'pick')} {where}")
            button.setAccessibleName(f"Add a layer: {where}")
            button.setEnabled(count > 0)
            button.show()
        self.show()

    def _lay_out(self) -> None:
        parts, files = QFlowLayout(), QFlowLayout()
        for layout, buttons in ((parts, self.show_buttons), (files, [self.copy, self.save])):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setHorizontalSpacing(6)
            layout.setVerticalSpacing(6)
            for button in buttons:
                layout.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.headline)
        column.addWidget(self.setting)
        column.addLayout(parts)
        column.addWidget(self.table)
        for plot in self.plots:
            column.addWidget(plot)
        column.addWidget(self.notes)
        column.addLayout(files)


def _parts_of(comparison: Comparison) -> list[tuple[str, str, int]]:
    """The look, name and number of picks of each of its layers."""
    match comparison:
        case PicksComparison(scores=scores):
            return [
                ("matched", "matched", scores.true_positives),
                ("only A", "only in A", scores.false_positives),
                ("only B", "only in B", scores.false_negatives),
            ]
        case PicksInMask(is_inside=is_inside):
            n_inside = int(is_inside.sum())
            return [("matched", "inside", n_inside), ("only A", "outside", len(is_inside) - n_inside)]
    return []


def _swatch(color: str) -> QIcon:
    swatch = QPixmap(16, 16)
    swatch.fill(Qt.GlobalColor.transparent)
    painter = QPainter(swatch)
    painter.fillRect(0, 2, 12, 12, QColor(color))
    painter.end()
    return QIcon(swatch)


def _table() -> QTableWidget:
    table = QTableWidget(0, 2)
    table.setAccessibleName("Numbers of the comparison")
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setTabKeyNavigation(False)
    table.setShowGrid(False)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    rows, columns = table.verticalHeader(), table.horizontalHeader()
    assert rows is not None and columns is not None  # noqa: S101, PT018
    rows.hide()
    columns.hide()
    columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return table


def _fill(table: QTableWidget, rows: list[tuple[str, str]]) -> None:
    table.setRowCount(len(rows))
    for line, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            table.setItem(line, column, item)
    table.resizeRowsToContents()
    table.setFixedHeight(sum(table.rowHeight(line) for line in range(len(rows))) + 2 * table.frameWidth())


class HistogramPlot(QWidget):
    """The histogram of a `Spread`: bars over a line, under a title and what sums it up."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._title = ""
        self._spread: Spread | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_spread(self, title: str, spread: Spread) -> None:
        """Draw a spread."""
        self._title, self._spread = title, spread
        self.setAccessibleName(f"{title}: {spread.summary}")
        bins = zip(spread.edges[:-1], spread.edges[1:], spread.counts.tolist(), strict=True)
        counts = [f"{spread.text(low)} to {spread.text(high)}: {count:,}" for low, high, count in bins if count]
        self.setAccessibleDescription("; ".join(counts))
        self.setToolTip("\n".join(counts))
        self.update()

    def sizeHint(self) -> QSize:
        """Two lines of text above the bars, and one below."""
        return QSize(300, 3 * self.fontMetrics().lineSpacing() + _BARS_PX + 2 * _GAP_PX)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw all of it."""
        spread, colors = self._spread, self._theme.colors
        if spread is None:
            return
        painter, spacing = QPainter(self), self.fontMetrics().lineSpacing()
        line = QRectF(0, 0, self.width(), spacing)
        painter.setPen(colors.text)
        painter.drawText(line, self._title)
        painter.setPen(colors.dim)
        words = f"median {spread.text(spread.median)} · largest {spread.text(spread.largest)}"
        painter.drawText(line.translated(0, spacing), words)
        bars = QRectF(0, 2 * spacing + _GAP_PX, self.width(), _BARS_PX)
        width, highest = bars.width() / len(spread.counts), max(1, int(spread.counts.max()))
        for number, count in enumerate(spread.counts.tolist()):
            height = bars.height() * count / highest
            left = bars.left() + number * width
            painter.fillRect(QRectF(left + 0.5, bars.bottom() - height, max(1.0, width - 1), height), colors.accent)
        painter.drawLine(bars.bottomLeft(), bars.bottomRight())
        line.moveTop(bars.bottom() + _GAP_PX)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, spread.text(spread.edges[0]))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight, spread.text(spread.edges[-1]))
        painter.drawText(line, Qt.AlignmentFlag.AlignHCenter, f"most: {highest:,}")
