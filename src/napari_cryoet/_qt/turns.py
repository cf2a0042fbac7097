"""Views of one window move one after the other, and the window paints and answers in between.

Qt paints at once whatever changed since it painted last. Where three views are sliced together, the window stands still
for all three of them, and a cursor that is dragged sticks; one at a time it stands still for one. Streamed layers that
are sliced again because more of them has come have turns of their own, too, and not while a view is about to move.
A view waits once for such a layer to be painted, and a layer a quarter of a second for views that ask again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qtpy.QtCore import QObject

from napari_cryoet._qt.redraws import Redraws, shared_redraws
from napari_cryoet._qt.timers import single_shot

_APART_MS: Final = 12  # Qt waits for 5 ms before it paints what changed
_APART_S: Final = _APART_MS / 1000


class Turns(QObject):
    """Who waits to move, longest waiting first."""

    def __init__(self, parent: QObject | None = None, *, redraws: Redraws = shared_redraws) -> None:
        super().__init__(parent)
        self._redraws = redraws
        self._waiting: list[Callable[[], None]] = []
        self._has_let_paint = False
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
        self._redraws.make_way(_APART_S)  # what has come since shows when the view has moved
        if not self._apart.isActive() and not self._first.isActive():
            self._first.start()

    def take(self) -> None:
        """Note that somebody has just moved without having asked; whoever waits lets that be painted first."""
        self._redraws.make_way(_APART_S)
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
        if not self._has_let_paint and self._redraws.since_drawn_s() < _APART_S:
            self._has_let_paint = True  # once: many layers may be drawn again all the time
            self._redraws.make_way(2 * _APART_S)  # no other before this view, or both would be painted at once
            self._apart.start()
            return
        self._has_let_paint = False
        move = self._waiting.pop(0)
        try:
            move()
        finally:
            self._apart.start()  # also if that fails, and also where nobody waits yet
            self._redraws.make_way(_APART_S)  # of another view, or both would be painted at once
