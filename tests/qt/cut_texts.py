"""Which texts of a dock one can't read to their end, although nothing says so."""

from __future__ import annotations

from qtpy.QtCore import QRect
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QStyle,
    QStyleOptionButton,
    QStyleOptionFrame,
    QTableWidget,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.layer_combo import LayerCombo

_EDGE_PX = 2  # Qt leaves so much beside the text of a field


def cut_texts(dock: QWidget) -> list[str]:
    """The texts in a dock that are drawn in part, without an ellipsis and a tooltip that has all of it."""
    found = []
    for widget in dock.findChildren(QWidget):
        if widget.isVisible() and widget.width() > 0:
            found += [f"{type(widget).__name__}: {text}" for text in _cut_in(widget)]
    return found + [f"beyond the edge: {_called(each)}" for each in _beyond(dock)]


def _cut_in(widget: QWidget) -> list[str]:
    match widget:
        case ElidedLabel():
            is_high_enough = widget.height() >= widget.minimumSizeHint().height()
            return [] if not widget.text() or (widget.toolTip() and is_high_enough) else [widget.text()]
        case QLabel():
            return [] if _holds_label(widget) else [widget.text()]
        case QLineEdit() if not isinstance(widget.parent(), QAbstractSpinBox | QComboBox):
            return [] if widget.text() or _holds_line(widget, widget.placeholderText()) else [widget.placeholderText()]
        case QAbstractSpinBox():
            return [] if _holds_line(widget.lineEdit(), widget.text()) else [widget.text()]
        case QComboBox():
            is_whole = widget.sizeHint().width() <= widget.width()
            return [] if is_whole or isinstance(widget, LayerCombo) else [widget.currentText()]
        case QPushButton():
            is_whole = _advance(widget, widget.text()) <= _room_of(widget).width()
            return [] if is_whole or widget.text() in widget.toolTip() else [widget.text()]
        case QToolButton() | QCheckBox():
            return [] if not widget.text() or widget.sizeHint().width() <= widget.width() else [widget.text()]
        case QTableWidget():
            return _cut_cells(widget)
    return []


def _holds_label(label: QLabel) -> bool:
    if not label.text() or (label.pixmap() is not None and not label.pixmap().isNull()):
        return True
    if label.wordWrap():
        return label.heightForWidth(label.width()) <= label.height()
    return _advance(label, label.text()) <= label.contentsRect().width()


def _holds_line(line: QLineEdit | None, text: str) -> bool:
    if line is None or not text:
        return True
    option, style = QStyleOptionFrame(), line.style()
    option.initFrom(line)
    assert style is not None
    room: QRect = style.subElementRect(QStyle.SubElement.SE_LineEditContents, option, line)
    margins = line.textMargins()
    return _advance(line, text) <= room.width() - margins.left() - margins.right() - 2 * _EDGE_PX


def _room_of(button: QPushButton) -> QRect:
    option, style = QStyleOptionButton(), button.style()
    button.initStyleOption(option)
    assert style is not None
    return style.subElementRect(QStyle.SubElement.SE_PushButtonContents, option, button)


def _cut_cells(table: QTableWidget) -> list[str]:
    cut = []
    for row in range(table.rowCount()):
        for column in range(table.columnCount()):
            item = table.item(row, column)
            if item is None or table.isColumnHidden(column) or item.text() in item.toolTip():
                continue
            if table.visualItemRect(item).width() < table.sizeHintForIndex(table.indexFromItem(item)).width():
                cut.append(item.text())
    return cut


def _beyond(dock: QWidget) -> list[QWidget]:
    """What is drawn over the dock's right edge."""
    return [
        each
        for each in dock.findChildren(QWidget)
        if each.isVisible() and each.mapTo(dock, each.rect().topRight()).x() > dock.width()
    ]


def _called(widget: QWidget) -> str:
    return widget.accessibleName() or widget.objectName() or type(widget).__name__


def _advance(widget: QWidget, text: str) -> int:
    return widget.fontMetrics().horizontalAdvance(text)
