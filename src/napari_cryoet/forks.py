"""What a forked process must not use as it got it: threads stay behind, and connections still belong to the parent.

Two processes that read from one connection get each other's answers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from napari_cryoet.stopping import POLL_S, raise_if_stopped


class Forked(Protocol):
    """Something with threads, connections or locks."""

    def start_afresh(self) -> None:
        """Forget threads, connections, whatever is under way, and who holds locks; called in the new process."""


_all: WeakSet[Forked] = WeakSet()


def start_afresh_in_children(each: Forked) -> None:
    """Have something start afresh in every process that is forked from this one."""
    _all.add(each)


class FreshLock:
    """A lock that nobody holds in a forked process: whoever held it there stayed behind."""

    def __init__(self) -> None:
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Be free; see `Forked`."""
        self._lock = threading.Lock()

    def acquire(self, timeout_s: float = -1) -> bool:
        """Wait for it; False where it took longer than that."""
        return self._lock.acquire(timeout=timeout_s)

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()

    @contextmanager
    def held(self, stop: threading.Event | None) -> Iterator[None]:
        """Hold it for a while; StoppedError where ``stop`` is set while one waits."""
        while not self.acquire(POLL_S):
            raise_if_stopped(stop)
        try:
            yield
        finally:
            self.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def _start_all_afresh() -> None:
    for each in list(_all):
        each.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_afresh)
