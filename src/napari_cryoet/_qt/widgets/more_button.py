"""The button that unfolds what is rarely needed."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QWidget


def more_button(part: QWidget, text: str = "More") -> QToolButton:
    """A button that shows and hides a part of a dock; folded at first, so that Tab passes over the part."""
    button = QToolButton()
    button.setText(text)
    button.setCheckable(True)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setToolTip("Show what is rarely needed")

    def unfold(is_open: bool) -> None:
        button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        part.setVisible(is_open)

    button.toggled.connect(unfold)
    unfold(False)
    return button
