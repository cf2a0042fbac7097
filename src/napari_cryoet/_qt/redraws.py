"""Leaves a window time for everything else: streamed layers are drawn again together, and then not for a while.

Blocks come faster than a window can draw. Each layer alone would hold back enough, but with three of them, of planes
that cut hundreds of blocks, drawing again would take all of the window's time, and a slider would stick. Layers of one
view are drawn together, since that is painted once then; further views of a window have turns of their own. And what
takes long to draw isn't drawn again just before the next step of somebody who steps on steadily: the step would wait
until that is drawn, and shows all that has come anyway.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable
from typing import Protocol
from weakref import WeakKeyDictionary

from napari_cryoet._qt.rhythm import Rhythm

_REST = 2.0  # times as long as drawing took, nothing is drawn again
_LONGEST_REST_S = 0.5
_LONGEST_WAY_S = 0.25  # that views which move take from a layer that waits
_WITH_PAINT = 3.0  # times as long as slicing it takes to draw layers, in software, until a step may be taken again
_QUICK_S = 0.01  # what takes no longer to slice may be drawn at any time
_FADE = 0.7  # of how long it took, with each time that it takes less


class Redrawn(Protocol):
    """Something that shows older values than there are."""

    def may_redraw_at(self) -> float:
        """From when on it may be drawn again by its own pace, in seconds of `time.monotonic`."""

    @property
    def view(self) -> Hashable:
        """In what it is painted; equal for all that are painted together."""

    @property
    def shows_nothing(self) -> bool:
        """Whether there was nothing at all to show when it was drawn; then it waits for no rest."""

    @property
    def is_volume(self) -> bool:
        """Whether it is drawn in three dimensions, which takes longer than a plane."""

    def redraw(self) -> bool:
        """Draw it again; False where it shows all that there is already."""


class Redraws:
    """Who waits for being drawn again, and from when on that may be. For the window's thread only."""

    def __init__(self) -> None:
        self._waiting: WeakKeyDictionary[Redrawn, float] = WeakKeyDictionary()  # since when; longest waiting first
        self._rhythms: WeakKeyDictionary[Redrawn, Rhythm] = WeakKeyDictionary()
        self._free_at = self._way_until = 0.0
        self._took_s = {False: 0.0, True: 0.0}  # to draw planes, and volumes
        self._drawn_at = -math.inf

    def wait_s(self, redrawn: Redrawn) -> float:
        """Note that something is to be drawn again; how long it has to wait for that."""
        now = time.monotonic()
        self._waiting.setdefault(redrawn, now)
        return max(0.0, self._may_redraw_at(redrawn, now) - now)

    def redraw(self) -> None:
        """Draw again whatever may be by now of the view that comes first, together: it is painted only once then."""
        began = time.monotonic()
        ready = [each for each in self._waiting if self._may_redraw_at(each, began) <= began]
        first = min(ready, key=lambda each: not each.shows_nothing, default=None)
        for redrawn in [each for each in ready if first is not None and each.view == first.view]:
            self._waiting.pop(redrawn, None)
            if redrawn.redraw():
                self._drawn_at = time.monotonic()
        duration_s = time.monotonic() - began
        if first is not None and self._drawn_at >= began:
            self._took_s[first.is_volume] = max(duration_s, _FADE * self._took_s[first.is_volume])
        self.spent(duration_s)

    def _may_redraw_at(self, redrawn: Redrawn, now: float) -> float:
        own = redrawn.may_redraw_at()
        if redrawn.shows_nothing:
            return own
        at = max(own, self._free_at, min(self._way_until, self._waiting[redrawn] + _LONGEST_WAY_S))
        rhythm, took_s = self._rhythms.get(redrawn), self._took_s[redrawn.is_volume]
        if rhythm is None or took_s <= _QUICK_S:
            return at
        return rhythm.free_at(max(at, now), _WITH_PAINT * took_s)

    def step(self, redrawn: Redrawn, at: float) -> None:
        """Note when something began to be sliced for a step, with all that had come."""
        self._rhythms.setdefault(redrawn, Rhythm()).step(at)

    def is_waiting(self, redrawn: Redrawn) -> bool:
        """Whether something is still to be drawn again."""
        return redrawn in self._waiting

    def spent(self, duration_s: float) -> None:
        """Note that the window's thread was kept busy by drawing streamed layers, for whatever reason."""
        self._free_at = max(self._free_at, time.monotonic() + min(_REST * duration_s, _LONGEST_REST_S))

    def make_way(self, duration_s: float) -> None:
        """Draw nothing again for so long from now on, except what has waited for a while: views may move for ever."""
        self._way_until = max(self._way_until, time.monotonic() + duration_s)

    def since_drawn_s(self) -> float:
        """How long ago something was drawn again: what was sliced a moment ago isn't painted yet."""
        return time.monotonic() - self._drawn_at


shared_redraws = Redraws()
