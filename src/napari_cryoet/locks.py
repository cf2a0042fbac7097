"""Locks between processes and threads, held by means of a file; the system releases one when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, waiting: Callable[[], None], *, poll_s: float = 0.2) -> Iterator[None]:
    """Hold a lock, once nobody else does.

    Parameters
    ----------
    path
        A file for nothing else, which stays; its folder must be there.
    waiting
        Called each time that somebody else holds it; may raise to give up.
    poll_s
        How long to wait until it is tried again.

    Raises
    ------
    OSError
        If the file can't be made, or the disk knows no locks.
    """
    with path.open("a+b") as file:
        while not _try_lock(file.fileno()):
            waiting()
            time.sleep(poll_s)
        try:
            yield
        finally:
            _unlock(file.fileno())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
