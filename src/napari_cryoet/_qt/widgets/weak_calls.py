"""Calls that keep nobody alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QObject


def weak_call(owner: QObject, method: str) -> Callable[[], None]:
    """Call a method of an object for as long as there is one."""
    reference = weakref.ref(owner)

    def call() -> None:
        if (alive := reference()) is not None:
            getattr(alive, method)()

    return call
