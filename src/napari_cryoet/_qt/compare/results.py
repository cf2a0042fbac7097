"""The results of a comparison: a headline, numbers, parts to add as layers, and histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from napari.layers import Labels, Layer
from qtpy.QtCore import QRectF, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QFormLayout,
    QHeaderView,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet._qt.widgets.controls import (
    column_in,
    flow_of,
    form_of,
    not_none,
    plain_label,
    plain_tooltip,
)
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.colors import PALETTE
from napari_cryoet.comparison.comparing import Ranked, Ranking
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import (
    Comparison,
    Spread,
    label_of,
    remarks_of,
    rows_of,
    subject,
)
from napari_cryoet.layers.compared import LOOKS
from napari_cryoet.wording import count_text, joined, plain

#: Figures that are settings, shown on one line instead of in the table.
_SETTINGS: Final = ("radius_angstrom", "method", "symmetry", "beta", "iou_threshold")
_BARS_PX, _GAP_PX = 56, 3
_COLUMNS: Final = ("Annotation", "Picks", "Precision", "Recall", "F")
_MOST_ROWS: Final = 8
_FRAME_PX: Final = 4


class CompareResults(QWidget):
    """Shows one comparison; emits requests to add layers or copy the text."""

    part_requested = Signal(int)  # index in `comparison_layers`
    copy_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._page = QWidget()
        self._outer = column_in(self, self._page, margins=(0, 0, 0, 0))
        self.hide()

    def show_comparison(self, comparison: Comparison) -> None:
        figures = comparison.figures
        settings = [
            f"{name} {value}"
            for name, value in rows_of({k: figures[k] for k in _SETTINGS if k in figures})
        ]
        spreads = {key: value for key, value in figures.items() if isinstance(value, Spread)}
        numbers = {k: v for k, v in figures.items() if k not in spreads and k not in _SETTINGS}
        self.headline = plain_label(comparison.headline, name="heading")
        self.setting = plain_label(
            f"{subject(comparison)}\n{joined(*settings)}".strip(), name="dimText"
        )
        self.show_buttons = [self._part_button(*part) for part in enumerate(_parts_of(comparison))]
        self.table = _table(rows_of(numbers))
        self.plots = [
            HistogramPlot(self._theme, label_of(key).capitalize(), spread)
            for key, spread in spreads.items()
        ]
        notes = "\n".join(remarks_of(comparison))
        self.notes = plain_label(notes, name="dimText", is_selectable=True)
        self.copy = QPushButton("Copy as text")
        self.copy.clicked.connect(lambda _checked=False: self.copy_requested.emit())
        self.copy.setToolTip("Copy all numbers and the settings")
        page = QWidget()
        column_in(
            page,
            self.headline,
            self.setting,
            flow_of(self.show_buttons),
            self.table,
            *self.plots,
            self.notes,
            self.copy,
            margins=(0, 6, 0, 0),
        )
        self._outer.replaceWidget(self._page, page)
        self._page.deleteLater()
        self._page = page
        self.show()

    def _part_button(self, number: int, part: tuple[str, str, int]) -> QPushButton:
        look, name, count = part
        button = QPushButton(_swatch(PALETTE[LOOKS[look][0]]), f"{count:,} {name}")
        button.setToolTip(f"Add a layer of {count_text(count, 'pick')} {name}")
        button.setAccessibleName(f"Add a layer: {name}")
        button.setEnabled(count > 0)
        button.clicked.connect(lambda _checked=False: self.part_requested.emit(number))
        return button


class RankingTable(QTreeWidget):
    """A table of a `Ranking`."""

    row_chosen = Signal(object)  # Ranked

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[Ranked, ...] = ()
        self._header = not_none(self.header())
        self.setHeaderLabels(_COLUMNS)
        self.setAccessibleName("Ranking")
        self.setObjectName("ranking")
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._header.setStretchLastSection(False)
        self._header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.currentItemChanged.connect(self._on_row)
        self.hide()

    def show_ranking(self, ranking: Ranking) -> None:
        with QSignalBlocker(self):
            self.clear()
            self._rows = ranking.rows
            for row in ranking.rows:
                *texts, why_not = row.texts
                item = QTreeWidgetItem(self, texts)
                for column in range(len(texts)):
                    item.setToolTip(column, plain_tooltip(joined(row.name, why_not)))
                    if column:
                        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        rows = max(1, min(len(self._rows), _MOST_ROWS))
        row_px = max(self.sizeHintForRow(0), self.fontMetrics().lineSpacing())
        self.setFixedHeight(rows * row_px + self._header.sizeHint().height() + _FRAME_PX)
        self.show()

    def _on_row(self, item: QTreeWidgetItem | None, _before: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.row_chosen.emit(self._rows[self.indexOfTopLevelItem(item)])


class OldNotice(NoticeBar):
    """Says above a result that one of its layers has changed, and offers to compare again."""

    def __init__(self, theme: Theme, again: Callable[[], None]) -> None:
        super().__init__(theme)
        self._again = again
        self._watched = Connections()

    def watch(self, layers: Sequence[Layer]) -> None:
        """Watch the layers of a new result."""
        self.stop()
        for layer in layers:
            for emitter in _edit_events(layer):
                self._watched.connect(emitter, partial(self._on_change, layer))

    def stop(self) -> None:
        self.hide()
        self._watched.close()

    def _on_change(self, layer: Layer, _event: Any = None) -> None:
        text = f"Out of date: {plain(layer.name)} has changed since."
        self.show_notice(text, "Compare again", self._again)


def _edit_events(layer: Layer) -> list[Any]:
    """The event emitters for changes of what is compared."""
    events = layer.events
    emitters = [events.data, events.scale, events.translate]
    if isinstance(layer, Labels):
        emitters += [events.paint, events.labels_update]
    return emitters


def _parts_of(comparison: Comparison) -> list[tuple[str, str, int]]:
    """The appearance, name and number of picks of each layer."""
    match comparison:
        case PicksComparison(scores=scores):
            return [
                ("matched", "matched", scores.true_positives),
                ("only A", "only in A", scores.false_positives),
                ("only B", "only in B", scores.false_negatives),
            ]
        case PicksInMask(is_inside=is_inside):
            n_inside = int(is_inside.sum())
            return [
                ("matched", "inside", n_inside),
                ("only A", "outside", len(is_inside) - n_inside),
            ]
    return []


def _swatch(color: str) -> QIcon:
    swatch = QPixmap(16, 16)
    swatch.fill(Qt.GlobalColor.transparent)
    painter = QPainter(swatch)
    painter.fillRect(0, 2, 12, 12, QColor(color))
    painter.end()
    return QIcon(swatch)


def _table(rows: list[tuple[str, str]]) -> QFormLayout:
    table = form_of()
    table.setVerticalSpacing(2)
    for name, text in rows:
        value = plain_label(text, is_selectable=True)
        value.setAlignment(Qt.AlignmentFlag.AlignRight)
        table.addRow(name, value)
    return table


class HistogramPlot(QWidget):
    """A histogram of a `Spread`, with a title and a summary."""

    def __init__(self, theme: Theme, title: str, spread: Spread) -> None:
        super().__init__()
        self._theme, self._title, self._spread = theme, title, spread
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)
        self.setAccessibleName(f"{title}: {spread.summary}")
        bins = zip(spread.edges[:-1], spread.edges[1:], spread.counts.tolist(), strict=True)
        counts = [
            f"{spread.text(low)} to {spread.text(high)}: {count:,}"
            for low, high, count in bins
            if count
        ]
        self.setAccessibleDescription("; ".join(counts))
        self.setToolTip("\n".join(counts))

    def sizeHint(self) -> QSize:
        return QSize(300, 3 * self.fontMetrics().lineSpacing() + _BARS_PX + 2 * _GAP_PX)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        spread, colors = self._spread, self._theme.colors
        painter, spacing = QPainter(self), self.fontMetrics().lineSpacing()
        line = QRectF(0, 0, self.width(), spacing)
        painter.setPen(colors.text)
        painter.drawText(line, self._title)
        painter.setPen(colors.dim)
        summary = f"median {spread.text(spread.median)} · largest {spread.text(spread.largest)}"
        painter.drawText(line.translated(0, spacing), summary)
        bars = QRectF(0, 2 * spacing + _GAP_PX, self.width(), _BARS_PX)
        width, highest = bars.width() / len(spread.counts), max(1, int(spread.counts.max()))
        for number, count in enumerate(spread.counts.tolist()):
            height = bars.height() * count / highest
            left = bars.left() + number * width
            painter.fillRect(
                QRectF(left + 0.5, bars.bottom() - height, max(1.0, width - 1), height),
                colors.accent,
            )
        painter.drawLine(bars.bottomLeft(), bars.bottomRight())
        line.moveTop(bars.bottom() + _GAP_PX)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, spread.text(spread.edges[0]))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight, spread.text(spread.edges[-1]))
        painter.drawText(line, Qt.AlignmentFlag.AlignHCenter, f"most: {highest:,}")
