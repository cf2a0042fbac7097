"""How a run's row looks: a thumbnail, its name, its default tomogram, and what is annotated."""

from __future__ import annotations

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QFont, QPainter
from qtpy.QtWidgets import QStyleOptionViewItem

from napari_cryoet._qt.browser.run_model import Remainder, annotations_of, facts_of
from napari_cryoet._qt.widgets.painting import draw_line, fill_row, fits_in, named_in_room
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.row_delegate import MARGIN_PX, RowDelegate
from napari_cryoet._qt.widgets.theme import Colors
from napari_cryoet.portal.pages import RunRow
from napari_cryoet.wording import count_text, plain


class RunDelegate(RowDelegate):
    """Draws runs, and the row that says that more are coming or didn't come."""

    lines = 3
    thumbnail_px = 48

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a run; the remainder has no picture."""
        remainder = index.data(Role.RECORD)
        if painter is None or not isinstance(remainder, Remainder):
            super().paint(painter, option, index)
            return
        colors = self._theme.colors
        painter.save()
        painter.setFont(option.font)
        is_selected = fill_row(painter, option, colors)
        color = colors.warning if remainder.error is not None else colors.dim
        painter.setPen(colors.text if is_selected else color)
        inner = option.rect.adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        wrapped = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        painter.drawText(inner, wrapped, plain(remainder.text))
        painter.restore()

    def paint_text(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
        """Name and number of annotations, tomogram, objects."""
        run: RunRow = index.data(Role.RECORD)
        spacing = painter.fontMetrics().lineSpacing()
        line = QRect(rect.left(), rect.top(), rect.width(), spacing)
        painter.setPen(dim)
        if run.annotation_count:
            count = count_text(run.annotation_count, "annotation")
            draw_line(painter, line, count, align=Qt.AlignmentFlag.AlignRight)
            line.setRight(line.right() - painter.fontMetrics().horizontalAdvance(count) - 8)
        bold = QFont(painter.font())
        bold.setBold(True)
        regular = painter.font()
        painter.setFont(bold)
        painter.setPen(colors.text)
        draw_line(painter, line, run.title, elide=Qt.TextElideMode.ElideMiddle)
        painter.setFont(regular)
        painter.setPen(dim)
        line = QRect(rect.left(), rect.top() + spacing, rect.width(), spacing)
        draw_line(painter, line, facts_of(run))
        line.translate(0, spacing)
        fits = fits_in(painter, line.width())
        draw_line(painter, line, named_in_room(lambda limit: annotations_of(run, limit), fits))
