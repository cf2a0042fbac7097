"""Views of one window move one after the other, and the window paints and answers in between.

Qt paints at once whatever changed since it painted last. Where three views are sliced together, the window stands still
for all three of them, and a cursor that is dragged sticks; one at a time it stands still for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qtpy.QtCore import QObject

from napari_cryoet._qt.widgets.timers import single_shot

_APART_MS: Final = 12  # Qt waits for 5 ms before it paints what changed


class Turns(QObject):
    """Who waits to move, longest waiting first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[Callable[[], None]] = []
        self._first = single_shot(self, 0, self._next)
        self._apart = single_shot(self, _APART_MS, self._next)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting

    def ask(self, move: Callable[[], None]) -> None:
        """Have ``move`` called once, when it is its turn; whoever waits already keeps their place."""
        if move not in self._waiting:
            self._waiting.append(move)
        if not self._apart.isActive() and not self._first.isActive():
            self._first.start()

    def take(self) -> None:
        """Note that somebody has just moved without having asked; whoever waits lets that be painted first."""
        if not self._apart.isActive():
            self._first.stop()
            self._apart.start()

    def withdraw(self, move: Callable[[], None]) -> None:
        """Wait no more."""
        if move in self._waiting:
            self._waiting.remove(move)

    def stop(self) -> None:
        """Let nobody move any more."""
        self._waiting.clear()
        self._first.stop()
        self._apart.stop()

    def _next(self) -> None:
        if not self._waiting:
            return
        move = self._waiting.pop(0)
        try:
            move()
        finally:
            self._apart.start()  # also if that fails, and also where nobody waits yet
