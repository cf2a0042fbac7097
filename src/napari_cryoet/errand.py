"""A blocking call on another thread, so that whoever asked for it can leave at once."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.stopping import POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREAD_NAME = "napari-cryoet-errand"
IDLE_S = 1.0  # how long a thread waits for another errand before it ends
NO_THREADS_HINT = "Close other programs, then try again."


class ErrandOverdueError(Exception):
    """The call showed no sign of life for too long."""


class NoThreadError(OSError):
    """The system has no thread to give, or Python is ending."""


class _Threads:
    """Daemon threads that run one call after another and end when there is none for a while."""

    def __init__(self) -> None:
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Have no thread; see `forks`."""
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._free = 0  # threads that wait, less the calls that are on their way to them
        self._lock = threading.Lock()

    def run(self, call: Callable[[], None]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._calls.put(call)
                return
        thread = threading.Thread(target=self._serve, args=(call,), name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise NoThreadError(str(error)) from error

    def _serve(self, call: Callable[[], None] | None) -> None:
        while call is not None:
            call()
            call = None  # which may hold a large result
            with self._lock:
                self._free += 1
            call = self._next()

    def _next(self) -> Callable[[], None] | None:
        while True:
            try:
                return self._calls.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._free:  # else a call is on its way
                        self._free -= 1
                        return None


_threads = _Threads()


def call_soon(call: Callable[[], None]) -> None:
    """Have a short thing done on another thread; mostly one that idles, so that nobody waits for a new one."""
    _threads.run(call)


def started(work: Callable[[], T]) -> Future[T]:
    """What a blocking call will have returned; its thread never keeps the program from ending.

    Raises
    ------
    NoThreadError
        Where there is no thread for it.
    """
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - carried over to whoever waits, whatever it is
            future.set_exception(error)

    _threads.run(run)
    return future


class Errand(Generic[T]):
    """Runs ``work(errand)`` on a daemon thread, which never keeps the program from ending.

    A name server that doesn't answer can't be waited for in a way that ends on demand; it can be left behind. ``work``
    calls `beat` whenever it got somewhere; where its caller has left, that raises StoppedError and the work unwinds by
    itself. What wakes it from its waiting, it says with `abort_with`. A result that comes after all is handed to
    ``discard``.

    Making one raises NoThreadError where there is no thread for it.
    """

    def __init__(self, work: Callable[[Errand[T]], T], *, discard: Callable[[T], None] | None = None) -> None:
        self._work = work
        self._discard = discard
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_left = False
        self._abort: Callable[[], None] | None = None
        self._beaten_at, self._n_steps = time.monotonic(), 1
        self._result: T
        self._error: BaseException | None = None
        _threads.run(self._run)

    def beat(self, n_steps: int = 1) -> None:
        """Tell the caller that the work gets on, and that there is as much to do before the next beat.

        Raises StoppedError where nobody waits for it any more.
        """
        if self._is_left:
            raise StoppedError
        self._beaten_at, self._n_steps = time.monotonic(), n_steps

    def abort_with(self, abort: Callable[[], None]) -> None:
        """Say what to call when the caller leaves; called at once where that has happened."""
        with self._lock:
            self._abort = abort
            is_left = self._is_left
        if is_left:
            abort()

    def wait(self, stop: threading.Event | None, patience_s: float) -> T:
        """What the work returned or raised, once; StoppedError on ``stop``.

        ErrandOverdueError where a beat doesn't come within ``patience_s`` for each step that was to be done.
        """
        while not self._done.wait(POLL_S):
            if stop is not None and stop.is_set() and self._leave():
                raise StoppedError
            if time.monotonic() - self._beaten_at > patience_s * self._n_steps and self._leave():
                raise ErrandOverdueError
        if self._error is not None:
            raise self._error
        result = self._result
        del self._result  # the thread may remember its last errand for a while
        return result

    def _leave(self) -> bool:
        with self._lock:
            if self._done.is_set():
                return False
            self._is_left = True
            if self._abort is not None:
                self._abort()
            return True

    def _run(self) -> None:
        try:
            self._result = self._work(self)
        except BaseException as error:  # noqa: BLE001 - carried over to the waiting thread, whatever it is
            self._error = error
        with self._lock:
            self._done.set()
            if self._is_left and self._error is None and self._discard is not None:
                self._discard(self._result)
