"""A button that leaves out the end of its text where there is no room, and tells it in its tooltip."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import (
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QToolTip,
    QWidget,
)

from napari_cryoet._qt.widgets.labels import plain_tooltip

_ICON_GAP_PX = 4  # that Qt leaves between an icon and the text
_FEW_LETTERS = 6


class ElidedButton(QPushButton):
    """Yields to any width that its icon and a few letters have room in."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        hint, metrics = super().sizeHint(), self.fontMetrics()
        few = metrics.horizontalAdvance(f"{self.text().strip()[:_FEW_LETTERS]}…")
        return QSize(hint.width() - max(0, metrics.horizontalAdvance(self.text()) - few), hint.height())

    def fitted(self) -> str:
        """As much of the text as there is room for."""
        option, style = QStyleOptionButton(), self.style()
        self.initStyleOption(option)
        assert style is not None  # noqa: S101
        room = style.subElementRect(QStyle.SubElement.SE_PushButtonContents, option, self).width()
        icon = 0 if option.icon.isNull() else option.iconSize.width() + _ICON_GAP_PX
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room - icon)

    def event(self, event: QEvent | None) -> bool:
        """Show all of the text above the tooltip, if a part of it is left out."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self.fitted() != self.text():
            words = "\n".join(dict.fromkeys(filter(None, [self.text().strip(), self.toolTip()])))
            QToolTip.showText(event.globalPos(), plain_tooltip(words), self)
            return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw what fits."""
        painter, option = QStylePainter(self), QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.fitted()
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
