"""Progress of a download: bytes, speed and time left, for each file and in total."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Final

from napari_cryoet.download.plan import PlannedItem
from napari_cryoet.wording import duration_text, joined, size_text

_WINDOW_S: Final = 5.0  # to measure speed
_LEAST_S: Final = 0.2


class ByteCount:
    """Bytes done, the expected total, and the speed over the last seconds."""

    def __init__(self, size_bytes: int | None) -> None:
        self.size_bytes, self.done_bytes = size_bytes, 0
        self._received: deque[tuple[float, int]] = deque()

    def add(self, n_bytes: int, *, is_received: bool) -> None:
        """Add bytes, or remove some if negative; ``is_received`` counts them for the speed."""
        now = time.monotonic()
        self.done_bytes += n_bytes
        if is_received:
            self._received.append((now, n_bytes))
        while self._received and self._received[0][0] < now - _WINDOW_S:
            self._received.popleft()

    @property
    def bytes_per_s(self) -> float:
        """The speed; 0 if nothing arrives."""
        now = time.monotonic()
        recent = [(at, n_bytes) for at, n_bytes in self._received.copy() if at >= now - _WINDOW_S]
        return (
            sum(n_bytes for _, n_bytes in recent) / max(_LEAST_S, now - recent[0][0])
            if recent
            else 0.0
        )

    @property
    def seconds_left(self) -> float | None:
        """The time left at this speed; None if unknown."""
        speed = self.bytes_per_s
        return (
            max(0, self.size_bytes - self.done_bytes) / speed
            if self.size_bytes is not None and speed
            else None
        )


class FileState(ByteCount):
    """Progress of a file or an OME-Zarr; ``size_bytes`` is as the portal lists it."""

    def __init__(self, item: PlannedItem) -> None:
        super().__init__(item.size_bytes)
        self.path = item.path
        self.error = ""  # why it failed; empty while in progress


class QueueState(ByteCount):
    """Progress of a whole download, updated while it runs; can be read from any thread."""

    size_bytes: int

    def __init__(self, items: Collection[PlannedItem]) -> None:
        super().__init__(sum(item.size_bytes or 0 for item in items))
        self.is_paused, self.n_done = False, 0
        self._n_items = len(items)
        self._files: dict[str, FileState] = {}  # begun and not done
        self._lock = threading.Lock()

    @property
    def total_bytes(self) -> int:
        """The expected total; it may grow, since some sizes are unknown at first."""
        return max(self.size_bytes, self.done_bytes)

    @property
    def fraction(self) -> float:
        """The fraction of the bytes that is done."""
        return self.done_bytes / max(1, self.total_bytes)

    @property
    def files(self) -> tuple[FileState, ...]:
        """Files in progress, then failed files."""
        return tuple(sorted(self._files.copy().values(), key=lambda file: file.error))

    @property
    def n_waiting(self) -> int:
        """The number of items not begun yet."""
        return max(0, self._n_items - self.n_done - len(self._files))

    @property
    def text(self) -> str:
        """``412 MB of 1.2 GB · 11 MB/s · 2 min left``."""
        amount = f"{size_text(self.done_bytes)} of {size_text(self.total_bytes)}"
        if self.is_paused:
            return joined(amount, "paused")
        speed, seconds_left = self.bytes_per_s, self.seconds_left
        left = f"{duration_text(seconds_left)} left" if seconds_left is not None else ""
        return joined(amount, f"{size_text(speed)}/s" if speed else "", left)

    def begin(self, item: PlannedItem) -> None:
        """Mark an item as in progress, possibly after a pause."""
        self._files.setdefault(item.path, FileState(item))

    def count(self, path: str, n_bytes: int, *, is_received: bool) -> None:
        """Add bytes of an item, or remove some if negative; thread-safe."""
        with self._lock:
            self.add(n_bytes, is_received=is_received)
            self._files[path].add(n_bytes, is_received=is_received)

    def end(self, path: str, error: str = "") -> None:
        """Mark an item as done, or as failed."""
        self._files[path].error = error
        if not error:
            file = self._files.pop(path)
            self.size_bytes += file.done_bytes - (file.size_bytes or 0)
            self.n_done += 1
