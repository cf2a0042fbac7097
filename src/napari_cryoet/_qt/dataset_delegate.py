"""How a dataset's row looks: a thumbnail, a title of up to two lines, facts, and what is annotated."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect
from qtpy.QtGui import QColor, QPainter

from napari_cryoet._qt.dataset_model import facts_of
from napari_cryoet._qt.painting import draw_line, draw_two_lines
from napari_cryoet._qt.roles import Role
from napari_cryoet._qt.row_delegate import RowDelegate
from napari_cryoet._qt.theme import Colors
from napari_cryoet.portal.pages import CatalogueRow
from napari_cryoet.wording import objects_text, plain


class DatasetDelegate(RowDelegate):
    """Draws datasets."""

    def paint_text(
        self,
        painter: QPainter,
        rect: QRect,
        index: QModelIndex | QPersistentModelIndex,
        colors: Colors,
        dim: QColor,
    ) -> None:
        """Title, facts, objects."""
        dataset: CatalogueRow = index.data(Role.RECORD)
        spacing = painter.fontMetrics().lineSpacing()
        painter.setPen(colors.text)
        draw_two_lines(painter, rect, plain(dataset.title))
        painter.setPen(dim)
        line = QRect(rect.left(), rect.top() + 2 * spacing, rect.width(), spacing)
        draw_line(painter, line, facts_of(dataset))
        line.translate(0, spacing)
        draw_line(painter, line, objects_text(dataset.objects) or "no annotations")
