"""What is waited for, wanted and under way, and what is sent next: the fetcher's books, without threads or locks."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.admission import has_room_ahead, lowest_priority, would_delay_first_sight
from napari_cryoet.streaming.cache import owned_bytes
from napari_cryoet.streaming.flights import Flight, Passenger
from napari_cryoet.streaming.line import Line
from napari_cryoet.streaming.waiting import Waiting
from napari_cryoet.streaming.wishes import Block, Priority, Run, Wishes

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping

    from napari_cryoet.streaming.cache import MemoryCache

_SHARE_OF_OTHERS = 4  # a line may have a quarter of the requests also while others have all of them


class Traffic:
    """Flights that bring blocks into a cache, on lines of which something is known. Not safe for several threads.

    Parameters
    ----------
    memory
        Where blocks are.
    limit
        How many requests are in flight at most. While others have them all, as where their server doesn't answer, a
        quarter as many may be sent beside these to each other server, as long as there are threads for them.

    Attributes
    ----------
    wishes
        What pictures want.
    flights
        For each block that is queued or under way, what brings it.
    under_way
        What is on a line or decoded, also where it was given up and nobody knows that yet.
    """

    def __init__(self, memory: MemoryCache[object], limit: int) -> None:
        self.wishes = Wishes()
        self._memory, self._limit = memory, limit
        self._lines: dict[Hashable, Line] = {}
        self._queue = Waiting()
        self.flights: dict[Hashable, Flight] = {}
        self.under_way: set[Flight] = set()
        self._is_views_turn = False

    @property
    def most_flights(self) -> int:
        """How many are on a line or decoded, at most: what has come may wait for a window that draws, the line not."""
        return self._limit + self._limit // 2

    @property
    def work(self) -> int:
        """How much there is to send or to ask."""
        return len(self._queue) + self.wishes.count()

    def line(self, name: Hashable) -> Line:
        """What is known of a line."""
        if name not in self._lines:
            self._lines[name] = Line(self._limit)
        return self._lines[name]

    # boarding

    def board(
        self, runs: Iterable[Run], blocks: dict[Hashable, Block], passenger: Passenger | None = None
    ) -> list[Flight]:
        """Take from the cache what is there; the flights that bring the rest, for each of which one more waits now.

        For those of the ``passenger``, to which the others are added, the same one waits already.
        """
        passenger = passenger or Passenger()
        flights = list({flight: None for run in runs for flight in self._board(run, blocks, passenger.number)})
        for flight in flights:
            flight.waiters += flight not in passenger.flights
        passenger.flights.update(dict.fromkeys(flights))
        return flights

    def _board(self, run: Run, blocks: dict[Hashable, Block], who: Hashable) -> set[Flight]:
        """The flights of one run, among them a new one if need be."""
        flights: set[Flight] = set()
        missing = []
        for key in run.keys:
            block = self._memory.get(key)
            if isinstance(block, np.ndarray):
                blocks[key] = block
            elif key in self.flights:
                flight = self.flights[key]
                flight.is_joined, flight.is_kept = True, flight.is_kept or run.is_kept
                flights.add(flight)
                if flight in self._queue:
                    self._queue.add(flight, who)
            else:
                missing.append(key)
        if missing:
            flight = self._register(run, tuple(missing))
            self._queue.add(flight, who)
            flights.add(flight)
        return flights

    def take_own(self, flights: list[Flight], now: float) -> Flight | None:
        """What a caller waits for as the only thing and may do itself, which saves waking another thread for it."""
        if len(flights) != 1 or flights[0] not in self._queue:
            return None
        (flight,), full = flights, self._full_lines()
        if full is None or flight.run.line in full or self.wishes.next(Priority.VIEW) is not None:
            return None
        self._queue.remove(flight)
        self._begin(flight, now)
        return flight

    def leave(self, flights: Iterable[Flight], now: float) -> None:
        """Stop waiting; what nobody waits for any more is dropped, or given up where that pays."""
        for flight in flights:
            flight.waiters -= 1
            if flight.waiters == 0 and flight.began_at is None and flight in self._queue:
                self._queue.remove(flight)
                self._land(flight)
        self.give_up_what_nobody_wants(now)

    # sending

    def next_flight(self, now: float) -> Flight | None:
        """Begin the most important that may be sent; what somebody waits for and what somebody looks at take turns."""
        full = self._full_lines()
        if full is None:
            return None
        flight = self._next_of_any(now, full)
        if flight is not None:
            self._begin(flight, now)
        return flight

    def _next_of_any(self, now: float, full: Collection[Hashable]) -> Flight | None:
        queued = self._queue.first(full)
        if queued is None:
            return self._next_wish(now, lowest_priority(self.under_way, self._limit), full)
        flight = self._next_wish(now, Priority.VIEW, full) if self._is_views_turn else None
        self._is_views_turn = flight is None
        if flight is None:
            self._queue.remove(queued)
        return flight or queued

    def _next_wish(self, now: float, lowest: Priority, full: Collection[Hashable]) -> Flight | None:
        """The most important run that some picture wants and that may be sent, in turn among equals.

        A line that can't take what is most important of it holds up nobody who uses another one.
        """
        busy: set[Hashable] = set(full)
        while (found := self.wishes.next(lowest, busy)) is not None:
            priority, run = found
            if (queued := self._queued_of(run)) is not None:  # sent now: else it is lost once who waits for it leaves
                self._queue.remove(queued)
                self.wishes.serve(now)
                return queued
            keys = tuple(key for key in run.keys if key not in self.flights and key not in self._memory)
            if not keys:
                self.wishes.pop()
                continue
            line, size_bytes = self.line(run.line), run.wire_bytes * len(keys)
            on_line = [flight for flight in self.under_way if flight.is_on(run.line)]
            if priority >= Priority.AHEAD and not has_room_ahead(on_line, line, size_bytes):
                line.filled(now)
                busy.add(run.line)
                continue
            waits = Priority.FIRST_SIGHT < priority <= Priority.VIEW
            if waits and would_delay_first_sight(on_line, line, size_bytes):
                busy.add(run.line)
                continue
            self.wishes.pop(served_at=now)
            return self._register(run, keys, priority)
        return None

    def _queued_of(self, run: Run) -> Flight | None:
        """A flight that brings some of a run, and that somebody waits for who didn't have their turn yet."""
        flights = (self.flights.get(key) for key in run.keys)
        return next((flight for flight in flights if flight is not None and flight.began_at is None), None)

    def _full_lines(self) -> Collection[Hashable] | None:
        """The lines on which nothing may be sent now; None where nothing may on any."""
        if len(self.under_way) >= self.most_flights:
            return None
        on_lines = Counter(flight.run.line for flight in self.under_way if not flight.is_off_the_line)
        if on_lines.total() < self._limit:
            return ()
        return {line for line, count in on_lines.items() if count >= max(1, self._limit // _SHARE_OF_OTHERS)}

    def _register(self, run: Run, keys: tuple[Hashable, ...], priority: Priority | None = None) -> Flight:
        flight = Flight(run, keys, priority=priority, is_kept=run.is_kept)
        self.flights.update(dict.fromkeys(keys, flight))
        return flight

    def _begin(self, flight: Flight, now: float) -> None:
        flight.began_at = now
        flight.along = tuple(self._along(flight))
        self.flights.update(dict.fromkeys(flight.along, flight))
        self.under_way.add(flight)
        self.line(flight.run.line).began(now)

    def _along(self, flight: Flight) -> Iterator[Hashable]:
        """What a flight may bring for others, who then needn't send for it: what isn't here, nor under way."""
        if flight.run.along is None or flight.stop.is_set():  # what was given up while it was queued brings nothing
            return
        for key in itertools.chain.from_iterable(map(flight.run.along, flight.keys)):
            is_of_use = flight.is_kept or self.wishes.any_wants((key,))
            if is_of_use and key not in self.flights and key not in self._memory:
                yield key

    # ending

    def leave_the_line(self, flight: Flight, now: float, size_bytes: int) -> None:
        """Note that a flight's bytes have come, or 0 of them."""
        if not flight.is_off_the_line:
            flight.is_off_the_line = True
            self._lines[flight.run.line].ended(now, size_bytes, now - (flight.began_at or now))

    def finish(self, flight: Flight, blocks: Mapping[Hashable, Block] | None, now: float) -> None:
        """Put a flight's blocks into the cache, if it brought any."""
        is_kept = flight.is_kept or self.wishes.any_wants(flight.keys)
        for key, block in () if blocks is None or flight.is_stale else blocks.items():
            for_others = key in flight.along and (flight.is_joined or self.wishes.any_wants((key,)))
            if for_others or (is_kept and key not in flight.along):
                self._memory.put(key, block, owned_bytes(block))
        self.under_way.discard(flight)
        self.leave_the_line(flight, now, 0 if blocks is None else flight.size_bytes)
        self._land(flight)

    def give_up_what_nobody_wants(self, now: float) -> None:
        """Stop what is under way for nobody, where that frees the line for longer than a new connection takes."""
        for flight in self.under_way:
            is_needed = flight.waiters or self.wishes.any_wants(flight.all_keys)
            if is_needed or flight.is_off_the_line or flight.stop.is_set():
                continue
            line = self._lines[flight.run.line]
            if flight.began_at is not None and line.saves_by_hanging_up(now - flight.began_at, flight.size_bytes):
                self._give_up(flight)

    def hang_up(self, owner: Hashable) -> None:
        """Stop what is under way of an owner's keys, unless somebody wants it or waits."""
        for flight in self.under_way:
            if not flight.waiters and not self.wishes.any_wants(flight.all_keys) and _belongs_to(flight, owner):
                self._give_up(flight)

    def abandon(self, owner: Hashable) -> None:
        """Stop whatever is under way or queued of an owner's keys, unless others may wait for what comes along.

        Those who wait for what is stopped are told.
        """
        for flight in {*self.flights.values(), *self.under_way}:
            is_shared = flight.along and (flight.is_joined or self.wishes.any_wants(flight.along))
            if _belongs_to(flight, owner) and not is_shared:
                self._give_up(flight)

    def mark_stale(self, owner: Hashable, *, but: Flight | None = None) -> None:
        """Do not keep what is under way of an owner's keys, but for one flight, nor let anybody join it any more."""
        for flight in self.under_way:
            if flight is not but and _belongs_to(flight, owner):
                flight.is_stale = True
                self._land(flight)

    def _give_up(self, flight: Flight) -> None:
        flight.stop.set()
        self._land(flight)  # whoever wants it from now on sends for it anew

    def _land(self, flight: Flight) -> None:
        for key in flight.all_keys:
            if self.flights.get(key) is flight:
                del self.flights[key]


def _belongs_to(flight: Flight, owner: Hashable) -> bool:
    """Whether its keys are tuples which start with ``owner``."""
    key = flight.keys[0]
    return isinstance(key, tuple) and key[0] == owner
