"""The outcome of a comparison: a table, histograms, and buttons for the rest."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
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

from napari_cryoet._qt.layers.look_icon import look_icon
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet._qt.widgets.histogram_plot import HistogramPlot
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.colors import PALETTE, rgba_of
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import Comparison, Spread, label_of, remarks_of, rows_of, subject
from napari_cryoet.layers.compared import LOOKS

#: What a button says, what it does, and how its layer looks; in the order of `comparison_layers`.
_PARTS = {
    PicksComparison: (
        ("Show matched", "Show a layer of the picks of A that have a partner in B", "matched"),
        ("Show only A", "Show a layer of the picks of A without a partner in B", "only A"),
        ("Show only B", "Show a layer of the picks of B without a partner in A", "only B"),
    ),
    PicksInMask: (
        ("Show inside", "Show a layer of the picks of A inside the mask", "matched"),
        ("Show outside", "Show a layer of the picks of A outside the mask", "only A"),
    ),
}


class CompareResults(QWidget):
    """Shows one comparison; asks for layers, a copy or a file of it."""

    layer_requested = Signal(int)  # which of `comparison_layers`
    copy_requested = Signal()
    save_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._headline = plain_label(name="compareHeadline")
        self._setting = plain_label(name="dimText")
        self.table = _table()
        self.plots = [HistogramPlot(theme) for _ in range(3)]
        self.notes = plain_label(name="dimText")
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_buttons = [QPushButton() for _ in range(3)]
        self.copy = QPushButton("Copy as text")
        self.save = QPushButton("Save JSON…")
        for number, button in enumerate(self.show_buttons):
            button.clicked.connect(lambda _checked=False, number=number: self.layer_requested.emit(number))
        self.copy.clicked.connect(lambda _checked=False: self.copy_requested.emit())
        self.save.clicked.connect(lambda _checked=False: self.save_requested.emit())
        self.copy.setAccessibleName("Copy the comparison as text")
        self.save.setAccessibleName("Save the comparison as a JSON file")
        self.copy.setToolTip("Put all numbers, and what was compared how, on the clipboard")
        self.save.setToolTip("Write all numbers, histograms, settings and where A and B come from into a file")
        self._outline = QColor("grey")
        self._looks: tuple[str, ...] = ()  # of the layers that the buttons show
        self._lay_out()
        self.hide()

    def set_outline(self, color: QColor) -> None:
        """Follow the theme."""
        self._outline = color
        for button, look in zip(self.show_buttons, self._looks, strict=False):
            color_name, symbol = LOOKS[look]
            button.setIcon(look_icon(rgba_of(PALETTE[color_name]), symbol, self._outline))

    def show_comparison(self, comparison: Comparison) -> None:
        """Replace what is shown."""
        self._headline.setText(comparison.headline)
        self._setting.setText(subject(comparison))
        spreads = {key: value for key, value in comparison.figures.items() if isinstance(value, Spread)}
        numbers = {key: value for key, value in comparison.figures.items() if key not in spreads}
        _fill(self.table, rows_of(numbers))
        for plot in self.plots[len(spreads) :]:
            plot.hide()
        for plot, (key, spread) in zip(self.plots, spreads.items(), strict=False):
            plot.show_spread(label_of(key).capitalize(), spread)
            plot.show()
        remarks = remarks_of(comparison)
        self.notes.setText("\n".join(remarks))
        self.notes.setVisible(bool(remarks))
        texts, counts = _PARTS.get(type(comparison), ()), _counts_of(comparison)
        for number, button in enumerate(self.show_buttons):
            button.setVisible(number < len(texts))
            if number < len(texts):
                text, purpose, _look = texts[number]
                button.setText(text)
                button.setAccessibleName(f"{text} as a layer")
                button.setEnabled(counts[number] > 0)
                button.setToolTip(purpose if counts[number] else f"{purpose}: there are none")
        self._looks = tuple(look for _text, _purpose, look in texts)
        self.set_outline(self._outline)
        self.show()

    def _lay_out(self) -> None:
        buttons, below = FlowRow(gap_px=6), FlowRow(gap_px=6)
        for button in self.show_buttons:
            buttons.add(button, 1)
        for button in (self.copy, self.save):
            below.add(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._headline)
        column.addWidget(self._setting)
        column.addWidget(self.table)
        column.addLayout(buttons)
        for plot in self.plots:
            column.addWidget(plot)
        column.addWidget(self.notes)
        column.addLayout(below)


def _counts_of(comparison: Comparison) -> tuple[int, ...]:
    """How many picks each of its layers would hold."""
    match comparison:
        case PicksComparison(scores=scores):
            return scores.true_positives, scores.false_positives, scores.false_negatives
        case PicksInMask():
            n_inside = int(comparison.is_inside.sum())
            return n_inside, len(comparison.is_inside) - n_inside
    return ()


def _table() -> QTableWidget:
    table = QTableWidget(0, 2)
    table.setObjectName("compareTable")
    table.setAccessibleName("Numbers of the comparison")
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setTabKeyNavigation(False)  # Tab leads out of it, arrows move in it
    table.setShowGrid(False)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
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
    """One line a number."""
    table.setRowCount(len(rows))
    for line, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            if column:
                item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
            table.setItem(line, column, item)
    table.resizeRowsToContents()
    table.setFixedHeight(sum(table.rowHeight(line) for line in range(len(rows))) + 2 * table.frameWidth())
