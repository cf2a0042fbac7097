"""Saves what changes often: soon after a change, at most a second later, on a thread of its own, and at the end."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from napari_cryoet.exceptions import CryoETError

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Saved once nothing has changed for so long...
QUIET_S: Final = 0.3
#: ...but no later than this after the first change that isn't saved.
LATEST_S: Final = 0.8


_savers: WeakSet[AutoSaver[Any]] = WeakSet()


class AutoSaver(Generic[T]):
    """Saves the newest of the values that it is given; what isn't saved when the program ends is saved then.

    Parameters
    ----------
    save
        Writes a value; called on the saver's thread, or by whoever calls `flush` or (without a thread) `put`. Never
        twice at a time.
    failed
        Told when it could not be written, on whichever thread; it is tried again with the next change or `flush`. A
        fault that nobody thought of is told as a `CryoETError`, too.
    """

    def __init__(
        self, save: Callable[[T], object], failed: Callable[[CryoETError], None] = lambda _error: None
    ) -> None:
        self._save, self._failed = save, failed
        self._state, self._writing = threading.Condition(), threading.Lock()
        self._waiting: list[T] = []  # the newest value, if it isn't saved
        self._refused: list[T] | None = None  # what was waiting when it could not be saved
        self._first_at = self._last_at = 0.0
        self._is_running = False
        _savers.add(self)

    def put(self, value: T) -> None:
        """Have a value saved soon, in place of any that isn't saved yet; at once where no thread can be started."""
        with self._state:
            now = time.monotonic()
            if not self._waiting:
                self._first_at = now
            self._waiting, self._last_at = [value], now
            if self._is_running:
                return
            self._is_running = True
        try:
            threading.Thread(target=self._run, name="napari-cryoet autosave", daemon=True).start()
        except RuntimeError:  # the system has none to give, or Python is ending
            with self._state:
                self._is_running = False
            self.flush()

    def flush(self) -> bool:
        """Save now what isn't saved, and wait for it; whether all is saved."""
        with self._writing:
            with self._state:
                waiting, self._waiting = self._waiting, []
                self._state.notify_all()
            try:
                for value in waiting:
                    self._save(value)
            except CryoETError as error:
                self._keep(waiting, error)
                return False
            except Exception as error:  # a fault must reach the person, and end neither the thread nor the saving
                log.exception("What is saved by itself could not be saved")
                words = f"It could not be saved, by a fault in napari-cryoet ({type(error).__name__}: {error})."
                self._keep(waiting, CryoETError(words, hint="Please report it; it is tried again with each change."))
                return False
            return True

    def _keep(self, waiting: list[T], error: CryoETError) -> None:
        """Go on having what could not be saved, unless there is something newer, and say so."""
        with self._state:
            self._waiting, self._refused = self._waiting or waiting, waiting
        self._failed(error)

    def _run(self) -> None:
        while self._waits():
            self.flush()

    def _waits(self) -> bool:
        """Sleep until it is time to save; False where there is nothing that could be saved any more."""
        with self._state:
            while self._waiting and self._waiting is not self._refused:
                due = min(self._last_at + QUIET_S, self._first_at + LATEST_S) - time.monotonic()
                if due <= 0:
                    return True
                self._state.wait(due)
            self._is_running = False
            return False


@atexit.register
def _flush_all() -> None:
    """A script may end sooner than it is time to save."""
    for saver in list(_savers):
        with suppress(RuntimeError):  # whoever would be told of an error may be gone
            saver.flush()
