"""What somebody waits for and wasn't sent yet.

Those who wait take turns, so that whoever wants one block isn't served only after another one's thousands; of what one
of them waits for, the first comes first. Lines that can take no more are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from napari_cryoet.streaming.flights import Flight


class Waiting:
    """Flights, by who waits for them. Not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._queues: dict[tuple[Hashable, Hashable], dict[Flight, None]] = {}  # whose turn is next comes first
        self._places: dict[Flight, list[tuple[Hashable, Hashable]]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, flight: Flight) -> bool:
        return flight in self._places

    def add(self, flight: Flight, who: Hashable) -> None:
        """Let a flight wait behind all others of somebody, also where others wait for it already."""
        place = flight.run.line, who
        queue = self._queues.setdefault(place, {})
        if flight not in queue:
            queue[flight] = None
            self._places.setdefault(flight, []).append(place)

    def first(self, full: Collection[Hashable] = ()) -> Flight | None:
        """Whose turn it is, of those whose line isn't ``full``."""
        return next((next(iter(queue)) for (line, _), queue in self._queues.items() if line not in full), None)

    def remove(self, flight: Flight) -> None:
        """Take a flight out: it is sent, or nobody waits for it any more. Then it is the turn of others."""
        for place in self._places.pop(flight):
            queue = self._queues.pop(place)
            del queue[flight]
            if queue:
                self._queues[place] = queue
