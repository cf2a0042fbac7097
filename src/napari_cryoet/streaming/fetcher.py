"""Who fetches what when: a bounded number of requests in flight, nothing fetched twice, what is looked at first.

Two kinds of callers share the threads. Whoever needs exact values *fetches*: waits, and comes first. A picture
*wants*: says what it would like next in order of importance, as often as that changes, and is told what arrives; what
it no longer wants and was not sent yet is never sent. Threads start when there is work and end when there is none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from napari_cryoet.exceptions import CryoETError, StoppedError, StreamError
from napari_cryoet.streaming.cache import MemoryCache, shared_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

Block = npt.NDArray[np.generic]

THREADS = 16
_IDLE_S = 1.0
_STOP_POLL_S = 0.05


class Priority(IntEnum):
    """Why a picture wants a block; smaller comes first."""

    FIRST_SIGHT = 0
    VIEW = 1
    AHEAD = 2
    BACKGROUND = 3


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Blocks that are best fetched together.

    Attributes
    ----------
    keys
        One for each block, unique in the process.
    load
        Reads some of these blocks, blocking.
    """

    keys: tuple[Hashable, ...]
    load: Callable[[tuple[Hashable, ...]], dict[Hashable, Block]]


class Wanter(Protocol):
    """Someone who wants blocks and is told, on any thread, what became of them."""

    def blocks_arrived(self, keys: Sequence[Hashable]) -> None:
        """These blocks are in the cache now."""

    def blocks_failed(self, keys: Sequence[Hashable], error: CryoETError) -> None:
        """These blocks could not be had."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A run that is queued by someone who waits, or under way."""

    run: Run
    keys: tuple[Hashable, ...]
    future: Future[dict[Hashable, Block]] = field(default_factory=Future)
    waiters: int = 0
    priority: Priority | None = None  # None where somebody waits
    has_begun: bool = False
    is_stale: bool = False

    @property
    def is_ahead(self) -> bool:
        """Whether nobody looks at it yet."""
        return self.priority is not None and self.priority >= Priority.AHEAD

    @property
    def is_view(self) -> bool:
        """Whether somebody looks at where it belongs."""
        return self.priority is not None and self.priority < Priority.AHEAD


@dataclass(slots=True)
class _Wish:
    """What one picture wants, most important first, not before a time."""

    ready_at: float
    runs: deque[tuple[Priority, Run]]
    served_at: float = 0.0


class Fetcher:
    """Threads that fetch blocks into a cache.

    Parameters
    ----------
    memory
        Where blocks go.
    threads
        How many requests are in flight at most; for what nobody looks at yet half of them at most; for the
        background a quarter, and none while something that is looked at is under way.
    """

    def __init__(self, memory: MemoryCache[object], *, threads: int = THREADS) -> None:
        self.memory = memory
        self._limit = threads
        self._state = threading.Condition()
        self._queue: deque[_Flight] = deque()
        self._wishes: dict[Wanter, _Wish] = {}
        self._flights: dict[Hashable, _Flight] = {}
        self._threads = self._idle = self._ahead = self._in_view = 0

    def fetch(self, runs: Iterable[Run], *, stop: threading.Event | None = None) -> dict[Hashable, Block]:
        """Get all blocks of some runs, from the cache or by waiting for them.

        Raises
        ------
        CryoETError
            The first that any of the runs met.
        StoppedError
            When ``stop`` is set; what others wait for goes on.
        """
        blocks: dict[Hashable, Block] = {}
        with self._state:
            flights = {flight for run in runs for flight in self._board(run, blocks)}
            for flight in flights:
                flight.waiters += 1
            self._call_threads()
        try:
            self._wait_for(flights, stop)
            for flight in flights:
                blocks.update(flight.future.result())
        finally:
            self._leave(flights)
        return blocks

    def want(self, wanter: Wanter, runs: Iterable[tuple[Priority, Run]], *, delay_s: float = 0.0) -> None:
        """Replace what a picture wants; whatever it wanted before and was not sent is dropped.

        Parameters
        ----------
        wanter
            Who wants.
        runs
            What, most important first.
        delay_s
            How long to wait before anything is sent, in case the wish changes again.
        """
        with self._state:
            earlier = self._wishes.get(wanter)
            served_at = earlier.served_at if earlier else 0.0
            self._wishes[wanter] = _Wish(time.monotonic() + delay_s, deque(runs), served_at)
            self._call_threads()

    def forget(self, wanter: Wanter) -> None:
        """Drop what a picture wants, and tell it nothing any more."""
        with self._state:
            self._wishes.pop(wanter, None)

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forget blocks that are out of date, and do not keep what comes of them by what is under way."""
        with self._state:
            for key in keys:
                self.memory.forget(key)
                flight = self._flights.get(key)
                if flight is not None and flight.has_begun:
                    flight.is_stale = True

    def _board(self, run: Run, blocks: dict[Hashable, Block]) -> set[_Flight]:
        """Take from the cache what is there; the flights that bring the rest, among them a new one if need be."""
        flights: set[_Flight] = set()
        missing = []
        for key in run.keys:
            block = self.memory.get(key)
            if isinstance(block, np.ndarray):
                blocks[key] = block
            elif key in self._flights:
                flights.add(self._flights[key])
            else:
                missing.append(key)
        if missing:
            flight = self._register(run, tuple(missing))
            self._queue.append(flight)
            flights.add(flight)
        return flights

    def _register(self, run: Run, keys: tuple[Hashable, ...]) -> _Flight:
        flight = _Flight(run, keys)
        self._flights.update(dict.fromkeys(keys, flight))
        return flight

    def _wait_for(self, flights: set[_Flight], stop: threading.Event | None) -> None:
        pending = {flight.future for flight in flights}
        while pending:
            if stop is not None and stop.is_set():
                raise StoppedError
            done, pending = wait(pending, None if stop is None else _STOP_POLL_S, FIRST_EXCEPTION)
            for future in done:
                future.result()

    def _leave(self, flights: set[_Flight]) -> None:
        """Stop waiting; what nobody waits for any more and was not sent is dropped."""
        with self._state:
            for flight in flights:
                flight.waiters -= 1
                if flight.waiters == 0 and flight in self._queue:
                    self._queue.remove(flight)
                    self._land(flight)

    def _call_threads(self) -> None:
        """Wake as many threads as there is work for, or start them."""
        work = len(self._queue) + sum(len(wish.runs) for wish in self._wishes.values())
        for _ in range(min(work - self._idle, self._limit - self._threads)):
            self._threads += 1
            threading.Thread(target=self._serve, name="napari-cryoet-fetch", daemon=True).start()
        self._state.notify_all()

    def _serve(self) -> None:
        """Fetch whatever is most urgent until there has been nothing to do for a while."""
        while (flight := self._take()) is not None:
            flight.has_begun = True
            result: dict[Hashable, Block] | CryoETError = StreamError("Reading failed in an unexpected way.")
            is_sound = False
            try:
                result = flight.run.load(flight.keys)
                is_sound = True
            except CryoETError as error:
                result = error
                is_sound = True
            finally:  # also for what nobody foresaw: those who wait must not wait for ever
                self._finish(flight, result, is_leaving=not is_sound)

    def _take(self) -> _Flight | None:
        idle_until = time.monotonic() + _IDLE_S
        with self._state:
            while True:
                now = time.monotonic()
                if self._queue:
                    return self._queue.popleft()
                flight = self._next_wish(now)
                if flight is not None:
                    return flight
                if now >= idle_until:
                    self._threads -= 1
                    return None
                starts = [wish.ready_at for wish in self._wishes.values() if wish.runs and wish.ready_at > now]
                self._idle += 1
                self._state.wait(max(0.0, min([idle_until, *starts]) - now))
                self._idle -= 1

    def _next_wish(self, now: float) -> _Flight | None:
        """The most important run that some picture wants, in turn among equals."""
        lowest = Priority.BACKGROUND
        if self._ahead >= self._limit // 2:
            lowest = Priority.VIEW
        elif self._in_view or self._ahead >= self._limit // 4:
            lowest = Priority.AHEAD  # the background would share the line with what is looked at, and delay it
        while True:
            ready = [
                wish
                for wish in self._wishes.values()
                if wish.runs and wish.ready_at <= now and wish.runs[0][0] <= lowest
            ]
            if not ready:
                return None
            wish = min(ready, key=lambda wish: (wish.runs[0][0], wish.served_at))
            priority, run = wish.runs.popleft()
            keys = tuple(key for key in run.keys if key not in self._flights and key not in self.memory)
            if keys:
                wish.served_at = now
                flight = self._register(run, keys)
                flight.priority = priority
                self._ahead += flight.is_ahead
                self._in_view += flight.is_view
                return flight

    def _finish(self, flight: _Flight, result: dict[Hashable, Block] | CryoETError, *, is_leaving: bool) -> None:
        """Put blocks into the cache, or say what went wrong, to all whom it concerns."""
        with self._state:
            if isinstance(result, dict) and not flight.is_stale:
                for key, block in result.items():
                    self.memory.put(key, block, _owned_bytes(block))
            self._threads -= is_leaving
            self._ahead -= flight.is_ahead
            self._in_view -= flight.is_view
            self._land(flight)
            wanters = list(self._wishes)
            self._state.notify_all()
        if isinstance(result, dict):
            flight.future.set_result(result)
            for wanter in wanters:
                wanter.blocks_arrived(flight.keys)
        else:
            flight.future.set_exception(result)
            for wanter in wanters:
                wanter.blocks_failed(flight.keys, result)

    def _land(self, flight: _Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _owned_bytes(block: Block) -> int:
    """What an array keeps in memory: nothing of its own where one value stands for all."""
    return block.nbytes if any(block.strides) else 0


@cache
def shared_fetcher() -> Fetcher:
    """The fetcher that all pyramids of this process share, so that they share its requests fairly."""
    return Fetcher(shared_cache())
