"""Who fetches what when: a bounded number of requests, nothing fetched twice, what is looked at first.

All state lives on the loop thread of `network.client`; what another thread wants is handed over to it. Two kinds of
callers share the line to a server. Readers wait for exact values. Displays say what they would like next in order of
importance, as often as that changes; what they no longer want and was not sent is never sent.
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

from napari_cryoet.exceptions import ChangedError, CryoETError, FormatError, StoppedError, StreamError
from napari_cryoet.network import client
from napari_cryoet.streaming.grid import box_slices, cut_box
from napari_cryoet.streaming.memory import Key, MemoryCache, default_limit_bytes, owned_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_cryoet.streaming.chunks import Block, Chunks
    from napari_cryoet.streaming.grid import BlockIndex, Plane
    from napari_cryoet.streaming.pyramid import Image

    Place = Callable[[dict[BlockIndex, Block]], None]

REQUESTS = 16  # on one line at a time; half as many more are decoded meanwhile
_RUN_BYTES = 4 * 2**20  # what readers wait for is requested in pieces of so many decoded bytes

_LOCAL_S = 0.005  # what was answered sooner came over no line worth the name
_GROWTH, _ANSWERS_TO_GROW = 1.3, 10  # while the line is in use, but not full: it may have become faster
_ROUNDS, _MOST_JUDGED = 2.5, 64  # answers: before, too much or too little of what is in flight may just have come
_LONG_S = 1.0  # a line that takes so long for one round is slow, and need not be watched for more
_AHEAD_S = 0.15  # for so long, and one answer, what is fetched ahead may keep the line from what is more urgent
_HANG_UP_S = 0.3  # what takes longer frees the line for longer than a new connection takes


class Priority(IntEnum):
    """Why blocks are wanted; smaller comes first."""

    COARSE = 0
    VIEW = 1
    AHEAD = 2
    BACKGROUND = 3


@dataclass(frozen=True, slots=True)
class Want:
    """Blocks of one level that are fetched together; where ``table`` is given, the table of that chunk instead.

    Where ``plane`` is given, only what it cuts out of each block is kept.
    """

    priority: Priority
    level: int
    blocks: tuple[BlockIndex, ...]
    plane: Plane | None = None
    table: tuple[int, ...] | None = None

    def keys(self, owner: int) -> tuple[Key, ...]:
        """What it is called in memory."""
        if self.table is not None:
            return ((owner, self.level, "table", self.table),)
        plane = () if self.plane is None else (self.plane,)
        return tuple((owner, self.level, block, *plane) for block in self.blocks)


class Viewer(Protocol):
    """Something that wants blocks of an image; called on the loop thread, for blocks of this image or another one."""

    @property
    def image(self) -> Image:
        """What it shows."""

    def blocks_arrived(self, keys: Sequence[Key]) -> None:
        """Blocks are in memory."""

    def blocks_failed(self, keys: Sequence[Key], error: CryoETError, asked_at: float) -> None:
        """Blocks that were asked for at some time of the loop's could not be read."""


class Line:
    """How fast the way to a server is, as far as was seen.

    How much comes in a second says what a line can carry only while more is asked of it than it carries. It counts as
    full from three quarters of all requests on, until there are less than half: requests come and go.

    Attributes
    ----------
    bytes_per_s
        What it can carry, infinite as long as it was never full.
    quickest_s
        How soon an answer comes at best, lately; 0 as long as nothing was seen.
    """

    def __init__(self) -> None:
        self.bytes_per_s, self.quickest_s = math.inf, 0.0
        self._in_flight, self._judged_at = 0, 0.0
        self._full_since: float | None = None
        self._ended: deque[tuple[float, int]] = deque(maxlen=_MOST_JUDGED)  # since it is full
        self._durations: deque[float] = deque(maxlen=_MOST_JUDGED // 2)

    def began(self, now: float) -> None:
        """A request was sent."""
        if self._in_flight == 0:
            self._judged_at = now
        self._in_flight += 1
        if self._in_flight >= REQUESTS * 3 // 4:
            self.filled(now)

    def filled(self, now: float) -> None:
        """As much is asked of the line as is ever asked."""
        if self._full_since is None:
            self._full_since = now
            self._ended.clear()

    def ended(self, now: float, size_bytes: int, duration_s: float) -> None:
        """A request was answered with so many bytes, or given up (0 bytes)."""
        self._in_flight -= 1
        if size_bytes > 0 and duration_s >= _LOCAL_S:
            self._durations.append(duration_s)
            self.quickest_s = min(self._durations)
            self._judge(now, size_bytes)
            self._judged_at = now
        if self._in_flight < REQUESTS // 2:
            self._full_since = None

    def _judge(self, now: float, size_bytes: int) -> None:
        if self._full_since is None:
            answers = (now - self._judged_at) / max(self.quickest_s, _LOCAL_S)
            self.bytes_per_s *= _GROWTH ** min(1.0, answers / _ANSWERS_TO_GROW)
            return
        self._ended.append((now, size_bytes))
        rounds, full_s = len(self._ended) / (self._in_flight + 1), now - self._full_since
        if rounds >= _ROUNDS or (rounds >= 1 and full_s >= _LONG_S):
            since, came_bytes = self._full_since, sum(size for _, size in self._ended)
            if len(self._ended) == _MOST_JUDGED:
                since, first_bytes = self._ended[0]
                came_bytes -= first_bytes
            self.bytes_per_s = came_bytes / max(_LOCAL_S, now - since)

    def may_carry_more(self, bytes_in_flight: int, size_bytes: int) -> bool:
        """Whether a request more doesn't keep the line for long from what is more urgent."""
        return bytes_in_flight == 0 or bytes_in_flight + size_bytes <= self.bytes_per_s * (self.quickest_s + _AHEAD_S)

    def saves_by_hanging_up(self, age_s: float, size_bytes: int) -> bool:
        """Whether giving up a request of that age and size frees the line for longer than a new connection takes."""
        return size_bytes * max(1, self._in_flight) / self.bytes_per_s - age_s > _HANG_UP_S


@dataclass(slots=True, eq=False)
class _Request:
    """A want that is queued by a reader, or in flight."""

    image: Image
    want: Want
    keys: tuple[Key, ...]
    done: asyncio.Future[None]
    size_bytes: int  # over the line, about
    is_read: bool = False  # for a reader
    keep: bool = False  # in memory, though no display wants it
    place: Place | None = None
    readers: int = 0
    began_at: float | None = None
    is_on_line: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether nobody looks at it yet."""
        return not self.is_read and self.want.priority >= Priority.AHEAD


@dataclass(slots=True)
class _Wanted:
    """What one display wants, most important first, and all keys of that, also of what is in flight."""

    wants: deque[Want] = field(default_factory=deque)
    keys: set[Key] = field(default_factory=set)
    served_at: float = 0.0


class _Queue:
    """What is waited for, wanted and in flight on one line."""

    def __init__(self) -> None:
        self.line = Line()
        self.reads: deque[_Request] = deque()
        self.wanted: dict[Viewer, _Wanted] = {}
        self.in_flight: set[_Request] = set()
        self.is_displays_turn = False

    def next_read(self) -> _Request | None:
        """What a reader waits for; what was begun or given up meanwhile is dropped."""
        while self.reads and (self.reads[0].began_at is not None or self.reads[0].done.done()):
            self.reads.popleft()
        return self.reads[0] if self.reads else None

    def next_wanted(self, lowest: Priority) -> tuple[Viewer, _Wanted] | None:
        """The display with the most important want, in turn among equals."""
        ready = [each for each in self.wanted.items() if each[1].wants and each[1].wants[0].priority <= lowest]
        return min(ready, key=lambda each: (each[1].wants[0].priority, each[1].served_at), default=None)

    def any_wants(self, keys: Iterable[Key]) -> bool:
        """Whether some display wants any of these blocks."""
        keys = tuple(keys)
        return any(not wanted.keys.isdisjoint(keys) for wanted in self.wanted.values())

    def unwanted(self) -> list[_Request]:
        """What is in flight for nobody."""
        return [each for each in self.in_flight if not each.readers and not self.any_wants(each.keys)]

    def lowest_priority(self) -> Priority:
        """The least important of what may be sent beside what is in flight."""
        ahead = sum(request.is_ahead and request.is_on_line for request in self.in_flight)
        if ahead >= REQUESTS * 3 // 4:
            return Priority.VIEW
        if ahead >= REQUESTS // 2 or any(not (request.is_ahead or request.is_read) for request in self.in_flight):
            return Priority.AHEAD  # the background would share the line with what is looked at, and delay it
        return Priority.BACKGROUND

    def has_room_ahead(self, request: _Request) -> bool:
        """Whether the line can carry so much more that nobody looks at yet."""
        ahead = sum(each.size_bytes for each in self.in_flight if each.is_ahead and each.is_on_line)
        return self.line.may_carry_more(ahead, request.size_bytes)


class Engine:
    """Fetches blocks into memory."""

    def __init__(self) -> None:
        self.memory = MemoryCache(default_limit_bytes())
        self.loop = client.loop()
        self._threads = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), "napari-cryoet-decode")
        self._queues: dict[str, _Queue] = {}
        self._requests: dict[Key, _Request] = {}
        self._is_warm = False

    # for any thread

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called on the loop thread."""
        with contextlib.suppress(RuntimeError):  # the program ends
            self.loop.call_soon_threadsafe(partial(function, *arguments))

    def warm_up(self) -> None:
        """Import meanwhile, on threads that decode at other times, what the first image would wait for."""
        if not self._is_warm:
            self._is_warm = True
            for name in ("zarr", "dask.array"):
                self._threads.submit(import_module, name)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight, and nothing waits to be sent."""
        return not (self._requests or any(queue.in_flight for queue in list(self._queues.values())))

    # for the loop thread

    def bytes_per_s(self, image: Image) -> float:
        """What the line to an image can carry; infinite as long as nobody knows."""
        return self._queue(image).line.bytes_per_s

    async def read(self, image: Image, level: int, blocks: Iterable[BlockIndex], place: Place, *, keep: bool) -> None:
        """Have blocks placed, each at least once, on whichever thread brings them.

        With ``keep`` they stay in memory, though no display wants them. Raises the first CryoETError that is met.
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
            own = [self._register(image, Want(Priority.VIEW, level, run)) for run in runs]
            for request in own:
                request.is_read, request.keep, request.place = True, keep, place
            queue.reads.extend(own)
            await self._wait(queue, [*own, *joined])
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
                if not request.readers and (request.began_at is None or not queue.any_wants(request.keys)):
                    self._end(request, StoppedError())

    def want(self, viewer: Viewer, wants: Iterable[Want], in_flight: Iterable[Want] = ()) -> None:
        """Replace what a display wants; ``in_flight`` it wants only if that is on its way already."""
        queue = self._queue(viewer.image)
        wanted = queue.wanted.setdefault(viewer, _Wanted())
        wanted.wants = deque(wants)
        wanted.keys = {key for want in (*wanted.wants, *in_flight) for key in want.keys(viewer.image.owner)}
        self._give_up(queue)
        self._dispatch(queue)

    def forget(self, viewer: Viewer) -> None:
        """Drop a display and what it wants."""
        self._queue(viewer.image).wanted.pop(viewer, None)
        self.hang_up(viewer.image)

    def hang_up(self, image: Image) -> None:
        """Give up whatever of an image is in flight that nobody wants."""
        for request in self._queue(image).unwanted():
            if request.image is image:
                self._end(request, StoppedError())

    def close(self, image: Image, error: CryoETError) -> None:
        """Read nothing of an image any more, tell that to all who wait or look, and forget what is in memory."""
        image.error = image.error or error
        for request in {request for request in self._requests.values() if request.image is image}:
            self._end(request, error)
        self.memory.forget(image.owner)
        for viewer in [viewer for viewer in self._queue(image).wanted if viewer.image is image]:
            viewer.blocks_failed((), error, self.loop.time())

    # what is sent next

    def _queue(self, image: Image) -> _Queue:
        return self._queues.get(image.line) or self._queues.setdefault(image.line, _Queue())

    def _register(self, image: Image, want: Want) -> _Request:
        size_bytes = image.wire_bytes(want.level, len(want.blocks) * image.block_bytes(want.level))
        request = _Request(image, want, want.keys(image.owner), self.loop.create_future(), size_bytes)
        self._requests.update(dict.fromkeys(request.keys, request))
        return request

    def _dispatch(self, queue: _Queue) -> None:
        """Send as much as may be in flight."""
        while (
            sum(request.is_on_line for request in queue.in_flight) < REQUESTS
            and len(queue.in_flight) < REQUESTS * 3 // 2
            and (request := self._next(queue)) is not None
        ):
            request.began_at, request.is_on_line = self.loop.time(), True
            queue.in_flight.add(request)
            queue.line.began(request.began_at)
            request.task = self.loop.create_task(self._fetch(queue, request))
            request.task.add_done_callback(partial(self._on_ended, queue, request))

    def _on_ended(self, queue: _Queue, request: _Request, _task: asyncio.Task[None]) -> None:
        """Free the place of a request whose task was cancelled before it began."""
        if request in queue.in_flight:
            queue.in_flight.discard(request)
            self._leave_line(queue, request, 0)
            self._dispatch(queue)

    def _next(self, queue: _Queue) -> _Request | None:
        """What somebody waits for and what somebody looks at take turns."""
        waiting = queue.next_read()
        if waiting is None:
            return self._next_wanted(queue, queue.lowest_priority())
        wanted = self._next_wanted(queue, Priority.VIEW) if queue.is_displays_turn else None
        queue.is_displays_turn = wanted is None
        return wanted or waiting

    def _next_wanted(self, queue: _Queue, lowest: Priority) -> _Request | None:
        while (found := queue.next_wanted(lowest)) is not None:
            viewer, wanted = found
            want = wanted.wants[0]
            keys = want.keys(viewer.image.owner)
            if (queued := self._queued(keys)) is not None:
                return queued  # somebody waits for it, too
            is_missing = [key not in self._requests and key not in self.memory for key in keys]
            if any(is_missing):
                if want.blocks:
                    want = replace(want, blocks=tuple(itertools.compress(want.blocks, is_missing)))
                request = self._register(viewer.image, want)
                if request.is_ahead and not queue.has_room_ahead(request):
                    self._end(request)
                    queue.line.filled(self.loop.time())
                    return None
                wanted.served_at = self.loop.time()
            wanted.wants.popleft()
            if any(is_missing):
                return request
        return None

    def _queued(self, keys: Iterable[Key]) -> _Request | None:
        requests = (self._requests.get(key) for key in keys)
        return next((request for request in requests if request is not None and request.began_at is None), None)

    def _give_up(self, queue: _Queue) -> None:
        """Stop what is in flight for nobody, where that frees the line for longer than a new connection takes."""
        now = self.loop.time()
        for request in queue.unwanted():
            age_s = now - (request.began_at or now)
            if request.is_on_line and queue.line.saves_by_hanging_up(age_s, request.size_bytes):
                self._end(request, StoppedError())

    def _end(self, request: _Request, error: CryoETError | None = None) -> None:
        """Have a request be over, whether it was sent or not; who waits for it is told."""
        for key in request.keys:
            if self._requests.get(key) is request:
                del self._requests[key]
        if request.done.done():
            return
        if error is None:
            request.done.set_result(None)
            return
        request.done.set_exception(error)
        request.done.exception()  # perhaps nobody else asks
        if request.task is not None:
            request.task.cancel()

    # how it is fetched

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
            hint = "Close other programs, or layers that aren't needed, then try again."
            error = StreamError(f"There isn't enough memory for what is read of {place}.", hint=hint)
        except Exception as failure:  # noqa: BLE001 - who waits must not wait for ever
            error = StreamError("Reading failed in an unexpected way.")
            error.__cause__ = failure
        request.task = None
        queue.in_flight.discard(request)
        self._leave_line(queue, request, 0)
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
        """Read and decode; once more past all that is kept on disk where what came seems to be damaged."""
        chunks, want = request.image.levels[request.want.level], request.want
        chunk = want.table or chunks.grid.chunk(want.blocks[0])
        is_last_try = False
        while True:
            try:
                if want.table is not None:
                    await chunks.prepare(want.table)
                    return {}
                decode = await chunks.fetch(want.blocks)
                self._leave_line(queue, request, request.size_bytes)
                self._dispatch(queue)
                return await self.loop.run_in_executor(self._threads, _decoded, decode, request, chunks)
            except FormatError as error:
                if is_last_try:
                    message = f"A part of {chunks.describe(chunk)} is damaged. {error.message}"
                    raise StreamError(message, hint=error.hint) from error
                chunks.distrust(chunk)
                is_last_try = True

    def _leave_line(self, queue: _Queue, request: _Request, size_bytes: int) -> None:
        """Note that a request's bytes have come, or 0 of them; the line may carry others while they are decoded."""
        if request.is_on_line:
            now = self.loop.time()
            request.is_on_line = False
            queue.line.ended(now, size_bytes, now - (request.began_at or now))

    def _keep(self, queue: _Queue, request: _Request, blocks: dict[BlockIndex, Block]) -> None:
        if request.want.table is not None:
            self.memory.put(request.keys[0], True, 0)
        for key, block in zip(request.keys, request.want.blocks, strict=False):
            if request.keep or queue.any_wants((key,)):
                self.memory.put(key, blocks[block], owned_bytes(blocks[block]))


def _decoded(
    decode: Callable[[], dict[BlockIndex, Block]], request: _Request, chunks: Chunks
) -> dict[BlockIndex, Block]:
    """Decode blocks, cut from them what is kept, and place them where somebody waits for them."""
    blocks = decode()
    if (plane := request.want.plane) is not None:
        for block, values in blocks.items():
            box = chunks.grid.box(block)
            blocks[block] = values[box_slices(cut_box(box, plane), box)].copy()
    if request.place is not None:
        request.place(blocks)
    return blocks


_engines: dict[int, Engine] = {}  # by process: a forked one can't use the threads of its parent


def shared_engine() -> Engine:
    """What fetches for all pyramids of this process."""
    return _engines.get(os.getpid()) or _engines.setdefault(os.getpid(), Engine())
