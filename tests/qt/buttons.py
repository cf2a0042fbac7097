"""Buttons in a widget, by their texts."""

from __future__ import annotations

from qtpy.QtWidgets import QAbstractButton, QWidget


def button_in(widget: QWidget, text: str) -> QAbstractButton:
    return next(each for each in widget.findChildren(QAbstractButton) if each.text() == text)
