"""The scheduler: fetches blocks into memory with a bounded number of requests, visible blocks first.

All state lives on the loop thread of `network.client`; other threads hand their requests over to
it. Two kinds of callers share the bandwidth of a server. Readers wait for exact values. Displays
replace their list of wanted blocks, most important first, whenever the view changes. Requests
already in flight are shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol
from weakref import finalize

from napari_cryoet.exceptions import (
    ChangedError,
    CryoETError,
    FormatError,
    StoppedError,
    StreamError,
)
from napari_cryoet.network import client
from napari_cryoet.streaming.grid import BlockIndex, PlanePosition, box_slices, cut_box
from napari_cryoet.streaming.memory import Key, MemoryCache, default_limit_bytes, owned_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_cryoet.streaming.chunks import Block, Chunks
    from napari_cryoet.streaming.image import SharedImage

    PlaceBlocks = Callable[[dict[BlockIndex, Block]], None]

_RUN_BYTES = 4 * 2**20  # decoded bytes in one request of a reader

#: How many requests may be transferring from one server: a quarter more if they are urgent, and
#: half as many again in all may be decoding.
REQUESTS = (6, 8, 12, 16, 24, 32, 48, 64)
_MORE, _AS_MUCH = 1.1, 0.9  # times as many bytes a second
_FRESH_S = 10.0  # how long a measured rate holds

_LOCAL_S = 0.005  # faster answers come from this machine and say nothing about a network
_GROWTH, _ANSWERS_TO_GROW = 1.3, 10  # raise the estimate while the connection is used but not full
_ROUNDS = 2.5  # rounds of answers in a measurement
_LONG_S = 1.0  # after this long, one round is enough
_SMOOTHED_ANSWERS = 8
_RECENT_ANSWERS = 32
_AHEAD_S = 0.15  # how long prefetching may delay an urgent request, in addition to a round trip
# cancelling a request pays off if more than this is left; a new connection costs about as much
_CANCEL_S = 0.3


class Priority(IntEnum):
    """Why blocks are wanted; the smallest value is fetched first."""

    COARSE = 0
    VIEW = 1
    AHEAD = 2
    BACKGROUND = 3


@dataclass(frozen=True, slots=True)
class Want:
    """Blocks of one level to fetch together, or the Blosc table of one chunk (``table``).

    With ``plane``, only that plane of each block is kept in memory.
    """

    priority: Priority
    level: int
    blocks: tuple[BlockIndex, ...]
    plane: PlanePosition | None = None
    table: tuple[int, ...] | None = None

    def keys(self, owner: int) -> tuple[Key, ...]:
        """The keys of these blocks in the memory cache."""
        if self.table is not None:
            return ((owner, self.level, "table", self.table),)
        plane = () if self.plane is None else (self.plane,)
        return tuple((owner, self.level, block, *plane) for block in self.blocks)


class Viewer(Protocol):
    """A client that wants blocks of an image.

    Its methods are called on the loop thread, also for blocks of other images.
    """

    @property
    def image(self) -> SharedImage:
        """The displayed image."""

    def blocks_arrived(self, keys: Sequence[Key]) -> None:
        """Blocks are in memory."""

    def blocks_failed(self, keys: Sequence[Key], error: CryoETError, requested_at: float) -> None:
        """Blocks requested at ``requested_at`` (loop time) could not be read."""


class Bandwidth:
    """What a server can bring, measured from its answers: bytes a second, and requests at once.

    Throughput equals bandwidth only while the connection is full. It counts as full once three
    quarters of the allowed requests are in flight, until fewer than half are. The number of allowed
    requests rises while more of them bring more, and falls while fewer bring as much.

    Attributes
    ----------
    bytes_per_s
        The estimated bandwidth; infinite until the connection was full once.
    quickest_s, usual_s
        The shortest and the mean of recent response times; 0 before the first answer.
    """

    def __init__(self) -> None:
        self.bytes_per_s = math.inf
        self.quickest_s = self.usual_s = 0.0
        self._choice = REQUESTS.index(16)
        self._rates: dict[int, tuple[float, float]] = {}  # by choice: when measured, bytes a second
        self._in_flight = 0
        self._updated_at = 0.0
        self._is_full = False
        self._measured_from: float | None = None
        self._answers = self._bytes = 0  # since then
        self._durations: deque[float] = deque(maxlen=_RECENT_ANSWERS)

    @property
    def requests(self) -> int:
        """How many requests may be transferring."""
        return REQUESTS[self._choice]

    def began(self, now: float) -> None:
        """A request was sent."""
        if self._in_flight == 0:
            self._updated_at = now
        self._in_flight += 1
        if self._in_flight >= self.requests * 3 // 4 and not self._is_full:
            self._is_full = True
            self._measured_from = None

    def ended(self, now: float, size_bytes: int, duration_s: float) -> None:
        """A request was answered with ``size_bytes``, or cancelled (0 bytes)."""
        self._in_flight -= 1
        if size_bytes > 0 and duration_s >= _LOCAL_S:
            self._durations.append(duration_s)
            self.quickest_s = min(self._durations)
            self.usual_s += (duration_s - self.usual_s) / min(
                len(self._durations), _SMOOTHED_ANSWERS
            )
            self._update(now, size_bytes)
            self._updated_at = now
        if self._in_flight < self.requests // 2:
            self._is_full = False

    def refused(self, now: float) -> None:
        """The server asked for fewer requests (status 429 or 503)."""
        self._choice = max(0, self._choice - 2)
        for choice in range(self._choice + 1, len(REQUESTS)):
            self._rates[choice] = (now, 0.0)

    def _update(self, now: float, size_bytes: int) -> None:
        if not self._is_full:
            answers = (now - self._updated_at) / max(self.quickest_s, _LOCAL_S)
            self.bytes_per_s *= _GROWTH ** min(1.0, answers / _ANSWERS_TO_GROW)
            return
        if self._measured_from is None:  # the first answer comes a round trip late
            self._measured_from = now
            self._answers = self._bytes = 0
            return
        self._answers += 1
        self._bytes += size_bytes
        rounds = self._answers / (self._in_flight + 1)
        measured_s = now - self._measured_from
        if rounds >= _ROUNDS or (rounds >= 1 and measured_s >= _LONG_S):
            self.bytes_per_s = self._bytes / max(_LOCAL_S, measured_s)
            self._measured_from = None
            self._choose(now)

    def _choose(self, now: float) -> None:
        """Allow more requests if they bring more, or fewer if they bring as much."""
        here = self._choice
        self._rates[here] = (now, self.bytes_per_s)
        fewer = self._known_rate(here - 1, now)
        more = self._known_rate(here + 1, now)
        if fewer is not None and fewer >= _AS_MUCH * self.bytes_per_s:
            self._choice = here - 1
        elif more is None or more > _MORE * self.bytes_per_s:
            self._choice = min(here + 1, len(REQUESTS) - 1)
        elif fewer is None:
            self._choice = max(here - 1, 0)

    def _known_rate(self, choice: int, now: float) -> float | None:
        measured_at, rate = self._rates.get(choice, (-math.inf, 0.0))
        return rate if now - measured_at < _FRESH_S else None

    def may_carry_more(self, bytes_in_flight: int, size_bytes: int) -> bool:
        """Whether one more prefetch request would delay an urgent one only briefly."""
        return bytes_in_flight == 0 or bytes_in_flight + size_bytes <= self.bytes_per_s * (
            self.quickest_s + _AHEAD_S
        )

    def saves_by_cancelling(self, age_s: float, size_bytes: int) -> bool:
        """Whether cancelling a request saves more time than the new connection it costs."""
        return size_bytes * max(1, self._in_flight) / self.bytes_per_s - age_s > _CANCEL_S


@dataclass(slots=True, eq=False)
class _Request:
    """A request that a reader has queued, or that is in flight."""

    image: SharedImage
    want: Want
    keys: tuple[Key, ...]
    done: asyncio.Future[None]
    size_bytes: int  # compressed, estimated
    is_read: bool = False  # made by a reader
    keep: bool = False  # in memory, even if no display wants it
    place: PlaceBlocks | None = None
    readers: int = 0
    began_at: float | None = None
    is_transferring: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether it is prefetched: not visible yet."""
        return not self.is_read and self.want.priority >= Priority.AHEAD


@dataclass(slots=True)
class _Wanted:
    """The blocks that one display wants, most important first.

    ``keys`` includes those in flight.
    """

    wants: deque[Want] = field(default_factory=deque)
    keys: set[Key] = field(default_factory=set)
    served_at: float = 0.0


class _Queue:
    """The requests of one server: queued by readers, wanted by displays, and in flight."""

    def __init__(self) -> None:
        self.bandwidth = Bandwidth()
        self.refusals = 0
        self.reads: deque[_Request] = deque()
        self.wanted: dict[Viewer, _Wanted] = {}
        self.in_flight: set[_Request] = set()
        self.is_displays_turn = False

    def next_read(self) -> _Request | None:
        """The next queued request of a reader, skipping started and cancelled ones."""
        while self.reads and (self.reads[0].began_at is not None or self.reads[0].done.done()):
            self.reads.popleft()
        return self.reads[0] if self.reads else None

    def next_wanted(self, lowest: Priority) -> tuple[Viewer, _Wanted] | None:
        """The display with the most important want; displays with equal priority take turns."""
        ready = [
            item
            for item in self.wanted.items()
            if item[1].wants and item[1].wants[0].priority <= lowest
        ]
        return min(
            ready, key=lambda item: (item[1].wants[0].priority, item[1].served_at), default=None
        )

    def any_wants(self, keys: Iterable[Key]) -> bool:
        """Whether any display wants any of these blocks."""
        keys = tuple(keys)
        return any(not wanted.keys.isdisjoint(keys) for wanted in self.wanted.values())

    def unwanted(self) -> list[_Request]:
        """Requests in flight that are no longer needed."""
        return [
            request
            for request in self.in_flight
            if not request.readers and not self.any_wants(request.keys)
        ]

    def lowest_priority(self) -> Priority:
        """The least important priority that may be sent now."""
        transferring = [request for request in self.in_flight if request.is_transferring]
        background = sum(request.want.priority == Priority.BACKGROUND for request in transferring)
        if len(transferring) >= self.bandwidth.requests:
            return Priority.VIEW
        if background >= self.bandwidth.requests // 3 or any(
            not (request.is_ahead or request.is_read) for request in self.in_flight
        ):
            return Priority.AHEAD  # background requests would delay the visible blocks
        return Priority.BACKGROUND

    def has_room_ahead(self, request: _Request) -> bool:
        """Whether the connection has room for this prefetch request."""
        ahead = sum(
            other.size_bytes for other in self.in_flight if other.is_ahead and other.is_transferring
        )
        return self.bandwidth.may_carry_more(ahead, request.size_bytes)


class Engine:
    """Fetches blocks into the memory cache; see the module's docstring."""

    def __init__(self) -> None:
        self.memory = MemoryCache(default_limit_bytes())
        self.loop = client.loop()
        self._threads = ThreadPoolExecutor(
            max(2, min(8, os.cpu_count() or 2)), "napari-cryoet-decode"
        )
        self._queues: dict[str, _Queue] = {}
        self._requests: dict[Key, _Request] = {}
        self._is_warm = False

    # for any thread

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed at exit
            self.loop.call_soon_threadsafe(partial(function, *arguments))

    def warm_up(self) -> None:
        """Import zarr on a decode thread, so that the first image doesn't wait for it."""
        if not self._is_warm:
            self._is_warm = True
            self._threads.submit(import_module, "zarr")

    def forget_unused(self, image: SharedImage) -> None:
        """Free the blocks of an image once nothing refers to it, in case it is never closed."""
        finalize(image, self.call, self.memory.forget, image.owner).atexit = False

    @property
    def is_idle(self) -> bool:
        """Whether no request is queued or in flight."""
        return not (self._requests or any(queue.in_flight for queue in list(self._queues.values())))

    # for the loop thread

    def bandwidth(self, image: SharedImage) -> Bandwidth:
        """What is known of the connection to the image's server."""
        return self._queue(image).bandwidth

    async def read(
        self,
        image: SharedImage,
        level: int,
        blocks: Iterable[BlockIndex],
        place: PlaceBlocks,
        *,
        keep: bool,
    ) -> None:
        """Call ``place`` with each block at least once, on any thread.

        With ``keep`` the blocks stay in the memory cache. Raises the first CryoETError of any
        request.
        """
        queue, missing = self._queue(image), set(blocks)
        while missing:
            if image.error is not None:
                raise image.error
            joined: set[_Request] = set()
            for block in list(missing):
                key = (image.owner, level, block)
                if (request := self._requests.get(key)) is not None:
                    request.keep = True
                    joined.add(request)
                elif (values := self.memory.get(key)) is not None:
                    place({block: values})
                    missing.discard(block)
            shared = {block for request in joined for block in request.want.blocks} & missing
            runs = image.runs(level, sorted(missing - shared), _RUN_BYTES)
            new = [self._register(image, Want(Priority.VIEW, level, run)) for run in runs]
            for request in new:
                request.is_read, request.keep, request.place = True, keep, place
            queue.reads.extend(new)
            await self._wait(queue, [*new, *joined])
            missing = shared

    async def _wait(self, queue: _Queue, requests: list[_Request]) -> None:
        for request in requests:
            request.readers += 1
        self._dispatch(queue)
        try:
            if requests:
                done, _ = await asyncio.wait(
                    [request.done for request in requests], return_when=asyncio.FIRST_EXCEPTION
                )
                for future in done:
                    future.result()
        finally:
            for request in requests:
                request.readers -= 1
                if not request.readers and (
                    request.began_at is None or not queue.any_wants(request.keys)
                ):
                    self._end(request, StoppedError())

    def want(self, viewer: Viewer, wants: Iterable[Want], in_flight: Iterable[Want] = ()) -> None:
        """Replace the wants of a display.

        ``in_flight`` keeps running requests alive but starts none.
        """
        queue = self._queue(viewer.image)
        wanted = queue.wanted.setdefault(viewer, _Wanted())
        wanted.wants = deque(wants)
        wanted.keys = {
            key for want in (*wanted.wants, *in_flight) for key in want.keys(viewer.image.owner)
        }
        self._cancel_slow(queue)
        self._dispatch(queue)

    def hold(self, viewer: Viewer) -> None:
        """Start nothing more for a display until it wants anew; requests in flight go on."""
        self._queue(viewer.image).wanted.setdefault(viewer, _Wanted()).wants.clear()

    def forget(self, viewer: Viewer) -> None:
        """Remove a display and its wants."""
        self._queue(viewer.image).wanted.pop(viewer, None)
        self.cancel_unwanted(viewer.image)

    def cancel_unwanted(self, image: SharedImage) -> None:
        """Cancel the requests of an image that are no longer needed."""
        for request in self._queue(image).unwanted():
            if request.image is image:
                self._end(request, StoppedError())

    def close(self, image: SharedImage, error: CryoETError) -> None:
        """Fail all readers and displays of an image with ``error``, and drop its blocks from memory."""
        image.error = image.error or error
        for request in {request for request in self._requests.values() if request.image is image}:
            self._end(request, error)
        self.memory.forget(image.owner)
        for viewer in [viewer for viewer in self._queue(image).wanted if viewer.image is image]:
            viewer.blocks_failed((), error, self.loop.time())

    # choosing the next request

    def _queue(self, image: SharedImage) -> _Queue:
        return self._queues.get(image.server) or self._queues.setdefault(image.server, _Queue())

    def _register(self, image: SharedImage, want: Want) -> _Request:
        size_bytes = image.wire_bytes(want.level, len(want.blocks) * image.block_bytes(want.level))
        request = _Request(
            image, want, want.keys(image.owner), self.loop.create_future(), size_bytes
        )
        self._requests.update(dict.fromkeys(request.keys, request))
        return request

    def _dispatch(self, queue: _Queue) -> None:
        """Start requests until the limit is reached."""
        while (
            sum(request.is_transferring for request in queue.in_flight)
            < queue.bandwidth.requests * 5 // 4
            and len(queue.in_flight) < queue.bandwidth.requests * 3 // 2
            and (request := self._next(queue)) is not None
        ):
            request.began_at, request.is_transferring = self.loop.time(), True
            queue.in_flight.add(request)
            queue.bandwidth.began(request.began_at)
            request.task = self.loop.create_task(self._fetch(queue, request))
            request.task.add_done_callback(partial(self._on_ended, queue, request))

    def _on_ended(self, queue: _Queue, request: _Request, _task: asyncio.Task[None]) -> None:
        """Free the slot of a request whose task was cancelled before it started."""
        if request in queue.in_flight:
            queue.in_flight.discard(request)
            self._end_transfer(queue, request, 0)
            self._dispatch(queue)

    def _next(self, queue: _Queue) -> _Request | None:
        """Alternate between readers and visible blocks."""
        read = queue.next_read()
        if read is None:
            return self._next_wanted(queue, queue.lowest_priority())
        wanted = self._next_wanted(queue, Priority.VIEW) if queue.is_displays_turn else None
        queue.is_displays_turn = wanted is None
        return wanted or read

    def _next_wanted(self, queue: _Queue, lowest: Priority) -> _Request | None:
        while (candidate := queue.next_wanted(lowest)) is not None:
            viewer, wanted = candidate
            want = wanted.wants[0]
            keys = want.keys(viewer.image.owner)
            if (queued := self._queued(keys)) is not None:
                return queued  # a reader waits for it too
            is_missing = [key not in self._requests and key not in self.memory for key in keys]
            if any(is_missing):
                if want.blocks:
                    want = replace(want, blocks=tuple(itertools.compress(want.blocks, is_missing)))
                request = self._register(viewer.image, want)
                if request.is_ahead and not queue.has_room_ahead(request):
                    self._end(request)
                    return None
                wanted.served_at = self.loop.time()
            wanted.wants.popleft()
            if any(is_missing):
                return request
        return None

    def _queued(self, keys: Iterable[Key]) -> _Request | None:
        requests = (self._requests.get(key) for key in keys)
        return next(
            (request for request in requests if request is not None and request.began_at is None),
            None,
        )

    def _cancel_slow(self, queue: _Queue) -> None:
        """Cancel unneeded requests if that saves time."""
        now = self.loop.time()
        for request in queue.unwanted():
            age_s = now - (request.began_at or now)
            if request.is_transferring and queue.bandwidth.saves_by_cancelling(
                age_s, request.size_bytes
            ):
                self._end(request, StoppedError())

    def _end(self, request: _Request, error: CryoETError | None = None) -> None:
        """Finish a request, sent or not, and resolve its future."""
        for key in request.keys:
            if self._requests.get(key) is request:
                del self._requests[key]
        if request.done.done():
            return
        if error is None:
            request.done.set_result(None)
            return
        request.done.set_exception(error)
        request.done.exception()  # mark it as retrieved, in case nothing awaits it
        if request.task is not None:
            request.task.cancel()

    # fetching

    async def _fetch(self, queue: _Queue, request: _Request) -> None:
        error: CryoETError | None = None
        try:
            blocks = await self._load(queue, request)
            if not request.done.done():
                self._keep(queue, request, blocks)
        except CryoETError as failure:
            error = failure
        except asyncio.CancelledError:
            error = StoppedError()
        except MemoryError:
            place = request.image.files.source.place
            hint = "Close other programs or layers, then try again."
            error = StreamError(f"There isn't enough memory to read {place}.", hint=hint)
        except Exception as failure:  # noqa: BLE001 - readers must not wait for ever
            error = StreamError("Reading failed in an unexpected way.")
            error.__cause__ = failure
        request.task = None
        queue.in_flight.discard(request)
        self._end_transfer(queue, request, 0)
        self._end(request, error)
        if isinstance(error, ChangedError):
            request.image.files.source.forget_all()
            self.close(request.image, error)
        for viewer in list(queue.wanted):
            if error is None:
                viewer.blocks_arrived(request.keys)
            elif not isinstance(error, StoppedError):
                viewer.blocks_failed(request.keys, error, request.began_at or 0.0)
        self._dispatch(queue)

    async def _load(self, queue: _Queue, request: _Request) -> dict[BlockIndex, Block]:
        """Read and decode; if the bytes are damaged, try once more without the disk cache."""
        chunks, want = request.image.levels[request.want.level], request.want
        chunk = want.table or chunks.grid.chunk(want.blocks[0])
        is_last_try = False
        while True:
            try:
                if want.table is not None:
                    await chunks.prepare(want.table)
                    return {}
                decode = await chunks.fetch(want.blocks)
                self._end_transfer(queue, request, request.size_bytes)
                self._dispatch(queue)
                return await self.loop.run_in_executor(
                    self._threads, _decoded, decode, request, chunks
                )
            except FormatError as error:
                if is_last_try:
                    message = f"A part of {chunks.describe(chunk)} is damaged. {error.message}"
                    raise StreamError(message, hint=error.hint) from error
                chunks.distrust(chunk)
                is_last_try = True

    def _end_transfer(self, queue: _Queue, request: _Request, size_bytes: int) -> None:
        """Record that a request's bytes arrived (0: none), so that others can start during decoding."""
        if request.is_transferring:
            now = self.loop.time()
            request.is_transferring = False
            queue.bandwidth.ended(now, size_bytes, now - (request.began_at or now))
            refusals = client.refusals(request.image.server)
            if refusals > queue.refusals:
                queue.refusals = refusals
                queue.bandwidth.refused(now)

    def _keep(self, queue: _Queue, request: _Request, blocks: dict[BlockIndex, Block]) -> None:
        if request.want.table is not None:
            self.memory.put(request.keys[0], True, 0)
        for key, block in zip(request.keys, request.want.blocks, strict=False):
            # a view that moves on may come back, or want the block again in its next plan
            if request.keep or not request.is_read or queue.any_wants((key,)):
                self.memory.put(key, blocks[block], owned_bytes(blocks[block]))


def _decoded(
    decode: Callable[[], dict[BlockIndex, Block]], request: _Request, chunks: Chunks
) -> dict[BlockIndex, Block]:
    """Decode blocks, cut them to the wanted plane, and hand them to the reader."""
    blocks = decode()
    if (plane := request.want.plane) is not None:
        for block, values in blocks.items():
            box = chunks.grid.box(block)
            blocks[block] = values[box_slices(cut_box(box, plane), box)].copy()
    if request.place is not None:
        request.place(blocks)
    return blocks


_engines: dict[int, Engine] = {}  # by process id: a forked process can't use its parent's threads


def shared_engine() -> Engine:
    """The engine of all pyramids in this process."""
    return _engines.get(os.getpid()) or _engines.setdefault(os.getpid(), Engine())
