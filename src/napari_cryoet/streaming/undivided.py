"""Parts of files whose server sends nothing but whole files, as Python's own web server does: each is read once."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from napari_cryoet.errand import NO_THREADS_HINT, NoThreadError, started
from napari_cryoet.exceptions import CHANGED_HINT, ChangedError, NoPartsError, StreamError, WithheldError
from napari_cryoet.files import file_at
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.shared import made_once
from napari_cryoet.stopping import POLL_S, raise_if_stopped
from napari_cryoet.streaming.cache import OVERHEAD_BYTES, MemoryCache
from napari_cryoet.streaming.sources import Piece, SourceAround

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from concurrent.futures import Future

    from napari_cryoet.streaming.sources import ByteSource

_LARGEST_BYTES = 256 * 2**20  # larger files are refused: nobody has asked for that much
_HELD_BYTES = _LARGEST_BYTES + OVERHEAD_BYTES  # what isn't held would be read whole for each part of it
_MOST_ON_ITS_WAY_BYTES = 256 * 2**20  # for one image; a file alone may always come


class UndividedFiles(SourceAround):
    """A source that reads a file whole where a part that lies far into it can't be had otherwise.

    All who want parts of a file then wait for one answer, which is given up once all of them have left. The last files
    of all images are held in memory, beside the decoded blocks, which they would drive out; and the source may keep
    those on disk that aren't too large for it.

    Parameters
    ----------
    source
        The files.
    owner
        What is held is held for; see `MemoryCache.forget_where`.

    Attributes
    ----------
    sends_parts
        Whether no file was met yet that had to come from its start for a part of it.
    """

    def __init__(self, source: ByteSource, owner: Hashable) -> None:
        super().__init__(source)
        self.sends_parts = True
        self._held, self._prefix = held_files(), (owner, "whole")
        self._sizes_bytes: dict[str, int] = {}  # of the files of which a part was refused
        self._room = _Room(_MOST_ON_ITS_WAY_BYTES)
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Know of nothing that is on its way; see `forks`."""
        self._readings: dict[str, _Reading] = {}
        self._lock = threading.Lock()

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        size_bytes = self._sizes_bytes.get(key)
        if size_bytes is None:
            try:
                piece = super().read(key, start=start, length=length, version=version, stop=stop)
            except StreamError as error:
                size_bytes = self._sizes_bytes[key] = _size_if_worth_reading(error)
                self.sends_parts = False
            else:
                self.note(piece)
                return piece
        whole = self._whole(key, size_bytes, version, stop)
        if not _is_of(whole, version):  # held since before it was met changed
            self._let_go(key)
            whole = self._whole(key, size_bytes, version, stop)
            if not _is_of(whole, version):  # come for others, who wanted any
                raise ChangedError(f"{file_at(self.url, key)} changed while it was read.", hint=CHANGED_HINT)
        return None if whole is None else _part_of(whole, start, length)

    def note(self, piece: Piece | None) -> None:
        """Learn from what came of a file."""
        self.sends_parts &= piece is None or not piece.is_cut

    def _whole(self, key: str, size_bytes: int, version: str | None, stop: threading.Event | None) -> Piece | None:
        """A file that is held, or that comes for all who wait for it."""
        while True:
            raise_if_stopped(stop)
            with self._lock:
                held = self._held.get((*self._prefix, key))
                if isinstance(held, Piece):
                    return held
                reading = self._readings.get(key)
                is_own = reading is None
                if reading is None:
                    reading = self._readings[key] = self._begin(key, size_bytes, version)
                reading.waiting += 1
            try:
                return reading.wait(stop)
            except WithheldError:  # when another began it: it may be allowed by now
                if is_own:
                    raise
            finally:
                self._leave(key, reading)

    def _begin(self, key: str, size_bytes: int, version: str | None) -> _Reading:
        reading = _Reading()
        try:
            reading.piece = started(partial(self._read_whole, key, size_bytes, version, reading))
        except NoThreadError as error:
            raise StreamError("No thread can be started to read with.", hint=NO_THREADS_HINT) from error
        return reading

    def _read_whole(self, key: str, size_bytes: int, version: str | None, reading: _Reading) -> Piece | None:
        piece = None
        try:
            with self._room.taken(size_bytes, reading.stop):
                piece = super().read(key, version=version, stop=reading.stop)
            return piece
        finally:
            with self._lock:
                if self._readings.get(key) is reading:  # else it was forgotten meanwhile
                    del self._readings[key]
                    if piece is not None:
                        self._held.put((*self._prefix, key), piece, len(piece.content))

    def _leave(self, key: str, reading: _Reading) -> None:
        """Wait for a file no longer; it is given up where nobody does."""
        with self._lock:
            reading.waiting -= 1
            if reading.waiting == 0:
                reading.stop.set()
                if self._readings.get(key) is reading:
                    del self._readings[key]

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file any more; see `ByteSource`."""
        self._sizes_bytes.pop(key, None)  # it may have become too large
        self._let_go(key)
        super().forget(key)

    def _let_go(self, key: str) -> None:
        with self._lock:
            self._readings.pop(key, None)  # which reaches only those who wait for it
            self._held.forget((*self._prefix, key))

    def forget_all(self) -> None:
        """Use nothing that is kept of any file any more; see `ByteSource`."""
        self._sizes_bytes.clear()
        with self._lock:
            self._readings.clear()
            self._held.forget_if(lambda key: isinstance(key, tuple) and key[:-1] == self._prefix)
        super().forget_all()


class _Reading:
    """A file on its way, for as long as anybody waits for it."""

    piece: Future[Piece | None]

    def __init__(self) -> None:
        self.stop, self.waiting = threading.Event(), 0

    def wait(self, stop: threading.Event | None) -> Piece | None:
        """The file, None where there is none; StoppedError on ``stop``, whoever else goes on to wait."""
        while not wait([self.piece], None if stop is None else POLL_S).done:
            raise_if_stopped(stop)
        return self.piece.result()


class _Room:
    """For so many bytes at once; who comes first goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Be empty; see `forks`."""
        self._state = threading.Condition()
        self._queue: deque[object] = deque()
        self._taken_bytes = 0

    @contextmanager
    def taken(self, size_bytes: int, stop: threading.Event) -> Iterator[None]:
        """Take some of it for a while, when there is enough; StoppedError where ``stop`` is set before."""
        place = object()
        with self._state:
            self._queue.append(place)
            try:
                while self._queue[0] is not place or self._is_too_full_for(size_bytes):
                    raise_if_stopped(stop)
                    self._state.wait(POLL_S)
                raise_if_stopped(stop)
                self._taken_bytes += size_bytes
            finally:
                self._queue.remove(place)
                self._state.notify_all()
        try:
            yield
        finally:
            with self._state:
                self._taken_bytes -= size_bytes
                self._state.notify_all()

    def _is_too_full_for(self, size_bytes: int) -> bool:
        return self._taken_bytes > 0 and self._taken_bytes + size_bytes > self._most_bytes


@made_once
def held_files() -> MemoryCache[object]:
    """Where all images of this process hold whole files."""
    return MemoryCache(_HELD_BYTES)


def _size_if_worth_reading(error: StreamError) -> int:
    """The size of a file of which a part was refused; any other error, and that of too large a file, is raised."""
    cause = error.__cause__
    size_bytes = cause.total_bytes if isinstance(cause, NoPartsError) else None
    if size_bytes is None or size_bytes > _LARGEST_BYTES:
        raise error
    return size_bytes


def _is_of(whole: Piece | None, version: str | None) -> bool:
    """Whether a file is of a version, if one is wanted; that it is missing is told in any case."""
    return whole is None or version in {None, whole.version}


def _part_of(whole: Piece, start: int, length: int | None) -> Piece:
    first = max(0, len(whole.content) + start) if start < 0 else start
    last = None if length is None else first + length
    return Piece(whole.content[first:last], whole.version, whole.total_bytes, whole.changed_at)
