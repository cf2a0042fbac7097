"""What may be sent beside what is under way: what is looked at must not wait for what is only likely to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.streaming.wishes import Priority

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_cryoet.streaming.flights import Flight
    from napari_cryoet.streaming.line import Line


def lowest_priority(under_way: Collection[Flight], limit: int) -> Priority:
    """The least important of what may be sent.

    Parameters
    ----------
    under_way
        What was sent.
    limit
        How much may be under way at once.
    """
    ahead = sum(flight.is_ahead and not flight.is_off_the_line for flight in under_way)
    if ahead >= max(1, limit * 3 // 4):
        return Priority.VIEW
    if ahead >= max(1, limit // 2) or any(flight.is_view for flight in under_way):
        return Priority.AHEAD  # the background would share the line with what is looked at, and delay it
    return Priority.BACKGROUND


def has_room_ahead(on_line: Collection[Flight], line: Line, size_bytes: int) -> bool:
    """Whether a line can carry so much more that nobody looks at yet, beside what is on it."""
    return line.may_carry_more(sum(flight.size_bytes for flight in on_line if flight.is_ahead), size_bytes)


def would_delay_first_sight(on_line: Collection[Flight], line: Line, size_bytes: int) -> bool:
    """Whether a narrow line would be shared with a picture that shows nothing yet, which would keep it empty."""
    views = [flight for flight in on_line if flight.is_view]
    if not any(flight.priority == Priority.FIRST_SIGHT for flight in views):
        return False
    return not line.may_carry_more(sum(flight.size_bytes for flight in views), size_bytes)
