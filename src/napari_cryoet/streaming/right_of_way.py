"""Lets whoever draws go first: Python runs one thread at a time, and a window must not wait for threads that decode.

Sixteen threads that each want a millisecond hold a window up for as many, time and again while it draws one picture.
So it says when it begins to draw; who has bytes to decode then waits a moment, and no longer, whatever happens. And who
computes meanwhile lets go of Python sooner.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.short_turns import short_turns
from napari_cryoet.streaming.sources import SourceAround

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cryoet.streaming.sources import ByteSource, Piece

_MUCH_BYTES = 2**16  # what is less is a table: decoding it is quick, and blocks can't be asked for before
_LONGEST_WAIT_S = 0.03
_LONGEST_S = 0.1  # who draws for longer, or never says that it is done, has it no more


class RightOfWay:
    """Taken and given back by who draws; may be used from any thread."""

    def __init__(self) -> None:
        self._until = 0.0
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Have nobody draw; see `forks`."""
        self._free = threading.Event()
        self._free.set()
        self._lock = threading.Lock()
        self._is_taken = False

    def take(self) -> None:
        """Go first from now on, until it is given back or a tenth of a second is over."""
        self._until = time.monotonic() + _LONGEST_S
        self._free.clear()
        with self._lock:
            was_taken, self._is_taken = self._is_taken, True
        if not was_taken:
            short_turns.begin()

    def give_back(self) -> None:
        """Let the others go on."""
        self._free.set()
        with self._lock:
            was_taken, self._is_taken = self._is_taken, False
        if was_taken:
            short_turns.end()

    def let_pass(self) -> None:
        """Wait for whoever goes first, but for a moment only."""
        if not self._free.is_set():
            self._free.wait(max(0.0, min(_LONGEST_WAIT_S, self._until - time.monotonic())))


class YieldingSource(SourceAround):
    """A source of which much comes only when nobody goes first: it will be decoded next.

    Parameters
    ----------
    source
        Where it comes from.
    right_of_way
        Who may go first.
    on_much
        Called in the reading thread when much has come, before it waits: the line has done its part by then.
    """

    def __init__(self, source: ByteSource, right_of_way: RightOfWay, on_much: Callable[[], None]) -> None:
        super().__init__(source)
        self._right_of_way, self._on_much = right_of_way, on_much

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        piece = super().read(key, start=start, length=length, version=version, stop=stop)
        if piece is not None and len(piece.content) >= _MUCH_BYTES:
            self._on_much()
            self._right_of_way.let_pass()
        return piece
