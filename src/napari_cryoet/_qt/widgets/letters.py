"""Widths that follow the size of the letters, which a person may change in napari while the window is open."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

_CHANGES = (QEvent.Type.FontChange, QEvent.Type.StyleChange)


def keep_fitted(widget: QWidget, fit: Callable[[], object]) -> None:
    """Call ``fit`` now and whenever a widget gets another font."""
    widget.installEventFilter(_Fitted(widget, fit))
    fit()


class _Fitted(QObject):
    """Watches its parent."""

    def __init__(self, widget: QWidget, fit: Callable[[], object]) -> None:
        super().__init__(widget)
        self._fit = fit

    def eventFilter(self, _widget: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() in _CHANGES:
            self._fit()
        return False
