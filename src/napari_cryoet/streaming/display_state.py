"""How far a picture is that sharpens while it loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cryoet.exceptions import CryoETError


@dataclass(frozen=True, slots=True)
class DisplayState:
    """How far the picture is.

    Attributes
    ----------
    is_exact
        Whether the last picture of the view had its exact values everywhere.
    missing_blocks
        How many blocks of the view are still to come.
    is_limited
        Whether the view is shown at a coarser level because its exact values would cost too much.
    full_bytes
        About how many bytes would have to come for its exact values, where it is limited; else 0.
    bytes_read
        How many bytes have come from the source so far.
    error
        What kept a part of the view from being read, or None.
    is_stopped
        Whether fetching was stopped or paused.
    is_unchecked
        Whether it couldn't be found out if the image was replaced while it was read, as in offline mode.
    """

    is_exact: bool
    missing_blocks: int
    is_limited: bool
    full_bytes: int
    bytes_read: int
    error: CryoETError | None
    is_stopped: bool
    is_unchecked: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the last picture of the view is the best that comes unasked."""
        return self.is_exact or self.error is not None or (self.is_limited and not self.missing_blocks)
