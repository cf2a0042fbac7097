"""A program that ends while a window is open, as IPython does, closes the window first.

Qt would end its widgets in any order, those first that others still ask something of, and the program with a crash.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from weakref import WeakSet

from qtpy.QtWidgets import QDockWidget, QWidget

_widgets: WeakSet[QWidget] = WeakSet()


def close_window_at_end_of(widget: QWidget) -> None:
    """Let the window that a widget is in then be closed before the program ends; calling it again changes nothing."""
    _widgets.add(widget)


def _close_windows() -> None:
    for widget in list(_widgets):
        with suppress(RuntimeError):  # Qt has ended it before
            _close_window_of(widget)


def _close_window_of(widget: QWidget) -> None:
    window = widget.window()
    if isinstance(window, QDockWidget) and (holder := window.parentWidget()) is not None:
        window = holder.window()  # it floats
    if window is not None and window is not widget and window.isVisible():
        window.close()


atexit.register(_close_windows)  # after Qt was imported, so that this comes before what Qt does
