"""Work off the GUI thread: keyed tasks whose newest answer wins, and whose answers arrive on the GUI thread.

A task is keyed by what it is for. A newer task of the same key makes the older one stale: its ``stop`` is set and
whatever it still answers is dropped. Workers are daemon threads, so none of them keeps the interpreter alive; once a
`Tasks` is closed or destroyed nothing is delivered any more.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qtpy.QtCore import QCoreApplication, QObject, Qt, Signal

from napari_cryoet.exceptions import CryoETError, StoppedError

log = logging.getLogger(__name__)

T = TypeVar("T")

PROGRESS_INTERVAL_S = 0.05
#: To say of a file that is written, once somebody ended the task: what is begun is written to its end.
NOT_AWAITED = "It isn't waited for any more: the file may be there, or not."


class UnexpectedError(CryoETError):
    """A fault in napari-cryoet itself; ``details`` holds the traceback for a report."""

    def __init__(self, details: str) -> None:
        super().__init__(
            "Something went wrong inside napari-cryoet.",
            hint="Copy the details and report them; the rest keeps working.",
        )
        self.details = details


class Job:
    """What a running task sees of its own task.

    Attributes
    ----------
    stop
        Set when nobody wants the answer any more; work that takes long looks at it, or hands it on.
    """

    def __init__(
        self,
        report: Callable[[int, int | None], None],
        say: Callable[[float, str], None],
        hand_over: Callable[[Any], None],
    ) -> None:
        self.stop = threading.Event()
        self._report = report
        self._say = say
        self._hand_over = hand_over
        self._reported_at = 0.0

    def progress(self, done_bytes: int, total_bytes: int | None = None) -> None:
        """Say how far the work is; cheap enough to call for every block, since most calls are swallowed."""
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_INTERVAL_S or done_bytes == total_bytes:
            self._reported_at = now
            self._report(done_bytes, total_bytes)

    def say(self, share: float, words: str) -> None:
        """Say how far work that isn't counted in bytes is: from 0 to 1, and what is being done."""
        self._say(share, words)

    def hand_over(self, part: object) -> None:
        """Give a part of the answer away before the rest is there; see ``part`` of `Tasks.run`."""
        self._hand_over(part)


@dataclass(eq=False)
class _Task:
    key: Hashable
    title: str
    then: Callable[[Any], None]
    failed: Callable[[CryoETError], None] | None
    part: Callable[[Any], None] | None
    job: Job = field(init=False)


class _Outbox:
    """Answers on their way to the GUI thread; closing it is the one moment after which none can leave."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.RLock()  # Python may look for garbage while it is held, and end whose outbox this is
        self._is_open = True

    def put(self, deliver: Callable[[], None]) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._waiting.append(deliver)
            self._notify()  # under the lock, so that the receiver can't be destroyed meanwhile

    def take(self) -> Callable[[], None] | None:
        with self._lock:
            try:
                return self._waiting.popleft()
            except IndexError:  # asked for in one step, since it may be closed between two
                return None

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._waiting.clear()


class Tasks(QObject):
    """Runs keyed tasks in the background for one widget.

    Parameters
    ----------
    parent
        Its destruction closes the tasks too.
    """

    started = Signal(object, str)  # key, title
    progressed = Signal(object, object, object)  # key, bytes done, bytes in all or None
    said = Signal(object, float, str)  # key, share that is done, what is being done
    finished = Signal(object)  # key; once for each key that started, however it ended
    cancelled = Signal(object)  # key, after `finished`; whoever began it didn't stop it, and gets no answer
    unhandled = Signal(object)  # CryoETError of a task that has no ``failed``
    erred = Signal(object, object)  # key, CryoETError; of every task that failed, also where ``failed`` sees to it

    _arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current: dict[Hashable, _Task] = {}
        self._outbox = _Outbox(self._arrived.emit)
        queued = Qt.ConnectionType.QueuedConnection  # no answer comes amid the asking
        self._arrived.connect(self._deliver, queued)  # type: ignore[call-arg] # which PyQt's stubs lack
        shutdown = _Shutdown(self._current, self._outbox)
        self.destroyed.connect(shutdown)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    def run(
        self,
        key: Hashable,
        work: Callable[[Job], T],
        *,
        then: Callable[[T], None],
        failed: Callable[[CryoETError], None] | None = None,
        part: Callable[[Any], None] | None = None,
        title: str = "",
    ) -> None:
        """Start ``work`` on a thread of its own; exactly one of ``then`` and ``failed`` follows, unless it is stopped.

        Parameters
        ----------
        key
            What the task is for. A running task of the same key becomes stale.
        work
            Called off the GUI thread; its return value is handed to ``then``.
        then, failed
            Called on the GUI thread. A fault of ours arrives as `UnexpectedError`. Without ``failed`` errors are
            emitted as ``unhandled``.
        part
            Called on the GUI thread with whatever the job hands over meanwhile, in that order, and before ``then``.
        title
            Shown in napari's activity dock while the task runs; without it the task stays out of there.
        """
        older = self._current.get(key)
        if older is not None:
            older.job.stop.set()
        task = _Task(key, title, then, failed, part)
        task.job = self._job_of(task)
        self._current[key] = task
        if older is None:
            self.started.emit(key, title)
        try:
            threading.Thread(
                target=self._work, args=(task, work), name=f"napari-cryoet {task.key}", daemon=True
            ).start()
        except RuntimeError:  # the system has none to give
            log.exception("Task %r could not be started", task.key)
            error = UnexpectedError(traceback.format_exc())
            self._outbox.put(lambda: self._on_error(task, error))

    def stop(self, key: Hashable) -> None:
        """End the task of that key now; its answer is dropped. Does nothing if there is none."""
        task = self._current.pop(key, None)
        if task is not None:
            task.job.stop.set()
            self.finished.emit(key)

    def cancel(self, key: Hashable) -> None:
        """As `stop`, for who didn't begin it, as napari's activity dock: who did is told by `cancelled`."""
        if self.is_running(key):
            self.stop(key)
            self.cancelled.emit(key)

    def stop_all(self) -> None:
        """End every task."""
        for key in tuple(self._current):
            self.stop(key)

    def is_running(self, key: Hashable) -> bool:
        """Whether a task of that key has neither answered nor been stopped."""
        return key in self._current

    def close(self) -> None:
        """End every task, for good: nothing is delivered after this."""
        self._outbox.close()
        self.stop_all()

    def _job_of(self, task: _Task) -> Job:
        return Job(
            lambda done, total: self._outbox.put(lambda: self._on_progress(task, done, total)),
            lambda share, words: self._outbox.put(lambda: self._on_said(task, share, words)),
            lambda some: self._outbox.put(lambda: self._on_part(task, some)),
        )

    def _work(self, task: _Task, work: Callable[[Job], Any]) -> None:
        """Run in the worker: whatever happens becomes one delivery."""
        error: CryoETError
        try:
            answer = work(task.job)
        except CryoETError as known:
            error = known
        except Exception:  # the thread ends here: a fault must reach the person, not die with the thread
            log.exception("Task %r failed unexpectedly", task.key)
            error = UnexpectedError(traceback.format_exc())
        else:
            self._outbox.put(lambda: self._on_answer(task, answer))
            return
        self._outbox.put(lambda: self._on_error(task, error))

    def _deliver(self) -> None:
        deliver = self._outbox.take()  # one an event, so that a burst of answers can't hold up the window
        if deliver is not None:
            deliver()

    def _is_stale(self, task: _Task) -> bool:
        return self._current.get(task.key) is not task

    def _on_progress(self, task: _Task, done_bytes: int, total_bytes: int | None) -> None:
        if not self._is_stale(task):
            self.progressed.emit(task.key, done_bytes, total_bytes)

    def _on_said(self, task: _Task, share: float, words: str) -> None:
        if not self._is_stale(task):
            self.said.emit(task.key, share, words)

    def _on_part(self, task: _Task, some: Any) -> None:
        if task.part is not None and not self._is_stale(task):
            task.part(some)

    def _on_answer(self, task: _Task, answer: Any) -> None:
        if self._is_stale(task):
            return
        del self._current[task.key]
        self.finished.emit(task.key)
        task.then(answer)

    def _on_error(self, task: _Task, error: CryoETError) -> None:
        if self._is_stale(task):
            return
        del self._current[task.key]
        self.finished.emit(task.key)
        if isinstance(error, StoppedError):
            return
        self.erred.emit(task.key, error)
        if task.failed is None:
            self.unhandled.emit(error)
        else:
            task.failed(error)


class _Shutdown:
    """Stops the workers of a `Tasks` that was destroyed; holds no reference to it."""

    def __init__(self, current: dict[Hashable, _Task], outbox: _Outbox) -> None:
        self._current = current
        self._outbox = outbox

    def __call__(self, *_destroyed: object) -> None:
        if "_outbox" not in self.__dict__:
            return  # the garbage collector was here first: it takes a circle of objects apart before it ends them
        self._outbox.close()
        for task in self._current.values():
            task.job.stop.set()
