"""How far a download is: bytes, speed and time left, of each file and in all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from napari_cryoet.download.plan import PlannedItem
from napari_cryoet.records import Record
from napari_cryoet.wording import duration_text, joined, size_text

_WINDOW_S: Final = 5.0  # over which speed is measured
_LEAST_S: Final = 0.2


class FileState(Record, frozen=True, kw_only=True):
    """How far a file is, or an OME-Zarr, which counts as one."""

    path: str
    done_bytes: int
    size_bytes: int | None  # as the portal lists it
    bytes_per_s: float
    error: str = ""  # why it failed; empty while it is being fetched

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at this speed; None where that isn't known."""
        return _seconds_left(self.done_bytes, self.size_bytes, self.bytes_per_s)


class QueueState(Record, frozen=True, kw_only=True):
    """How far a whole download is.

    Attributes
    ----------
    total_bytes
        About how many bytes there will be: not every size is known before.
    files
        Those that are being fetched, then those that failed.
    """

    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    n_done: int
    n_waiting: int
    is_paused: bool
    files: tuple[FileState, ...]

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at this speed; None where that isn't known."""
        return _seconds_left(self.done_bytes, self.total_bytes, self.bytes_per_s)

    @property
    def text(self) -> str:
        """``412 MB of 1.2 GB · 11 MB/s · 2 min left``."""
        amount = f"{size_text(self.done_bytes)} of {size_text(self.total_bytes)}"
        if self.is_paused:
            return joined(amount, "paused")
        speed = f"{size_text(self.bytes_per_s)}/s" if self.bytes_per_s else ""
        left = f"{duration_text(self.seconds_left)} left" if self.seconds_left is not None else ""
        return joined(amount, speed, left)


class Meter:
    """Counts what comes; written on the network's loop and its threads, read anywhere."""

    def __init__(self, items: Iterable[PlannedItem]) -> None:
        self._items = {item.path: _Item(item) for item in items}
        self._shown: dict[str, _Item] = {}  # being fetched, or failed
        self._n_done = 0
        self._speed = _Speed()
        self._total_bytes = sum(item.size_bytes or 0 for item in self._items.values())
        self.done_bytes = 0
        self.is_paused = False

    @property
    def total_bytes(self) -> int:
        """About how many bytes there will be."""
        return max(self._total_bytes, self.done_bytes)

    def state(self) -> QueueState:
        """How far everything is now."""
        shown = sorted(self._shown.copy().values(), key=lambda item: item.error)
        n_done, now = self._n_done, time.monotonic()
        return QueueState(
            done_bytes=self.done_bytes,
            total_bytes=self.total_bytes,
            bytes_per_s=0.0 if self.is_paused else self._speed.at(now),
            n_done=n_done,
            n_waiting=max(0, len(self._items) - n_done - len(shown)),
            is_paused=self.is_paused,
            files=tuple(item.state(now) for item in shown),
        )

    def begin(self, path: str) -> None:
        """An item is being fetched."""
        self._shown[path] = self._items[path]

    def end(self, path: str, error: str = "") -> None:
        """An item is there, or failed."""
        item = self._items[path]
        item.error = error
        if not error:
            self._shown.pop(path, None)
            self._n_done += 1
            self._total_bytes += item.done_bytes - (item.size_bytes or 0)
            item.size_bytes = item.done_bytes

    def done(self, path: str) -> int:
        """How many bytes of an item are there."""
        return self._items[path].done_bytes

    def count(self, path: str, n_bytes: int, *, came: bool) -> None:
        """More of an item is there, or less; ``came`` if over the network."""
        self._items[path].done_bytes += n_bytes
        self.done_bytes += n_bytes
        if came and n_bytes > 0:
            self._speed.add(n_bytes)
            self._items[path].speed.add(n_bytes)

    def keep(self, path: str, size_bytes: int) -> None:
        """A file of an item is whole: it still counts after a pause."""
        self._items[path].whole_bytes += size_bytes

    def pause(self) -> None:
        """Count only what is whole, and let all else wait."""
        for path, item in list(self._shown.items()):
            if not item.error:
                item.done_bytes = item.whole_bytes
                del self._shown[path]
        self.done_bytes = sum(item.done_bytes for item in self._items.values())


class _Item:
    """A planned item while it is fetched."""

    def __init__(self, planned: PlannedItem) -> None:
        self.path, self.size_bytes = planned.path, planned.size_bytes
        self.done_bytes = self.whole_bytes = 0
        self.error = ""
        self.speed = _Speed()

    def state(self, now: float) -> FileState:
        speed = 0.0 if self.error else self.speed.at(now)
        return FileState(
            path=self.path,
            done_bytes=self.done_bytes,
            size_bytes=self.size_bytes,
            bytes_per_s=speed,
            error=self.error,
        )


class _Speed:
    """Bytes a second over the last seconds."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, int]] = deque()

    def add(self, n_bytes: int) -> None:
        now = time.monotonic()
        self._came.append((now, n_bytes))
        while self._came[0][0] < now - _WINDOW_S:
            self._came.popleft()

    def at(self, now: float) -> float:
        recent = [(at, n_bytes) for at, n_bytes in self._came.copy() if at >= now - _WINDOW_S]
        return sum(n_bytes for _, n_bytes in recent) / max(_LEAST_S, now - recent[0][0]) if recent else 0.0


def _seconds_left(done_bytes: int, total_bytes: int | None, bytes_per_s: float) -> float | None:
    return max(0, total_bytes - done_bytes) / bytes_per_s if total_bytes is not None and bytes_per_s else None
