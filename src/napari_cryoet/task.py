"""`Task`: the progress and the Stop of work that takes long, in one object."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.wording import size_text

P = ParamSpec("P")
T = TypeVar("T")

_POLL_S: Final = 0.05  # the longest delay of a stop


class Task:
    """Progress and Stop of work that takes long, for any thread.

    Pass it as ``task`` to a function that offers this. Call `stop` from another thread: the
    function then raises StoppedError.

    Parameters
    ----------
    report
        Called with the fraction done, from 0 to 1, and a status message, from any thread.

    Examples
    --------
    >>> task = Task(lambda fraction, text: print(f"{fraction:.0%} {text}"))
    >>> task.step(0.5, "picks of TS_026")
    50% picks of TS_026
    """

    def __init__(self, report: Callable[[float, str], None] | None = None) -> None:
        self._report = report
        self._stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ask the work to end soon, with StoppedError."""
        self._stopped.set()

    def check(self) -> None:
        """Raise StoppedError if the task is stopped; call it between steps of long work."""
        if self.is_stopped:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Wait; StoppedError as soon as the task is stopped."""
        if self._stopped.wait(seconds):
            raise StoppedError

    def step(self, fraction: float, text: str = "") -> None:
        """Report the fraction done, from 0 to 1, and a message; StoppedError if stopped."""
        self.check()
        if self._report is not None:
            self._report(fraction, text)

    def step_bytes(self, done: int, total: int) -> None:
        """Report bytes done: ``3.1 MB of 7 MB``; StoppedError if stopped."""
        self.step(done / total if total else 0.0, f"{size_text(done)} of {size_text(total)}")

    def part(self, start: float, end: float, name: str = "") -> Task:
        """The task of a part of this work: its progress runs from ``start`` to ``end``.

        Its messages begin with its ``name``.
        """

        def report(fraction: float, text: str) -> None:
            named = ": ".join(filter(None, (name, text)))
            self.step(start + fraction * (end - start), named)

        part = Task(report)
        part._stopped = self._stopped
        return part


#: The task of a caller who neither stops the work nor looks at its progress.
UNWATCHED: Final = Task()


def in_daemon_thread(work: Callable[[], T], name: str) -> Future[T]:
    """Start a call in a new thread, which doesn't delay the exit."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def stoppable(work: Callable[[], T], task: Task) -> T:
    """Run a long NumPy or SciPy call in a thread; a stop abandons it with `StoppedError`."""
    task.check()
    if task is UNWATCHED:
        return work()
    future = in_daemon_thread(work, "napari-cryoet work")
    while not wait([future], _POLL_S).done:
        task.check()
    return future.result()


def shows_progress(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that takes a ``task``: in a notebook, it shows a bar if called without."""

    @wraps(function)
    def watched(*args: P.args, **kwargs: P.kwargs) -> T:
        if "task" in kwargs or "ipykernel" not in sys.modules:
            return function(*args, **kwargs)
        from tqdm.auto import tqdm

        with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:

            def report(fraction: float, text: str) -> None:
                bar.set_description(text, refresh=False)
                bar.update(fraction - bar.n)

            kwargs["task"] = Task(report)
            return function(*args, **kwargs)

    return watched
