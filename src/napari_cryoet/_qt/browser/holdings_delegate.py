"""How a deposition's holdings look: headings, datasets as in their list, and lines below these."""

from __future__ import annotations

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter
from qtpy.QtWidgets import QStyleOptionViewItem

from napari_cryoet._qt.browser.holdings_model import Holding, ObjectHolding, Section, counts_of, facts_of
from napari_cryoet._qt.widgets.painting import draw_line, fill_row, lines_height
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.row_delegate import MARGIN_PX, RowDelegate, paint_titled
from napari_cryoet._qt.widgets.theme import Colors
from napari_cryoet.portal.pages import DatasetCount, RunRow
from napari_cryoet.wording import plain

PADDING_PX = 3


class HoldingsDelegate(RowDelegate):
    """Draws the rows of a `HoldingsModel`."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Datasets are as high as in their list; the others have a line or two."""
        record: Holding = index.data(Role.RECORD)
        if isinstance(record, DatasetCount):
            return super().sizeHint(option, index)
        padding = 2 * MARGIN_PX if isinstance(record, Section) else 2 * PADDING_PX
        return QSize(60, lines_height(option.font, 2 if _has_methods_below(record) else 1) + padding)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one row."""
        record: Holding = index.data(Role.RECORD)
        if painter is None or isinstance(record, DatasetCount):
            super().paint(painter, option, index)
            return
        colors = self._theme.colors
        painter.save()
        painter.setFont(option.font)
        is_selected = not isinstance(record, Section) and fill_row(painter, option, colors)
        inner = option.rect.adjusted(MARGIN_PX, PADDING_PX, -MARGIN_PX, -PADDING_PX)
        dim = colors.text if is_selected else colors.dim
        match record:
            case Section():
                _paint_section(painter, inner, record.text, colors)
            case RunRow():
                _paint_pair(painter, inner, plain(record.name), counts_of(record), pens=(colors.text, dim))
            case ObjectHolding():
                _paint_object(painter, inner, record, dim)
            case _:
                painter.setPen(dim)
                draw_line(painter, inner, record.text)
        painter.restore()

    def paint_text(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
        """Title, facts, what the deposition holds of it."""
        dataset: DatasetCount = index.data(Role.RECORD)
        painter.setPen(colors.text)
        paint_titled(painter, rect, dataset.title, (facts_of(dataset), counts_of(dataset)), dim=dim)


def _paint_section(painter: QPainter, rect: QRect, text: str, colors: Colors) -> None:
    bold = QFont(painter.font())
    bold.setBold(True)
    painter.setFont(bold)
    painter.setPen(colors.text)
    draw_line(painter, rect, text)


def _has_methods_below(record: Holding) -> bool:
    """Whether several kinds of method need a line of their own."""
    return isinstance(record, ObjectHolding) and len(record.contributions) > 1


def _paint_object(painter: QPainter, rect: QRect, holding: ObjectHolding, dim: QColor) -> None:
    name, is_long = plain(holding.object_name), _has_methods_below(holding)
    line = QRect(rect.left(), rect.top(), rect.width(), painter.fontMetrics().lineSpacing())
    _paint_pair(painter, line, name, f"{holding.count:,}" if is_long else holding.text, pens=(dim, dim))
    if is_long:
        line.translate(0, line.height())
        draw_line(painter, line, holding.text, align=Qt.AlignmentFlag.AlignRight)


def _paint_pair(painter: QPainter, rect: QRect, name: str, count: str, *, pens: tuple[QColor, QColor]) -> None:
    """A name, and at the right edge how much of it there is."""
    width = min(painter.fontMetrics().horizontalAdvance(count) + 1, rect.width() // 2)
    painter.setPen(pens[1])
    draw_line(painter, rect.adjusted(rect.width() - width, 0, 0, 0), count, align=Qt.AlignmentFlag.AlignRight)
    painter.setPen(pens[0])
    draw_line(painter, rect.adjusted(0, 0, -width - 8, 0), name, elide=Qt.TextElideMode.ElideMiddle)
