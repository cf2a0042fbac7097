"""Whether an image was replaced on its server, by what comes of it: also of files of which nothing was read before.

Such a file doesn't tell by itself that it is of another image than those before it, unless its server says when it was
changed: then nothing that was read earlier may stand beside it. Where the server doesn't say, one of the files that
were read before is asked for anew, its first byte: when something new comes, if that was not done a moment ago, and
then once more a moment later. Where that may not be sent, as with offline mode, or fails, it is owed: `Watch.is_owed`
says so, and it is sent later. What came is used where it was only withheld.
"""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_cryoet.errand import NoThreadError, call_soon
from napari_cryoet.exceptions import CHANGED_HINT, ChangedError, CryoETError, StoppedError, WithheldError
from napari_cryoet.files import file_at
from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.documents import DOCUMENT_NAMES
from napari_cryoet.streaming.sources import SourceAround

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Hashable, Sequence

    from napari_cryoet.streaming.changes import Changes
    from napari_cryoet.streaming.fetcher import Fetcher
    from napari_cryoet.streaming.sources import ByteSource, Piece

_ASK_AFTER_S = 5.0
_OWED_AGAIN_S = 15.0
_AHEAD_S = 10.0  # a file that was changed later than so much from now was so by a clock that is wrong
_JUST_NOW_S = 3.0  # a chunk that is sent twice as changed so short before, and in the same version, never was
_REWRITTEN_AFTER_S = 60.0  # unless it may have been in so long a time
_MOST_COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class State:
    """Which image a process has opened, for others that open it, too.

    Attributes
    ----------
    since
        No file of it was changed later, in seconds since 1970.
    versions
        Of its metadata and the beginnings of its chunks that were read to open it.
    host
        On which computer these are so called; empty for those that a server names.
    """

    since: float
    versions: tuple[tuple[str, str], ...]
    host: str


class ReplacedError(ChangedError):
    """What came can't be of the same image as what was read of other files before."""


class Watch:
    """What is known of an image's files since the oldest of what is used of them was read.

    Attributes
    ----------
    is_on
        Whether a file that is newer is an error: once the image is opened. Until then `is_of_one` tells.
    state
        Of the image since it was opened, or met changed last.
    source
        The files.
    on_doubt
        Called where something came that isn't known to belong to what is used, and soon should be.
    is_owed
        Whether another file was to be asked for, and couldn't be: what is used may be of two images.
    times_begun
        How often all that had come was taken for unused; what was asked for before that says nothing of what is used.
    """

    def __init__(self) -> None:
        self.times_begun = 0
        self.is_on = self._is_local = False
        self.on_doubt: Callable[[], None] = lambda: None
        self.source: WatchedSource | None = None
        self._lock = FreshLock()
        self._since, self._newest = time.time(), -math.inf
        self._asked_at = time.monotonic()
        self.is_owed = False
        self._versions: dict[str, str] = {}  # which was asked for longest ago comes first
        self._just_changed: dict[str, tuple[str, float]] = {}  # chunks that were so when they came, and when that was
        self._has_no_times = False  # of which anything could be learnt
        self.state = State(self._since, (), "")

    @property
    def is_of_one(self) -> bool:
        """Whether no file that came was changed after something was read that is used."""
        return self._newest <= self._since

    def begin(self, *, is_local: bool) -> None:
        """Take what has come for the image that is open."""
        with self._lock:
            self.state = State(self._since, tuple(sorted(self._versions.items())), platform.node() if is_local else "")
            self.is_on, self._is_local = True, is_local

    def begin_anew(self) -> None:
        """Take nothing that came until now for used."""
        with self._lock:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._since, self._asked_at, self.is_owed = max(time.time(), self._newest), time.monotonic(), False
        self._versions.clear()
        self.times_begun += 1
        self.state = State(self._since, (), self.state.host)

    def agrees(self, state: State) -> bool:
        """Whether this may be what another process has opened; whatever is newer than that is too new here, too."""
        is_comparable = state.host in {"", platform.node()}
        with self._lock:
            is_same = all(self._versions.get(key, version) == version for key, version in state.versions)
            self._since = min(self._since, state.since)
            return (is_same or not is_comparable) and self._newest <= self._since

    def use(self, key: str, version: str, read_at: float) -> None:
        """Note that something is used that was kept."""
        with self._lock:
            self._versions.setdefault(key, version)
            if read_at < self._since:
                self._since, self._asked_at = read_at, -math.inf

    def take(self, key: str, piece: Piece, times_begun: int) -> bool:
        """Note what has come of a file; whether it may be newer than what is used, and nothing says whether it is.

        Parameters
        ----------
        key, piece
            What has come.
        times_begun
            What it was when that was asked for: what has come too late for what is used by now, nobody uses.

        Raises
        ------
        ReplacedError
            Where it is newer.
        """
        with self._lock:
            is_late, is_new = times_begun != self.times_begun, key not in self._versions
            is_told = piece.changed_at is not None and piece.changed_at <= time.time() + _AHEAD_S
            is_told = is_told and not self._is_always_new(key, piece)
            is_enough = is_told and not self._is_local  # a folder may be renamed, which changes no file in it
            if piece.version is not None and piece.content and not is_late and not (is_enough and self.is_on):
                self._versions.setdefault(key, piece.version)
            if piece.changed_at is not None and is_told:
                self._newest = max(self._newest, piece.changed_at)
                if self.is_on and piece.changed_at > self._since:
                    self._begin_anew()  # so that it is told once
                    raise ReplacedError("")
            is_doubtful = self.is_on and is_new and not is_enough and not is_late
            is_time = is_doubtful and time.monotonic() - self._asked_at > _ASK_AFTER_S
            if is_time:
                self._asked_at = time.monotonic()
        if is_doubtful:
            self.on_doubt()
        return is_time

    def _is_always_new(self, key: str, piece: Piece) -> bool:
        """Whether its server says of whatever it sends that it was changed just now, as where files are made then.

        That shows where a chunk comes a second time in the same version, and is said to have been changed meanwhile.
        """
        is_chunk = key.rpartition("/")[2] not in DOCUMENT_NAMES  # metadata are often written anew as they were
        if piece.changed_at is None or piece.version is None or not is_chunk or self._is_local:
            return self._has_no_times
        if time.time() - piece.changed_at < _JUST_NOW_S:
            version, before = self._just_changed.get(key, ("", math.inf))
            is_later = 0 < piece.changed_at - before < _REWRITTEN_AFTER_S
            self._has_no_times |= is_later and version == piece.version
            if len(self._just_changed) >= _MOST_COMPARED:
                self._just_changed.clear()
            self._just_changed[key] = piece.version, piece.changed_at
        return self._has_no_times

    def ask_soon(self) -> None:
        """Have another file asked for as soon as something new comes: that wasn't done."""
        self._asked_at = -math.inf

    def owe(self) -> None:
        """Have another file asked for as soon as something new comes, or else later: that couldn't be done."""
        self.ask_soon()
        self.is_owed = True

    def next_but(self, key: str) -> tuple[str, str] | None:
        """The file that was asked for longest ago, but for one, with its version; it comes last from now on.

        A chunk where there is one: metadata are often written anew as they were.
        """
        with self._lock:
            self._asked_at = time.monotonic()
            others = (other for other in self._versions if other != key)
            other = next((other for other in others if other.rpartition("/")[2] not in DOCUMENT_NAMES), None)
            other = other or next((other for other in self._versions if other != key), None)
            if other is None:
                return None
            version = self._versions[other] = self._versions.pop(other)
            return other, version


class WatchedSource(SourceAround):
    """The files of an image, from which a ReplacedError comes where they can't be of one image."""

    def __init__(self, source: ByteSource, watch: Watch) -> None:
        super().__init__(source)
        self._watch, watch.source = watch, self

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
        times_begun = self._watch.times_begun
        piece = super().read(key, start=start, length=length, version=version, stop=stop)
        try:
            is_doubtful = piece is not None and self._watch.take(key, piece, times_begun)
        except ReplacedError as error:
            raise self._replaced() from error
        if is_doubtful:
            self.ask_for_another(key, stop)
        return piece

    def ask_for_another(self, key: str, stop: threading.Event | None) -> None:
        """Raise ReplacedError where another file isn't what it was; where that may not be asked now, it is owed.

        Not where all was dropped while that was asked: what it was is of before.
        """
        times_begun = self._watch.times_begun
        if (other := self._watch.next_but(key)) is None:
            return
        name, version = other
        try:
            is_same = super().read(name, length=1, version=version, stop=stop) is not None
        except ChangedError:
            is_same = False
        except WithheldError:
            self._watch.owe()  # to read nothing for it would lose what has come, and what is kept
            return
        except StoppedError:
            self._watch.ask_soon()
            raise
        except CryoETError:
            self._watch.owe()
            raise
        if times_begun != self._watch.times_begun:
            return
        if not is_same:
            self._watch.begin_anew()
            raise self._replaced()
        self._watch.is_owed = False

    def _replaced(self) -> ReplacedError:
        return ReplacedError(f"{file_at(self.url)} was replaced while it was read.", hint=CHANGED_HINT)

    def forget_all(self) -> None:
        """Know of nothing; see `ByteSource`."""
        self._watch.begin_anew()
        super().forget_all()


class LastLook:
    """Looks at an image's files once more after the last new one has come, since nobody may ask for another; a planner.

    Looks that are owed it repeats, and says to pictures where there are some, and no more. It looks on a thread of its
    own: those that fetch are few, and many servers may be silent.

    Parameters
    ----------
    watch, changes
        What is known of them, and who is to know where they aren't what they were.
    fetcher
        Who calls.
    stop
        Set when nothing is to be read any more.
    """

    def __init__(self, watch: Watch, changes: Changes, fetcher: Fetcher, stop: threading.Event) -> None:
        self._watch, self._changes, self._fetcher, self._stop = watch, changes, fetcher, stop
        self._is_due = self._is_owed = False
        self._looking = FreshLock()

    def ask_for_it(self) -> None:
        """Have it looked at in a while, once for all that comes until then."""
        self._ask_for_it(_ASK_AFTER_S)

    def _ask_for_it(self, after_s: float) -> None:
        if not self._is_due and not math.isinf(after_s):
            self._is_due = True
            self._fetcher.ask(self, after_s=after_s, is_outdated=False)

    def plan(self) -> None:
        """Look; see `wishes.Planner`."""
        self._fetcher.forget(self)
        self._is_due = False  # not before: what is asked for meanwhile would be forgotten, and never again be due
        source = self._watch.source
        if self._stop.is_set() or not self._changes.readers or source is None:
            return
        if not self._looking.acquire(0):
            self._ask_for_it(_OWED_AGAIN_S)  # the last one's answer hasn't come yet
            return
        try:
            call_soon(partial(self._look, source))
        except NoThreadError:
            self._looking.release()
            self._watch.owe()
            self._follow_up()

    def _look(self, source: WatchedSource) -> None:
        try:
            source.ask_for_another("", self._stop)
        except ReplacedError:
            self._changes.note(None)
        except CryoETError:
            pass  # who reads more will be told
        finally:
            self._looking.release()
        self._follow_up()

    def _follow_up(self) -> None:
        before, self._is_owed = self._is_owed, self._watch.is_owed
        if self._is_owed != before:
            self._changes.tell()
        if self._is_owed:
            self._ask_for_it(_OWED_AGAIN_S)

    def blocks_arrived(self, keys: Sequence[Hashable]) -> None:
        """Nothing is wanted; see `wishes.Wanter`."""

    def blocks_failed(self, keys: Sequence[Hashable], error: CryoETError) -> None:
        """Nothing is wanted; see `wishes.Wanter`."""
