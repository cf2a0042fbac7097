"""Saves what changes often: soon after a change, at most a second later, on a thread of its own, and at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from napari_cryoet.exceptions import CryoETError

T = TypeVar("T")

#: Saved once nothing has changed for so long...
QUIET_S: Final = 0.3
#: ...but no later than this after the first change that isn't saved.
LATEST_S: Final = 0.8


class AutoSaver(Generic[T]):
    """Saves the newest of the values that it is given.

    Parameters
    ----------
    save
        Writes a value; called on the saver's thread, or by whoever calls `flush`. Never twice at a time.
    failed
        Told when it could not be written, on whichever thread; it is tried again with the next change or `flush`.
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

    def put(self, value: T) -> None:
        """Have a value saved soon, in place of any that isn't saved yet."""
        with self._state:
            now = time.monotonic()
            if not self._waiting:
                self._first_at = now
            self._waiting, self._last_at = [value], now
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="napari-cryoet autosave", daemon=True).start()

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
                with self._state:
                    self._waiting, self._refused = self._waiting or waiting, waiting
                self._failed(error)
                return False
            return True

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
