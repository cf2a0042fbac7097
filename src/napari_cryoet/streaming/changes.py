"""Files that are met changed: how often, and which pyramids read the same ones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    import threading

    from napari_cryoet.streaming.meaning import Meaning
    from napari_cryoet.streaming.pyramid import Pyramid


class Changes:
    """Shared by all parts of a pyramid: what one of them learns of a file holds for what the others have of it.

    Attributes
    ----------
    lock
        To be held while the counts are read or changed.
    count
        How often a file was met changed so far.
    times
        How often each of them was, by what `BlockReader.file_of` calls it.
    readers
        The pyramids.
    meaning
        What the files mean; None where that is said by themselves.
    """

    def __init__(self) -> None:
        self.lock, self.count = FreshLock(), 0
        self.times: Counter[str] = Counter()
        self.readers: WeakSet[Pyramid] = WeakSet()
        self.meaning: Meaning | None = None

    def times_of(self, file: str) -> int:
        """How often a file was met changed so far."""
        with self.lock:
            return self.times[file]

    def note(self, file: str, level: int) -> None:
        """Count a file of a level that was met changed; to be called with the lock held."""
        self.count += 1
        self.times[file] += 1
        if self.meaning is not None:
            self.meaning.doubt(level)

    def require_meaning(self, level: int, stop: threading.Event) -> None:
        """Raise StreamError where the files of a level mean something else by now; see `Meaning`."""
        if self.meaning is not None:
            self.meaning.require(level, stop)

    def concern(self, pyramid: Pyramid) -> None:
        """Count a pyramid in."""
        with self.lock:
            self.readers.add(pyramid)
