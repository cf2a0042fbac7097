"""The loading state of streamed layers, and texts about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from napari_cryoet.streaming import DisplayState
from napari_cryoet.wording import date_text, joined, plain, size_text

if TYPE_CHECKING:
    from datetime import datetime

SETTLE_MS: Final = 100  # limits updates of texts, since states change with every block


@dataclass(frozen=True, slots=True)
class StreamState(DisplayState):
    """The loading state of a layer: its display's state, transfer rate and source.

    Attributes
    ----------
    bytes_per_s
        The current transfer rate.
    as_of
        When the server last confirmed the cached data, if it doesn't respond now; otherwise None.
    source_number
        Identifies the source; copies of a layer and channels of an image share it.
    wait_text
        Until when the server asks to wait; empty if it doesn't.
    """

    bytes_per_s: float = 0.0
    as_of: datetime | None = None
    source_number: int | None = None
    wait_text: str = ""

    @property
    def is_coming(self) -> bool:
        """Whether the picture will still improve."""
        return not self.is_exact and (self.missing_blocks > 0 or not self.is_limited)


def loading_text(states: Sequence[StreamState]) -> str:
    """What layers are waiting for: a server that asks for it, or bytes and their speed."""
    waits = next((state.wait_text for state in states if state.wait_text), "")
    return waits or f"sharpening… {traffic_text(states)}"


def traffic_text(states: Sequence[StreamState]) -> str:
    """The bytes loaded for some layers and the current speed, counting layers that share a source once."""
    sources = {
        id(state) if state.source_number is None else state.source_number: state for state in states
    }.values()
    bytes_per_s = sum(state.bytes_per_s for state in sources)
    speed = f"{size_text(bytes_per_s)}/s" if bytes_per_s >= 1 else ""
    return joined(size_text(sum(state.bytes_read for state in sources)), speed)


def state_text(states: Sequence[StreamState]) -> str:
    """The status of overlaid layers: an error, ``stopped``, ``sharpening…``, ``coarser level``, or empty if exact."""
    error = next((state.error for state in states if state.error is not None), None)
    if error is not None:
        return plain(str(error))
    if any(state.is_stopped and not state.is_exact for state in states):
        return "stopped"
    if any(state.is_coming for state in states):
        return "sharpening…"
    return "coarser level" if any(state.is_limited for state in states) else ""


def offline_text(states: Sequence[StreamState]) -> str:
    """The oldest date of cached pixels whose server is unreachable; empty if there are none."""
    dates = [state.as_of for state in states if state.as_of is not None]
    return f"offline, as of {date_text(min(dates))}" if dates else ""
