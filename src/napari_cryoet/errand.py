"""A blocking call on a thread of its own, so that whoever asked for it can leave at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_cryoet.exceptions import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREAD_NAME = "napari-cryoet-errand"
POLL_S = 0.05  # how long a stop can go unnoticed


class ErrandOverdueError(Exception):
    """The call showed no sign of life for too long."""


class Errand(Generic[T]):
    """Runs ``work(errand)`` on a daemon thread, which never keeps the program from ending.

    A name server, a handshake or a byte that doesn't come can't be waited for in a way that ends on demand; it can be
    left behind. ``work`` calls `beat` whenever it got somewhere; where its caller has left, that raises StoppedError
    and the work unwinds by itself. What wakes it from its waiting, it says with `abort_with`. A result that comes
    after all is handed to ``discard``.
    """

    def __init__(self, work: Callable[[Errand[T]], T], *, discard: Callable[[T], None] | None = None) -> None:
        self._work = work
        self._discard = discard
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_left = False
        self._abort: Callable[[], None] | None = None
        self._beaten_at = time.monotonic()
        self._result: T
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()

    def beat(self) -> None:
        """Tell the caller that the work gets on; raises StoppedError where nobody waits for it any more."""
        if self._is_left:
            raise StoppedError
        self._beaten_at = time.monotonic()

    def abort_with(self, abort: Callable[[], None]) -> None:
        """Say what to call when the caller leaves; called at once where that has happened."""
        with self._lock:
            self._abort = abort
            is_left = self._is_left
        if is_left:
            abort()

    def wait(self, stop: threading.Event | None, patience_s: float) -> T:
        """What the work returned or raised; StoppedError on ``stop``, ErrandOverdueError without a beat in time."""
        while not self._done.wait(POLL_S):
            if stop is not None and stop.is_set() and self._leave():
                raise StoppedError
            if time.monotonic() - self._beaten_at > patience_s and self._leave():
                raise ErrandOverdueError
        if self._error is not None:
            raise self._error
        return self._result

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
