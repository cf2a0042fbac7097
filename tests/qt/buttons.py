"""Buttons in a widget, by their texts."""

from __future__ import annotations

from qtpy.QtWidgets import QToolButton, QWidget


def button_in(widget: QWidget, text: str) -> QToolButton:
    return next(each for each in widget.findChildren(QToolButton) if each.text() == text)
