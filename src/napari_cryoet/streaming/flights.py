"""Runs of blocks on their way: who waits for them, since when they are under way, and what ends them."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import StoppedError, StreamError
from napari_cryoet.files import file_at
from napari_cryoet.streaming.wishes import Block, Priority, Run

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

_STOP_POLL_S = 0.05
_MOST_TRIES = 3  # of a run that somebody else's stop ended
_numbers = itertools.count()


@dataclass(slots=True, eq=False)
class Flight:
    """A run that is queued by someone who waits, or under way."""

    run: Run
    keys: tuple[Hashable, ...]
    priority: Priority | None = None  # None where somebody waits
    along: tuple[Hashable, ...] = ()  # what it brings for others beside its keys
    future: Future[dict[Hashable, Block]] = field(default_factory=Future)
    stop: threading.Event = field(default_factory=threading.Event)
    waiters: int = 0
    began_at: float | None = None  # None where it is queued
    is_off_the_line: bool = False  # its bytes have come, and are only to be decoded
    is_stale: bool = False  # what comes of it is out of date
    is_kept: bool = True  # in memory, also where no picture wants it
    is_joined: bool = False  # by who waits for it, too, and didn't send it

    @property
    def all_keys(self) -> tuple[Hashable, ...]:
        """What it was sent for, and what comes along."""
        return self.keys + self.along

    @property
    def size_bytes(self) -> int:
        """How much it brings over the line."""
        return self.run.wire_bytes * len(self.keys)

    @property
    def is_handed_over(self) -> bool:
        """Whether who waits is given what it brings: it would stay in memory until they come round to take it."""
        return self.is_joined or not self.run.is_placed

    @property
    def is_ahead(self) -> bool:
        """Whether nobody looks at it yet."""
        return self.priority is not None and self.priority >= Priority.AHEAD

    def is_on(self, line: Hashable) -> bool:
        """Whether a line is busy with it."""
        return self.run.line == line and not self.is_off_the_line

    @property
    def is_view(self) -> bool:
        """Whether somebody looks at where it belongs."""
        return self.priority is not None and self.priority < Priority.AHEAD


@dataclass(slots=True, eq=False)
class Passenger:
    """Somebody who waits for blocks.

    Attributes
    ----------
    number
        What tells them from all others, for ever: what stands in a line may outlive them, and an `id` is used again.
    flights
        What they have waited for, or still do.
    """

    number: int = field(default_factory=lambda: next(_numbers))
    flights: dict[Flight, None] = field(default_factory=dict)


def next_of(
    landed: SimpleQueue[Future[dict[Hashable, Block]]], stop: threading.Event | None
) -> Future[dict[Hashable, Block]]:
    """Wait for the next that comes in, or for the stop."""
    while stop is None or not stop.is_set():
        with suppress(Empty):
            return landed.get(timeout=None if stop is None else _STOP_POLL_S)
    raise StoppedError


def load_flight(flight: Flight) -> dict[Hashable, Block]:
    """Load a run; once more where the stop of another that it shares something with has ended it."""
    for _ in range(_MOST_TRIES - 1):
        try:
            return flight.run.load(flight.all_keys, flight.stop)
        except StoppedError:
            if flight.stop.is_set():
                raise
    return flight.run.load(flight.all_keys, flight.stop)


def out_of_memory(run: Run) -> StreamError:
    """What to tell of a run where memory ran out; not raised from that, whose frames would keep what fills it."""
    of = f" of {file_at(run.url)}" if run.url else ""
    hint = "Close other programs, or layers that aren't needed, then try again."
    return StreamError(f"There isn't enough memory for what is read{of}.", hint=hint)


def those_of(runs: Iterable[Run], flight: Flight) -> list[Run]:
    """What a flight should have brought of some runs."""
    keys = set(flight.all_keys)
    parts = ((run, tuple(key for key in run.keys if key in keys)) for run in runs)
    return [replace(run, keys=mine) for run, mine in parts if mine]
