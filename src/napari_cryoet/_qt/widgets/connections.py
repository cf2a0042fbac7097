"""Connections to events and signals of objects that outlive the listener."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


class Connections(ExitStack):
    """Connections that `close` ends; more can be made afterwards."""

    def connect(self, emitter: Any, slot: Callable[..., object]) -> None:
        """Connect a napari event or a Qt signal."""
        emitter.connect(slot)
        self.callback(emitter.disconnect, slot)
