"""When the next step of somebody who steps on steadily is to be expected, as of a hand that holds a key down."""

from __future__ import annotations

import math
from typing import Final

_LONGEST_S: Final = 0.15  # between two steps; who takes longer looks at what they come to
_PATIENCE: Final = 2  # so many steps' time after the last one nothing more is expected


class Rhythm:
    """Of the steps through one picture; times are those of `time.monotonic`, in seconds."""

    def __init__(self) -> None:
        self._last = -math.inf
        self._intervals = (math.inf, math.inf)

    def step(self, at: float) -> None:
        """Note a step."""
        self._intervals = self._intervals[1], at - self._last
        self._last = at

    def free_at(self, at: float, duration_s: float) -> float:
        """The first moment from another on at which something so long won't meet a step.

        The shorter of the last two intervals counts: a step that comes late makes the first longer and the second
        shorter than the pace is.
        """
        interval = min(self._intervals)
        if interval > _LONGEST_S:
            return at
        due, late = self._last + interval, self._last + _PATIENCE * interval
        return late if due - duration_s < at < late else at
