"""How long a thread that computes may keep Python from one that wants it: ordinarily 5 ms, here a tenth of that.

A window that draws, or starts what was clicked on, wants Python back several times in a row, whenever it has waited for
anything. While others compute, it would be held up for 5 ms each time; handing over more often costs those others next
to nothing.
"""

from __future__ import annotations

import sys
from typing import Final

from napari_cryoet.forks import FreshLock

SHORT_S: Final = 0.0005
_HALF_A_MICROSECOND_S: Final = 5e-7  # Python cuts off what is less than a microsecond


class ShortTurns:
    """Wanted by any number at once, from any thread, as a context or by `begin` and `end`."""

    def __init__(self) -> None:
        self._lock = FreshLock()
        self._wishes = 0
        self._before_s = 0.0

    def begin(self) -> None:
        """Let turns be short until `end` has been called as often; nothing changes where somebody made them shorter."""
        with self._lock:
            self._wishes += 1
            if self._wishes == 1:
                self._before_s = sys.getswitchinterval()
                if self._before_s > SHORT_S:
                    sys.setswitchinterval(SHORT_S)

    def end(self) -> None:
        """Let turns be as long as they were once nobody wants short ones any more."""
        with self._lock:
            self._wishes -= 1
            if not self._wishes and self._before_s > SHORT_S:
                sys.setswitchinterval(self._before_s + _HALF_A_MICROSECOND_S)

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_error: object) -> None:
        self.end()


short_turns: Final = ShortTurns()  # of the process, as the length of turns is
