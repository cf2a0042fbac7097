"""Files that are met changed: how often, and which pyramids read the same ones."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from napari_cryoet.exceptions import ChangedError, DamagedError, StreamError
from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.chunk_files import VanishedError
from napari_cryoet.streaming.watch import ReplacedError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.meaning import Meaning
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.undivided import UndividedFiles
    from napari_cryoet.streaming.watch import Watch

T = TypeVar("T")

ATTEMPTS = 3  # with two, one of many that meet a changed file at once might see only what others did about it
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
_CALM_AFTER_S = 60.0


class Changes:
    """Shared by all parts of a pyramid: what one of them learns of the files holds for what the others have of them.

    Nothing says which versions of different files belong together. So once one is met changed, nothing counts any more
    that was read of any of them before.

    Attributes
    ----------
    lock
        To be held while the count is read or changed.
    count
        How often a file was met changed so far.
    readers
        The pyramids.
    viewers
        Pictures of them.
    meaning
        What the files mean; None where that is said by themselves.
    watch
        Whether they can be of one image; None where there is but one file.
    undivided
        Learns whether parts of them come as such; None where nobody asks.
    """

    def __init__(self) -> None:
        self.lock, self.count = FreshLock(), 0
        self.readers: WeakSet[Pyramid] = WeakSet()
        self.viewers: WeakSet[Display] = WeakSet()
        self.meaning: Meaning | None = None
        self.watch: Watch | None = None
        self.undivided: UndividedFiles | None = None
        self._pause_s, self._paused_until = 0.0, -math.inf

    def pause_s(self) -> float:
        """For how long pictures are to fetch nothing: of files that never rest they would fetch all without a pause.

        Not at all after a change; after each that follows within a minute twice as long as before, up to half a minute.
        """
        with self.lock:
            return max(0.0, self._paused_until - time.monotonic())

    def times(self) -> int:
        """How often a file was met changed so far."""
        with self.lock:
            return self.count

    def note(self, seen: int | None) -> None:
        """Count a file that was met changed, and have all dropped that was read before.

        Not so where that was done since ``seen`` of them were counted: what was met may be of before.
        """
        with self.lock:
            if seen is not None and self.count != seen:
                return
            self.count += 1
            self._lengthen_pause(time.monotonic())
            if self.meaning is not None:
                self.meaning.doubt()
            for pyramid in self.readers:
                pyramid.drop_all()
            viewers = list(self.viewers)
        for viewer in viewers:
            viewer.begin_anew()

    def _lengthen_pause(self, now: float) -> None:
        if now < self._paused_until:
            return  # what is met meanwhile was asked for by others
        is_calm = now - self._paused_until > _CALM_AFTER_S
        self._pause_s = 0.0 if is_calm else min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._paused_until = now + self._pause_s

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Have a change noted that is met meanwhile."""
        seen = self.times()
        try:
            yield
        except ChangedError as error:
            self.note(None if isinstance(error, ReplacedError) else seen)  # another image is news in any case
            raise

    def read(self, level: int, read: Callable[[], T], distrust: Callable[[], None], stop: threading.Event) -> T:
        """Read something of a file of a level, and anew where that may help.

        Where the file changed, all of the image that is in memory is dropped; where it is gone, that is told once.
        Where what came is damaged it may be the line or what is kept on disk, so nothing that was kept is used; what
        decoded well stays in memory.
        """
        met: list[StreamError] = []
        while True:
            try:
                self._require_meaning(level, stop)
                with self.noted():
                    return read()
            except ChangedError as error:
                met.append(error)
                if isinstance(error, VanishedError) or len(met) == ATTEMPTS:
                    self._require_meaning(level, stop)
                    raise
            except DamagedError as error:
                met.append(error)
                distrust()
                if any(isinstance(each, DamagedError) for each in met[:-1]):
                    raise
            if len(met) == ATTEMPTS:
                raise met[-1]

    def _require_meaning(self, level: int, stop: threading.Event) -> None:
        """Raise StreamError where the files of a level mean something else by now; see `Meaning`."""
        if self.meaning is not None:
            with self.noted():  # metadata may be of another image, too
                self.meaning.require(level, stop)

    def tell(self) -> None:
        """Have pictures say that there is news of what is known of the files."""
        with self.lock:
            viewers = list(self.viewers)
        for viewer in viewers:
            viewer.tell()

    def show(self, display: Display) -> None:
        """Have a picture begin anew where all is dropped."""
        with self.lock:
            self.viewers.add(display)

    def concern(self, pyramid: Pyramid) -> None:
        """Count a pyramid in."""
        with self.lock:
            self.readers.add(pyramid)
