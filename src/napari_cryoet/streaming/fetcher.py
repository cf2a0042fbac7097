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
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from napari_cryoet.errand import NO_THREADS_HINT
from napari_cryoet.exceptions import CryoETError, StreamError, WithheldError
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.shared import made_once
from napari_cryoet.streaming.cache import MemoryCache, shared_cache
from napari_cryoet.streaming.flights import Flight, Passenger, load_flight, next_of, out_of_memory, those_of
from napari_cryoet.streaming.leftovers import give_back
from napari_cryoet.streaming.right_of_way import RightOfWay
from napari_cryoet.streaming.traffic import Traffic
from napari_cryoet.streaming.wishes import Block, Planner, Priority, Run, Wanter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterable, Mapping

    from napari_cryoet.streaming.line import Line

__all__ = ["THREADS", "Block", "Fetcher", "Planner", "Priority", "Run", "Wanter", "shared_fetcher"]

THREADS = 16
_IDLE_S = 1.0
_BOARDED_AT_ONCE = 256
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
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Have no thread, and know of nobody who waits for or wants anything; see `forks`."""
        self._state = threading.Condition()
        self._traffic = Traffic(self.memory, self._limit)
        self._threads = self._idle = 0
        self._has_leftovers = False  # whether something came since memory was given back
        self._watched_until = math.inf  # when an idle thread will wake to ask, so that not all of them need to
        self._here = threading.local()  # whose ``flight`` is what a thread brings
        self._gone: SimpleQueue[Wanter] = SimpleQueue()

    def line(self, name: Hashable) -> Line:
        """What is known of the way to a server."""
        with self._state:
            return self._traffic.line(name)

    def off_the_line(self) -> None:
        """Note that the bytes for which this thread flies have come, and the line may carry others while it decodes.

        Where it isn't said, a flight counts as on the line until its end.
        """
        flight: Flight | None = getattr(self._here, "flight", None)
        if flight is None:
            return
        with self._state:
            self._traffic.leave_the_line(flight, self._clock(), flight.size_bytes)
            lacking = self._call_threads(most=1)
        self._start(lacking)

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
        passenger = Passenger()
        begun_before: set[Flight] = set()
        own: Flight | None = None
        runs = list(runs)
        wanted = {key for run in runs for key in run.keys}
        for first in range(0, len(runs), _BOARDED_AT_ONCE):  # a viewer may be waiting for the lock meanwhile
            with self._state:
                portion = runs[first : first + _BOARDED_AT_ONCE]
                boarded = self._traffic.board(portion, blocks, passenger)
                begun_before.update(flight for flight in boarded if flight.began_at is not None)
                del boarded  # for what is said of flights below
                if stop is None and len(runs) <= _BOARDED_AT_ONCE:
                    own = self._traffic.take_own(list(passenger.flights), self._clock())
                lacking = self._call_threads()
            self._start(lacking)
        flights = {flight.future: flight for flight in passenger.flights}
        del passenger  # a flight holds what it brought, which is gone once whoever takes it is done with it
        landed: SimpleQueue[Future[dict[Hashable, Block]]] = SimpleQueue()
        try:
            if own is not None:
                self._fly_here(own)
            elif not self._threads and any(flight.began_at is None for flight in flights.values()):
                raise StreamError("No thread can be started to read with.", hint=NO_THREADS_HINT)
            for future in flights:
                future.add_done_callback(landed.put)
            yield blocks
            blocks, own = {}, None
            while flights:
                future = next_of(landed, stop)
                flight = flights.pop(future)
                self._leave([flight])
                was_begun = flight in begun_before
                begun_before.discard(flight)
                if was_begun and isinstance(future.exception(), WithheldError):
                    yield from self.arriving(those_of(runs, flight), stop=stop)  # it may be allowed by now
                else:
                    yield {key: block for key, block in future.result().items() if key in wanted}
        finally:
            self._leave(list(flights.values()))

    def want(
        self, wanter: Wanter, runs: Iterable[tuple[Priority, Run]], *, under_way: Iterable[tuple[Priority, Run]] = ()
    ) -> None:
        """Replace what a picture wants, most important first; whatever else was not sent is dropped.

        What is ``under_way`` and named there is not given up.
        """
        with self._state:
            self._traffic.wishes.set(wanter, runs, under_way)
            self._traffic.give_up_what_nobody_wants(self._clock())
            lacking = self._call_threads()
        self._start(lacking)

    def ask(self, planner: Planner, *, after_s: float, is_outdated: bool = True) -> None:
        """Have a picture asked what it wants, by a thread of the fetcher, so much later.

        With ``is_outdated``, what it wanted until then is not sent any more, and asking again puts it off.
        """
        with self._state:
            self._traffic.wishes.ask(planner, self._clock() + after_s, is_outdated=is_outdated)
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
            self._traffic.wishes.drop(self._gone.get())
            is_any_gone = True
        if is_any_gone:
            self._traffic.give_up_what_nobody_wants(self._clock())

    def hang_up(self, wanter: Wanter, owner: Hashable) -> None:
        """Drop what a picture wants, and stop what is under way of its owner's keys, unless others want it or wait."""
        with self._state:
            self._traffic.wishes.clear(wanter)
            self._traffic.hang_up(owner)

    def abandon(self, owner: Hashable) -> None:
        """Stop whatever is under way or queued for keys that are tuples which start with ``owner``."""
        with self._state:
            self._traffic.abandon(owner)

    def drop(self, owner: Hashable) -> None:
        """Forget all of an owner, whose keys are tuples that start with it, and do not keep what of it is under way.

        What this thread itself brings is kept: whoever calls this meanwhile reads it anew.
        """
        own: Flight | None = getattr(self._here, "flight", None)
        with self._state:
            self.memory.forget_if(lambda key: isinstance(key, tuple) and key[0] == owner)
            self._traffic.mark_stale(owner, but=own)

    def _leave(self, flights: Iterable[Flight]) -> None:
        with self._state:
            self._traffic.leave(flights, self._clock())

    def _call_threads(self, most: int = _ALL) -> int:
        """Wake a thread, which wakes another if there is more to do; how many are to be started once nobody is held up.

        Starting one takes milliseconds where others are busy, and a viewer may be waiting for the lock meanwhile.
        """
        room = self._traffic.most_flights + 1 - self._threads  # one more plans while others wait
        lacking = min(self._traffic.work - self._idle, room, most)
        lacking = max(0, lacking)
        self._threads += lacking
        self._state.notify()
        return lacking

    def _start(self, count: int) -> None:
        for number in range(count):
            try:
                threading.Thread(target=self._serve, name="napari-cryoet-fetch", daemon=True).start()
            except RuntimeError:  # the system has no more to give; those that there are do the work
                with self._state:
                    self._threads -= count - number
                return

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
                    self._call_if_alone()
            del work  # what it brought would stay in memory while there is nothing to do
        with self._state:
            gives_back = self._has_leftovers and not self._threads  # nobody else is at work
            self._has_leftovers &= not gives_back
        if gives_back:
            give_back()

    def _fly(self, flight: Flight) -> None:
        result: dict[Hashable, Block] | CryoETError = StreamError(_UNEXPECTED)
        self._here.flight = flight
        try:
            result = load_flight(flight)
        except CryoETError as error:
            result = error
        except MemoryError:
            result = out_of_memory(flight.run)
        finally:  # also for what nobody foresaw: those who wait must not wait for ever
            self._here.flight = None
            self._finish(flight, result)

    def _fly_here(self, flight: Flight) -> None:
        try:
            self._fly(flight)
        except Exception as error:
            raise StreamError(_UNEXPECTED) from error
        finally:
            self._call_if_alone()

    def _call_if_alone(self) -> None:
        """Have a thread look for what there is to do, where no other one is left to: those that rest end after a while.

        They do so also while something waits that could not be sent beside what is under way.
        """
        with self._state:
            lacking = 0 if self._threads else self._call_threads(most=1)
        self._start(lacking)

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
                    ask_at = self._traffic.wishes.next_time()
                    if self._idle or math.isinf(ask_at):
                        self._threads -= 1
                        self._state.notify()
                        return None
                    idle_until = ask_at  # with this thread gone, nobody would ask
                self._rest(now, idle_until)

    def _next_work(self, now: float) -> Callable[[], None] | None:
        planner = self._traffic.wishes.next_to_ask(now)
        if planner is not None:
            return partial(self._hear, planner)
        flight = self._traffic.next_flight(now)
        return None if flight is None else partial(self._fly, flight)

    def _hear(self, planner: Planner) -> None:
        """Let a picture say what it wants."""
        try:
            planner.plan()
        finally:
            with self._state:
                self._traffic.wishes.has_answered(planner)

    def _rest(self, now: float, until: float) -> None:
        """Sleep until something changes; who would be the first to be needed also watches the time."""
        ask_at = self._traffic.wishes.next_time()
        if ask_at < self._watched_until:
            self._watched_until = ask_at
            until = min(until, ask_at)
        self._idle += 1
        self._state.wait(max(0.0, until - now))
        self._idle -= 1
        if self._watched_until == ask_at:
            self._watched_until = math.inf

    def _finish(self, flight: Flight, result: dict[Hashable, Block] | CryoETError) -> None:
        """Put blocks into the cache, or say what went wrong, to all whom it concerns."""
        with self._state:
            self._traffic.finish(flight, result if isinstance(result, dict) else None, self._clock())
            self._forget_the_gone()
            wanters = self._traffic.wishes.wanters()
            is_handed_over = flight.is_handed_over
            self._has_leftovers = True
            self._state.notify()
        if isinstance(result, dict):
            flight.future.set_result(result if is_handed_over else {})
            for wanter in wanters:
                wanter.blocks_arrived(flight.all_keys)
        else:
            flight.future.set_exception(result)
            for wanter in wanters:
                wanter.blocks_failed(flight.all_keys, result)


@made_once
def shared_fetcher() -> Fetcher:
    """The fetcher that all pyramids of this process share, so that they share its requests fairly."""
    return Fetcher(shared_cache())
