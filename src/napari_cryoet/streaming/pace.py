"""How somebody moves through a pyramid, view after view, and whether its values keep up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_cryoet.streaming.plan import motion_between, went_far

if TYPE_CHECKING:
    from napari_cryoet.streaming.plan import Motion, View

_STEPS_LATE = 3  # so many may be chance


class Pace:
    """Of one display. Not safe for several threads.

    Attributes
    ----------
    motion
        How the view moves; None if it is new, or far from the last one.
    is_far
        Whether it came there in a jump.
    moved_at
        When it came there, by `time.monotonic`.
    """

    def __init__(self) -> None:
        self.motion: Motion | None = None
        self.is_far = False
        self.moved_at = -math.inf
        self._steps_late = 0  # in a row, that were over before they had all their values, if they lacked any
        self._lacked = False  # whether anything had to be fetched for the view when it was first looked at

    @property
    def is_late(self) -> bool:
        """Whether values have not come in time lately."""
        return self._steps_late >= _STEPS_LATE

    def step(self, before: View | None, now: View, *, at: float, is_late: bool) -> None:
        """Note that another view is looked at.

        Parameters
        ----------
        before, now
            The views.
        at
            When, by `time.monotonic`.
        is_late
            Whether the one before still lacks something.
        """
        self.motion = motion_between(before, now, self.motion, at - self.moved_at)
        self.is_far, self.moved_at = went_far(before, now), at
        if self.motion is None:
            self._steps_late = 0
        elif self._lacked:  # else it says nothing of the line
            self._steps_late = self._steps_late + 1 if is_late else 0

    def began(self, *, is_lacking: bool) -> None:
        """Note whether anything has to be fetched for the view that is looked at for the first time."""
        self._lacked = is_lacking
