"""Who fetches what when: a bounded number of requests in flight, nothing fetched twice, what is looked at first.

Two kinds of callers share the threads. Whoever needs exact values *fetches*: waits, and comes first. A picture
*wants*: says what it would like next in order of importance, as often as that changes, and is told what arrives; what
it no longer wants and was not sent yet is never sent, and what is under way is given up where that frees the line for
longer than a new connection takes. Threads start when there is work and end when there is none.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from functools import cache, partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.exceptions import CryoETError, StreamError
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.streaming.admission import has_room_ahead, lowest_priority, would_delay_first_sight
from napari_cryoet.streaming.cache import MemoryCache, shared_cache
from napari_cryoet.streaming.flights import Flight, load_flight, next_of
from napari_cryoet.streaming.line import Line
from napari_cryoet.streaming.right_of_way import RightOfWay
from napari_cryoet.streaming.wishes import Block, Planner, Priority, Run, Wanter, Wishes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterable, Mapping

__all__ = ["THREADS", "Block", "Fetcher", "Planner", "Priority", "Run", "Wanter", "shared_fetcher"]

THREADS = 16
_IDLE_S = 1.0
_ALL = 1024
_UNEXPECTED = "Reading failed in an unexpected way."


class Fetcher:
    """Threads that fetch blocks into a cache.

    Parameters
    ----------
    memory
        Where blocks go.
    threads
        How many requests are in flight at most, while half as many more are decoded; for what nobody looks at yet three
        quarters of them at most, and no more than the line can carry besides what is looked at; for the background half
        of them, and none while something that is looked at is under way.
    clock
        Tells the time in seconds.

    Attributes
    ----------
    right_of_way
        For who draws what is fetched.
    """

    def __init__(
        self, memory: MemoryCache[object], *, threads: int = THREADS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.memory = memory
        self.right_of_way = RightOfWay()
        self._limit, self._clock = threads, clock
        self._lines: dict[Hashable, Line] = {}
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Have no thread, and know of nobody who waits for or wants anything; see `forks`."""
        self._state = threading.Condition()
        self._queue: deque[Flight] = deque()
        self._wishes = Wishes()
        self._flights: dict[Hashable, Flight] = {}
        self._under_way: set[Flight] = set()
        self._threads = self._idle = 0
        self._watched_until = math.inf  # when an idle thread will wake to ask, so that not all of them need to
        self._is_views_turn = False
        self._here = threading.local()  # whose ``flight`` is what a thread brings
        self._gone: SimpleQueue[Wanter] = SimpleQueue()

    def line(self, name: Hashable) -> Line:
        """What is known of the way to a server."""
        with self._state:
            return self._line(name)

    def _line(self, name: Hashable) -> Line:
        if name not in self._lines:
            self._lines[name] = Line(self._limit)
        return self._lines[name]

    def off_the_line(self) -> None:
        """Note that the bytes for which this thread flies have come, and the line may carry others while it decodes.

        Where it isn't said, a flight counts as on the line until its end.
        """
        flight: Flight | None = getattr(self._here, "flight", None)
        if flight is None:
            return
        with self._state:
            self._leave_the_line(flight, self._clock(), flight.size_bytes)
            lacking = self._call_threads(most=1)
        self._start(lacking)

    def _leave_the_line(self, flight: Flight, now: float, size_bytes: int) -> None:
        if not flight.is_off_the_line:
            flight.is_off_the_line = True
            self._lines[flight.run.line].ended(now, size_bytes, now - (flight.began_at or now))

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
        for part in self.arriving(runs, stop=stop):
            blocks.update(part)
        return blocks

    def arriving(
        self, runs: Iterable[Run], *, stop: threading.Event | None = None
    ) -> Generator[Mapping[Hashable, Block]]:
        """Get all blocks of some runs as `fetch` does, part by part as they come, so that not all need be in memory."""
        blocks: dict[Hashable, Block] = {}
        with self._state:
            flights = {flight.future: flight for run in runs for flight in self._board(run, blocks)}
            for flight in flights.values():
                flight.waiters += 1
            own = self._own_flight(list(flights.values())) if stop is None else None
            lacking = self._call_threads()
        self._start(lacking)
        landed: SimpleQueue[Future[dict[Hashable, Block]]] = SimpleQueue()
        try:
            if own is not None:
                self._fly_here(own)
            for future in flights:
                future.add_done_callback(landed.put)
            yield blocks
            while flights:
                future = next_of(landed, stop)
                self._leave([flights.pop(future)])
                yield future.result()
        finally:
            self._leave(list(flights.values()))

    def want(
        self, wanter: Wanter, runs: Iterable[tuple[Priority, Run]], *, under_way: Iterable[tuple[Priority, Run]] = ()
    ) -> None:
        """Replace what a picture wants, most important first; whatever else was not sent is dropped.

        What is ``under_way`` and named there is not given up.
        """
        with self._state:
            self._wishes.set(wanter, runs, under_way)
            self._give_up_what_nobody_wants(self._clock())
            lacking = self._call_threads()
        self._start(lacking)

    def ask(self, planner: Planner, *, after_s: float, is_outdated: bool = True) -> None:
        """Have a picture asked what it wants, by a thread of the fetcher, so much later.

        With ``is_outdated``, what it wanted until then is not sent any more, and asking again puts it off.
        """
        with self._state:
            self._wishes.ask(planner, self._clock() + after_s, is_outdated=is_outdated)
            lacking = self._call_threads(most=1)  # which will start others for what it finds to do
        self._start(lacking)

    def forget(self, wanter: Wanter) -> None:
        """Drop what a picture wants, and tell it nothing any more."""
        self.forget_soon(wanter)
        with self._state:
            self._forget_the_gone()

    def forget_soon(self, wanter: Wanter) -> None:
        """As `forget`, at the latest before anything more is sent; takes no lock, so a garbage collector may call it.

        It may run in the middle of anything, also of what holds the fetcher's lock on the same thread.
        """
        self._gone.put(wanter)

    def _forget_the_gone(self) -> None:
        is_any_gone = False
        while not self._gone.empty():
            self._wishes.drop(self._gone.get())
            is_any_gone = True
        if is_any_gone:
            self._give_up_what_nobody_wants(self._clock())

    def hang_up(self, wanter: Wanter, owner: Hashable) -> None:
        """Drop what a picture wants, and stop what is under way of its owner's keys, unless others want it or wait."""
        with self._state:
            self._wishes.set(wanter, ())
            for flight in self._under_way:
                if flight.waiters or self._wishes.any_wants(flight.keys) or not _belongs_to(flight, owner):
                    continue
                flight.stop.set()
                self._land(flight)  # whoever wants it from now on sends for it anew

    def abandon(self, owner: Hashable) -> None:
        """Stop whatever is under way or queued for keys that are tuples which start with ``owner``."""
        with self._state:
            for flight in {*self._flights.values(), *self._under_way}:
                if _belongs_to(flight, owner):
                    flight.stop.set()

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forget blocks that are out of date and parts of them, and do not keep what of them is under way."""
        dropped = set(keys)

        def is_out(key: Hashable) -> bool:
            return key in dropped or (isinstance(key, tuple) and key[:3] in dropped)

        with self._state:
            self.memory.forget_if(is_out)
            for flight in self._under_way:
                flight.is_stale |= any(is_out(key) for key in flight.keys)

    def _board(self, run: Run, blocks: dict[Hashable, Block]) -> set[Flight]:
        """Take from the cache what is there; the flights that bring the rest, among them a new one if need be."""
        flights: set[Flight] = set()
        missing = []
        for key in run.keys:
            block = self.memory.get(key)
            if isinstance(block, np.ndarray):
                blocks[key] = block
            elif key in self._flights:
                self._flights[key].is_kept |= run.is_kept
                flights.add(self._flights[key])
            else:
                missing.append(key)
        if missing:
            flight = self._register(run, tuple(missing))
            self._queue.append(flight)
            flights.add(flight)
        return flights

    def _register(self, run: Run, keys: tuple[Hashable, ...], priority: Priority | None = None) -> Flight:
        flight = Flight(run, keys, priority, is_kept=run.is_kept)
        self._flights.update(dict.fromkeys(keys, flight))
        return flight

    def _own_flight(self, flights: list[Flight]) -> Flight | None:
        """What the caller waits for as the only thing and may do itself, which saves waking another thread for it."""
        is_free = self._may_send() and self._wishes.next(Priority.VIEW) is None
        if len(flights) != 1 or not is_free or not self._queue or self._queue[-1] is not flights[0]:
            return None
        flight = self._queue.pop()
        self._begin(flight, self._clock())
        return flight

    def _leave(self, flights: list[Flight]) -> None:
        """Stop waiting; what nobody waits for any more is dropped, or given up where that pays."""
        with self._state:
            for flight in flights:
                flight.waiters -= 1
                if flight.waiters == 0 and flight in self._queue:
                    self._queue.remove(flight)
                    self._land(flight)
            self._give_up_what_nobody_wants(self._clock())

    def _give_up_what_nobody_wants(self, now: float) -> None:
        for flight in self._under_way:
            is_needed = flight.waiters or self._wishes.any_wants(flight.keys)
            if is_needed or flight.is_off_the_line or flight.stop.is_set():
                continue
            line = self._lines[flight.run.line]
            if flight.began_at is not None and line.saves_by_hanging_up(now - flight.began_at, flight.size_bytes):
                flight.stop.set()
                self._land(flight)  # whoever wants it from now on sends for it anew

    def _call_threads(self, most: int = _ALL) -> int:
        """Wake a thread, which wakes another if there is more to do; how many are to be started once nobody is held up.

        Starting one takes milliseconds where others are busy, and a viewer may be waiting for the lock meanwhile.
        """
        work = len(self._queue) + self._wishes.count()
        room = self._most_flights() + 1 - self._threads  # one more plans while others wait
        lacking = min(work - self._idle, room, most)
        lacking = max(0, lacking)
        self._threads += lacking
        self._state.notify()
        return lacking

    def _start(self, count: int) -> None:
        for _ in range(count):
            threading.Thread(target=self._serve, name="napari-cryoet-fetch", daemon=True).start()

    def _serve(self) -> None:
        """Do whatever is most urgent until there has been nothing to do for a while."""
        while (work := self._take()) is not None:
            is_sound = False
            try:
                work()
                is_sound = True
            finally:
                if not is_sound:
                    with self._state:
                        self._threads -= 1

    def _fly(self, flight: Flight) -> None:
        result: dict[Hashable, Block] | CryoETError = StreamError(_UNEXPECTED)
        self._here.flight = flight
        try:
            result = load_flight(flight)
        except CryoETError as error:
            result = error
        finally:  # also for what nobody foresaw: those who wait must not wait for ever
            self._here.flight = None
            self._finish(flight, result)

    def _fly_here(self, flight: Flight) -> None:
        try:
            self._fly(flight)
        except Exception as error:
            raise StreamError(_UNEXPECTED) from error

    def _take(self) -> Callable[[], None] | None:
        """The next thing to do; None once there has been nothing for a while. Whoever leaves the idle wakes another."""
        idle_until = self._clock() + _IDLE_S
        with self._state:
            while True:
                now = self._clock()
                self._forget_the_gone()
                work = self._next_work(now)
                if work is not None:
                    self._state.notify()
                    return work
                if now >= idle_until:
                    ask_at = self._wishes.next_time()
                    if self._idle or math.isinf(ask_at):
                        self._threads -= 1
                        self._state.notify()
                        return None
                    idle_until = ask_at  # with this thread gone, nobody would ask
                self._rest(now, idle_until)

    def _next_work(self, now: float) -> Callable[[], None] | None:
        planner = self._wishes.next_to_ask(now)
        if planner is not None:
            return planner.plan
        flight = self._next_flight(now) if self._may_send() else None
        if flight is None:
            return None
        self._begin(flight, now)
        return partial(self._fly, flight)

    def _may_send(self) -> bool:
        on_lines = sum(not flight.is_off_the_line for flight in self._under_way)
        return on_lines < self._limit and len(self._under_way) < self._most_flights()

    def _most_flights(self) -> int:
        """How many are on a line or decoded, at most: what has come may wait for a window that draws, the line not."""
        return self._limit + self._limit // 2

    def _begin(self, flight: Flight, now: float) -> None:
        flight.began_at = now
        self._under_way.add(flight)
        self._line(flight.run.line).began(now)

    def _rest(self, now: float, until: float) -> None:
        """Sleep until something changes; who would be the first to be needed also watches the time."""
        ask_at = self._wishes.next_time()
        if ask_at < self._watched_until:
            self._watched_until = ask_at
            until = min(until, ask_at)
        self._idle += 1
        self._state.wait(max(0.0, until - now))
        self._idle -= 1
        if self._watched_until == ask_at:
            self._watched_until = math.inf

    def _next_flight(self, now: float) -> Flight | None:
        """What somebody waits for before what somebody wants; in turn where both are urgent."""
        if not self._queue:
            return self._next_wish(now, lowest_priority(self._under_way, self._limit))
        flight = self._next_wish(now, Priority.VIEW) if self._is_views_turn else None
        self._is_views_turn = flight is None
        return flight or self._queue.popleft()

    def _next_wish(self, now: float, lowest: Priority) -> Flight | None:
        """The most important run that some picture wants and that may be sent, in turn among equals."""
        while (found := self._wishes.next(lowest)) is not None:
            priority, run = found
            keys = tuple(key for key in run.keys if key not in self._flights and key not in self.memory)
            if not keys:
                self._wishes.pop()
                continue
            line, size_bytes = self._line(run.line), run.wire_bytes * len(keys)
            on_line = [flight for flight in self._under_way if flight.is_on(run.line)]
            if priority >= Priority.AHEAD and not has_room_ahead(on_line, line, size_bytes):
                line.filled(now)
                return None
            if priority == Priority.VIEW and would_delay_first_sight(on_line, line, size_bytes):
                return None
            self._wishes.pop(served_at=now)
            return self._register(run, keys, priority)
        return None

    def _finish(self, flight: Flight, result: dict[Hashable, Block] | CryoETError) -> None:
        """Put blocks into the cache, or say what went wrong, to all whom it concerns."""
        with self._state:
            now = self._clock()
            is_kept = flight.is_kept or self._wishes.any_wants(flight.keys)
            if isinstance(result, dict) and not flight.is_stale and is_kept:
                for key, block in result.items():
                    self.memory.put(key, block, _owned_bytes(block))
            self._under_way.discard(flight)
            self._leave_the_line(flight, now, flight.size_bytes if isinstance(result, dict) else 0)
            self._land(flight)
            self._forget_the_gone()
            wanters = self._wishes.wanters()
            self._state.notify()
        if isinstance(result, dict):
            flight.future.set_result(result)
            for wanter in wanters:
                wanter.blocks_arrived(flight.keys)
        else:
            flight.future.set_exception(result)
            for wanter in wanters:
                wanter.blocks_failed(flight.keys, result)

    def _land(self, flight: Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _belongs_to(flight: Flight, owner: Hashable) -> bool:
    """Whether its keys are tuples which start with ``owner``."""
    key = flight.keys[0]
    return isinstance(key, tuple) and key[0] == owner


def _owned_bytes(block: Block) -> int:
    """What an array keeps in memory: nothing of its own where one value stands for all."""
    return block.nbytes if any(block.strides) else 0


@cache
def shared_fetcher() -> Fetcher:
    """The fetcher that all pyramids of this process share, so that they share its requests fairly."""
    return Fetcher(shared_cache())
