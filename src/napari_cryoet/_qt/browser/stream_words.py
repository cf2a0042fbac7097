"""How far pictures are, in the few words that there is room for beside a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from napari_cryoet.wording import joined, plain, size_text

if TYPE_CHECKING:
    from napari_cryoet._qt.streaming.progressive import StreamState

SETTLE_MS: Final = 100  # states change with every block
LOAD_FULL_DETAIL: Final = "Load full detail"


def can_go_on(states: Sequence[StreamState]) -> bool:
    """Whether something failed or was stopped before it was exact, and can be asked for again."""
    return any(state.error is not None or (state.is_stopped and not state.is_exact) for state in states)


def traffic_of(states: Sequence[StreamState]) -> str:
    """How much has come for some layers, and how fast more comes; once for those that share what comes."""
    sources = {id(state) if state.source_number is None else state.source_number: state for state in states}.values()
    bytes_per_s = sum(state.bytes_per_s for state in sources)
    speed = f"{size_text(bytes_per_s)}/s" if bytes_per_s >= 1 else ""
    return joined(size_text(sum(state.bytes_read for state in sources)), speed)


def words_of(states: Sequence[StreamState]) -> str:
    """What is to be known of pictures that lie over each other; empty where all are exact, and of one image each."""
    error = next((state.error for state in states if state.error is not None), None)
    if error is not None:
        return plain(str(error))
    if any(state.is_stopped and not state.is_exact for state in states):
        return "stopped"
    if any(state.is_progressive and state.is_coming for state in states):
        return "sharpening…"
    return "coarser level" if any(state.is_limited for state in states) else ""
