"""How far a download is: bytes done, bytes in all, and how fast; sizes become exact as servers tell them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from napari_cryoet.download.plan import Plan

_WINDOW_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a download; ``total_bytes`` is an estimate until every file's size is known."""

    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    done_files: int
    total_files: int


class Tracker:
    """Sums up what the workers tell; thread-safe.

    Parameters
    ----------
    plan
        The expanded plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._lock = threading.Lock()
        self._totals = {file.path: file.size_bytes or file.estimate_bytes for file in plan.files()}
        self._done: dict[str, int] = {}
        self._finished: set[str] = set()
        self._total_bytes = sum(self._totals.values())
        self._done_bytes = 0
        self._fetched_bytes = 0  # by this download, for the speed
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def skip(self, sizes_bytes: Iterable[tuple[str, int]]) -> None:
        """Count files that are complete already."""
        with self._lock:
            for path, size_bytes in sizes_bytes:
                self._set(path, size_bytes, size_bytes)
                self._finished.add(path)

    def on_bytes(self, path: str, done_bytes: int, total_bytes: int | None) -> None:
        """Note how much of a file is there."""
        with self._lock:
            before = self._done.get(path)
            self._set(path, done_bytes, total_bytes)
            if before is not None:  # the first report may count what an earlier download left
                self._fetched_bytes += max(0, done_bytes - before)

    def finish(self, path: str) -> None:
        """Note that a file needs no more: it is there, or it won't be."""
        with self._lock:
            done = self._done.get(path, 0)
            self._set(path, done, done)
            self._finished.add(path)

    def now(self) -> Progress:
        """Return how far the download is."""
        with self._lock:
            now_s = time.monotonic()
            self._marks.append((now_s, self._fetched_bytes))
            while len(self._marks) > 2 and now_s - self._marks[0][0] > _WINDOW_S:
                self._marks.popleft()
            since_s, since_bytes = self._marks[0]
            elapsed_s = now_s - since_s
            return Progress(
                done_bytes=self._done_bytes,
                total_bytes=self._total_bytes,
                bytes_per_s=(self._fetched_bytes - since_bytes) / elapsed_s if elapsed_s > 0 else 0.0,
                done_files=len(self._finished),
                total_files=len(self._totals),
            )

    def _set(self, path: str, done_bytes: int, total_bytes: int | None) -> None:
        old_total = self._totals.get(path, 0)
        total = max(done_bytes, old_total if total_bytes is None else total_bytes)
        self._total_bytes += total - old_total
        self._done_bytes += done_bytes - self._done.get(path, 0)
        self._totals[path], self._done[path] = total, done_bytes
