"""When streamed layers are drawn again: together, and not so often that a slider would stick."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QObject

from napari_cryoet._qt.tasks import single_shot

if TYPE_CHECKING:
    from napari_cryoet._qt.streaming.progressive import StreamStatus

_REST: Final = 2.0  # times as long as drawing took, nothing is drawn again
_LONGEST_REST_S: Final = 0.5


class Redraws(QObject):
    """Layers that show less than has come, longest waiting first. For the window's thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[StreamStatus, None] = {}
        self._free_at = 0.0
        self._timer = single_shot(self, 0, self._on_time)

    def ask(self, stream: StreamStatus) -> None:
        """Draw a layer again as soon as it may be; at once where it shows nothing yet."""
        self._waiting[stream] = None
        if stream.display.is_blank and stream.may_redraw_at() <= time.monotonic():
            self._on_time()  # a timer would come only after all that a window paints when it has a new layer
        else:
            self._start_timer()

    def withdraw(self, stream: StreamStatus) -> None:
        self._waiting.pop(stream, None)

    def spent(self, duration_s: float) -> None:
        """Note that the window's thread was kept busy by drawing streamed layers, for whatever reason."""
        self._free_at = max(self._free_at, time.monotonic() + min(_REST * duration_s, _LONGEST_REST_S))

    def _may_redraw_at(self, stream: StreamStatus) -> float:
        own = stream.may_redraw_at()
        return own if stream.display.is_blank else max(own, self._free_at)

    def _start_timer(self) -> None:
        if self._waiting:
            wait_s = min(map(self._may_redraw_at, self._waiting)) - time.monotonic()
            self._timer.start(round(1000 * max(0.0, wait_s)))  # -inf for a layer that was never drawn

    def _on_time(self) -> None:
        """Draw what may be drawn by now of the view that comes first: views are painted one after the other."""
        began = time.monotonic()
        ready = [stream for stream in self._waiting if self._may_redraw_at(stream) <= began]
        first = min(ready, key=lambda stream: not stream.display.is_blank, default=None)
        try:
            for stream in ready:
                if first is not None and stream.view is first.view:
                    del self._waiting[stream]
                    stream.redraw()
        finally:
            self.spent(time.monotonic() - began)
            self._start_timer()


@cache
def shared_redraws() -> Redraws:
    """What draws the layers of all windows."""
    return Redraws()
