"""How a dataset's row looks: a thumbnail, a title of up to two lines, facts, and what is annotated."""

from __future__ import annotations

from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QPainter

from napari_cryoet._qt.browser.dataset_model import facts_of
from napari_cryoet._qt.widgets.painting import fits_in, named_in_room
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.row_delegate import RowDelegate, paint_titled
from napari_cryoet._qt.widgets.theme import Colors
from napari_cryoet.portal.pages import CatalogueRow, objects_text


class DatasetDelegate(RowDelegate):
    """Draws datasets."""

    def paint_text(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
        """Title, facts, objects."""
        dataset: CatalogueRow = index.data(Role.RECORD)
        objects = named_in_room(lambda limit: objects_text(dataset.objects, limit), fits_in(painter, rect.width()))
        painter.setPen(colors.text)
        paint_titled(painter, rect, dataset.title, (facts_of(dataset), objects or "no annotations"), dim=dim)
