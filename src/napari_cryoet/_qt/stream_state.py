"""How far the picture of a streamed layer is."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from napari_cryoet.exceptions import CryoETError
    from napari_cryoet.streaming.display import Display

_LACKS_NOTHING: Final[Any] = {
    "is_exact": True,
    "missing_blocks": 0,
    "is_limited": False,
    "full_bytes": 0,
    "error": None,
}


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far a layer's picture is.

    Attributes
    ----------
    is_progressive
        Whether the picture sharpens while it loads; if not, napari slices the exact arrays on its own thread, and
        the rest of this stays empty.
    is_exact
        Whether what is drawn has its exact values everywhere.
    missing_blocks
        How many blocks of the view are still to come.
    is_limited
        Whether the view is shown at a coarser level because its exact values would cost too much.
    full_bytes
        About how many bytes would have to come for its exact values, where it is limited; else 0.
    bytes_read
        How many bytes have come from the source so far.
    bytes_per_s
        How fast they come now.
    error
        What kept a part of the view from being read, or None.
    is_stopped
        Whether fetching was stopped.
    as_of
        When its server last said that what is kept on disk is still the same, where it was not to be reached since;
        None where it was.
    is_unchecked
        Whether it couldn't be found out if the image was replaced while it was read, as in offline mode.
    source_number
        The same for layers that have one source, as channels of an image and copies: their bytes are the same ones.
    """

    is_progressive: bool
    is_exact: bool = False
    missing_blocks: int = 0
    is_limited: bool = False
    full_bytes: int = 0
    bytes_read: int = 0
    bytes_per_s: float = 0.0
    error: CryoETError | None = None
    is_stopped: bool = False
    as_of: datetime | None = None
    is_unchecked: bool = False
    source_number: int | None = None


class Speed:
    """Bytes a second over the last second or so."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def at(self, bytes_read: int) -> float:
        """The speed now, given how many bytes there have been."""
        now = time.monotonic()
        self._samples = [(at, count) for at, count in self._samples if now - at <= 1.5]
        self._samples.append((now, bytes_read))
        first_at, first_count = self._samples[0]
        return (bytes_read - first_count) / (now - first_at) if now - first_at > 0.1 else 0.0


def state_of(display: Display, speed: Speed, *, is_beside: bool) -> StreamState:
    """How far the picture of a display is; it lacks nothing where nothing of it is seen, beside it."""
    state = display.state
    if is_beside:
        state = dataclasses.replace(state, **_LACKS_NOTHING)
    return StreamState(
        is_progressive=True,
        is_exact=state.is_exact,
        missing_blocks=state.missing_blocks,
        is_limited=state.is_limited,
        full_bytes=state.full_bytes,
        bytes_read=state.bytes_read,
        bytes_per_s=speed.at(state.bytes_read),
        error=state.error,
        is_stopped=state.is_stopped,
        as_of=display.pyramid.as_of,
        is_unchecked=state.is_unchecked,
        source_number=display.pyramid.source_number,
    )
