"""Combo boxes that leave out the middle of a text that is too long: the end tells layers of one run apart."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

from napari_cryoet._qt.widgets.labels import plain_tooltip

_ICON_GAP_PX = 5  # that Qt leaves between an icon and the text


def elide_middle(combo: QComboBox) -> None:
    """Let a combo box, and its list, draw long texts without their middle; the texts stay as they are."""
    combo.installEventFilter(_Elided(combo))
    view = combo.view()
    assert view is not None  # noqa: S101 - every combo box has one
    view.setTextElideMode(Qt.TextElideMode.ElideMiddle)


def fitted(combo: QComboBox) -> str:
    """As much of the chosen text as there is room for; where nothing is, of what stands in its place."""
    option, style = QStyleOptionComboBox(), combo.style()
    combo.initStyleOption(option)
    assert style is not None  # noqa: S101
    room = style.subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, combo
    )
    used = 2 if option.currentIcon.isNull() else 2 + option.iconSize.width() + _ICON_GAP_PX
    return combo.fontMetrics().elidedText(_text_of(combo), Qt.TextElideMode.ElideMiddle, room.width() - used)


def _text_of(combo: QComboBox) -> str:
    return combo.currentText() if combo.currentIndex() >= 0 else combo.placeholderText()


def _tell_whole(combo: QComboBox, place: QPoint) -> bool:
    """Show the chosen text above the tooltip, if a part of it is left out."""
    if fitted(combo) == _text_of(combo):
        return False
    QToolTip.showText(place, plain_tooltip("\n".join(filter(None, [_text_of(combo), combo.toolTip()]))), combo)
    return True


class _Elided(QObject):
    """Draws its parent."""

    def eventFilter(self, combo: QObject | None, event: QEvent | None) -> bool:
        if event is None or not isinstance(combo, QComboBox):
            return False
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            return _tell_whole(combo, event.globalPos())
        if event.type() != QEvent.Type.Paint:
            return False
        painter, option = QStylePainter(combo), QStyleOptionComboBox()
        combo.initStyleOption(option)
        option.currentText = fitted(combo)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True
