"""How a deposition's row looks: a thumbnail, a title of up to two lines, what it brought, and what is annotated."""

from __future__ import annotations

from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QPainter

from napari_cryoet._qt.browser.deposition_model import contents_of, facts_of
from napari_cryoet._qt.widgets.painting import fits_in, named_in_room
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.row_delegate import RowDelegate, paint_titled
from napari_cryoet._qt.widgets.theme import Colors
from napari_cryoet.portal.pages import DepositionRow


class DepositionDelegate(RowDelegate):
    """Draws depositions."""

    def paint_text(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
        """Title, facts, contents."""
        deposition: DepositionRow = index.data(Role.RECORD)
        fits = fits_in(painter, rect.width())
        contents = named_in_room(lambda limit: contents_of(deposition, limit), fits)
        painter.setPen(colors.text)
        paint_titled(painter, rect, deposition.title, (facts_of(deposition), contents), dim=dim)
