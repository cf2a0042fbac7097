"""How far pictures are, in the few words that there is room for beside a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from napari_cryoet._qt.stream_state import StreamState
from napari_cryoet.wording import plain

SETTLE_MS: Final = 100  # states change with every block
UNCHECKED: Final = "not checked for changes"


def is_coming(state: StreamState) -> bool:
    """Whether the picture will still get better."""
    return not state.is_exact and (state.missing_blocks > 0 or not state.is_limited)


def can_go_on(states: Sequence[StreamState]) -> bool:
    """Whether something failed or was stopped before it was exact, and can be asked for again."""
    return any(state.error is not None or (state.is_stopped and not state.is_exact) for state in states)


def words_of(states: Sequence[StreamState]) -> str:
    """What is to be known of pictures that lie over each other; empty where all are exact, and of one image each."""
    error = next((state.error for state in states if state.error is not None), None)
    if error is not None:
        return plain(str(error))
    if any(state.is_stopped and not state.is_exact for state in states):
        return "stopped"
    if any(state.is_progressive and is_coming(state) for state in states):
        return "sharpening…"
    if any(state.is_limited for state in states):
        return "coarser level"
    return UNCHECKED if any(state.is_unchecked for state in states) else ""
