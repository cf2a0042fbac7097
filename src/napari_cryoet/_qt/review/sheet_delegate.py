"""Draws one pick of the contact sheet: its crop, a frame and a letter for its verdict, and a caption."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_cryoet._qt.review.sheet_model import Card
from napari_cryoet._qt.widgets.icons import draw as draw_icon
from napari_cryoet._qt.widgets.painting import draw_line, readable_on
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.theme import KEPT_COLOR, REJECTED_COLOR, Colors, Theme
from napari_cryoet.review.decisions import Verdict

#: The letter beside it says the same.
VERDICT_COLORS: Final = {Verdict.KEPT: KEPT_COLOR, Verdict.REJECTED: REJECTED_COLOR}
GAP_PX: Final = 4
_FRAME_PX: Final = 3
_VEIL_OPACITY: Final = 0.5  # over what was rejected
_CAPTION_FONT_PX: Final = 11
_BADGE_PX: Final = 16


class SheetDelegate(QStyledItemDelegate):
    """Cells of one size, which the view sets.

    Attributes
    ----------
    cell
        The size of a cell.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.cell = QSize(88, 100)

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """The size of a cell."""
        return self.cell

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a pick."""
        card = index.data(Role.RECORD)
        if painter is None or not isinstance(card, Card):
            return
        colors = self._theme.colors
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        cell = option.rect.adjusted(GAP_PX // 2, GAP_PX // 2, -GAP_PX // 2, -GAP_PX // 2)
        self._draw_state(painter, cell, option, colors)
        side = cell.width() - 2 * _FRAME_PX
        square = QRect(cell.left() + _FRAME_PX, cell.top() + _FRAME_PX, side, side)
        self._draw_crop(painter, square, card, index.data(Role.PICTURE), colors)
        self._draw_verdict(painter, square, card.verdict)
        painter.setPen(colors.text if option.state & QStyle.StateFlag.State_Selected else colors.dim)
        font = QFont(option.font)
        font.setPixelSize(_CAPTION_FONT_PX)
        painter.setFont(font)
        below = QRect(cell.left() + 2, square.bottom() + 1, cell.width() - 4, cell.bottom() - square.bottom())
        draw_line(painter, below, card.caption, align=Qt.AlignmentFlag.AlignHCenter)
        painter.restore()

    def _draw_state(self, painter: QPainter, cell: QRect, option: QStyleOptionViewItem, colors: Colors) -> None:
        """Selected, under the mouse, or where the keys go."""
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        has_keys = bool(option.state & QStyle.StateFlag.State_HasFocus)
        fill = colors.selection if is_selected else QColor(0, 0, 0, 0)
        if not is_selected and option.state & QStyle.StateFlag.State_MouseOver:
            fill = colors.raised
        painter.setBrush(fill)
        painter.setPen(QPen(colors.accent, 1.5) if has_keys else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(QRectF(cell).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)

    def _draw_crop(self, painter: QPainter, square: QRect, card: Card, picture: QPixmap | None, colors: Colors) -> None:
        painter.fillRect(square, colors.raised)
        if picture is None:
            if card.has_failed:
                icon = QRectF(0, 0, 20, 20)
                icon.moveCenter(QRectF(square).center())
                draw_icon(painter, "warning", icon, colors.warning)
            return
        painter.fillRect(square, QBrush(colors.faint, Qt.BrushStyle.BDiagPattern))  # seen where nothing covers it
        painter.drawPixmap(square, picture)
        if card.verdict is Verdict.REJECTED:
            veil = QColor(colors.background)
            veil.setAlphaF(_VEIL_OPACITY)
            painter.fillRect(square, veil)

    def _draw_verdict(self, painter: QPainter, square: QRect, verdict: Verdict) -> None:
        color = VERDICT_COLORS.get(verdict)
        if color is None:
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(color, _FRAME_PX))
        painter.drawRoundedRect(QRectF(square).adjusted(-0.5, -0.5, 0.5, 0.5), 3, 3)
        badge = QRectF(square.left() - 1, square.top() - 1, _BADGE_PX, _BADGE_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawRoundedRect(badge, 3, 3)
        font = QFont(painter.font())
        font.setBold(True)
        font.setPixelSize(11)
        painter.setFont(font)
        painter.setPen(readable_on(color))
        painter.drawText(badge, int(Qt.AlignmentFlag.AlignCenter), verdict.letter)
