"""A source whose answers are kept on disk, and read from there as long as the server has nothing newer.

Before anything kept is used, its server is asked once whether the file nearest to the root (an image's metadata) is
still the same; if it isn't, all that is kept of the tree is dropped. Where it was asked a short while ago, that is put
off until something comes from the server: what is new must not stand beside what was kept of another image. A server
that doesn't answer leaves what is kept readable, and `CachedSource.as_of` says so. Once it answers it is asked after
all, and where it has something else by then, nothing of that goes with what was read before.

Only files of which the server names a version (ETag, or date and size) are kept: parts of others could not be told
from parts of their successors. Nor is what was changed just now, as some servers say of all that they send. That there
is no such file is kept too. Of metadata it counts as long as the root is the same; of anything else (a chunk that may
not have been uploaded yet) only for that short while.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from napari_cryoet.errand import NO_THREADS_HINT, Errand, ErrandOverdueError, NoThreadError
from napari_cryoet.exceptions import ChangedError, NetworkError, StreamError, WithheldError
from napari_cryoet.files import file_at, without_password
from napari_cryoet.forks import FreshLock
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.disk_settings import ask_again_after_s
from napari_cryoet.streaming.documents import DOCUMENT_NAMES
from napari_cryoet.streaming.sources import Piece, SourceAround
from napari_cryoet.this_computer import is_this_computer

if TYPE_CHECKING:
    from napari_cryoet.streaming.disk_cache import DiskCache, Part
    from napari_cryoet.streaming.disk_tasks import Tree
    from napari_cryoet.streaming.sources import ByteSource
    from napari_cryoet.streaming.watch import Watch

_COMPARED_BYTES = 4096
_PATIENCE_S = 5.0
_JUST_NOW_S = 3.0
_TROUBLED_STATUSES = {408, 425, 429}


class CachedSource(SourceAround):
    """A source on the network with a cache.

    Parameters
    ----------
    source
        Where bytes come from.
    cache
        Where they are kept.
    revalidate_after_s
        For how long what is kept counts without asking; by default an hour, or what the environment says (see
        `disk_settings`), and not at all for this computer: asking it costs little, and test data change often.
    watch
        What is to know what of it is used.
    """

    def __init__(
        self,
        source: ByteSource,
        cache: DiskCache,
        *,
        revalidate_after_s: float | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(source)
        self._cache, self._watch = cache, watch
        if revalidate_after_s is None:
            is_near = is_this_computer(urlsplit(source.url).hostname or "")
            revalidate_after_s = 0.0 if is_near else ask_again_after_s()
        self._revalidate_after_s = revalidate_after_s
        self._lock = FreshLock()
        self._tree: Tree | None = None
        self._as_of: datetime | None = None
        self._unconfirmed: tuple[str, Part] | None = None  # what the server wasn't asked about, or without an answer
        self._is_outdated = False
        self._distrusted: set[str] = set()  # files of which nothing that was kept before is used

    @property
    def as_of(self) -> datetime | None:
        """Where the server didn't answer: when it last confirmed what is kept of it. None where it did."""
        return self._as_of

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it, from disk or from the server; see `ByteSource`."""
        tree = self._checked_tree(stop)
        part = None if key in self._distrusted else self._cache.find(tree, key, start, length)
        if part is not None and self._counts(part, key, version):
            if part.content is None:
                return None
            if self._watch is not None:
                self._watch.use(key, part.version, part.stored_at)
            return Piece(part.content, part.version, part.total_bytes)
        self._require_current()
        drops = tree.drops
        try:
            piece = super().read(key, start=start, length=length, version=version, stop=stop)
        except ChangedError:
            self._cache.drop(tree)
            if self._as_of is None and self._unconfirmed is not None and self._unconfirmed[0] == key:
                self._unconfirmed = None  # who reads it knows now
            raise
        self._ask_after_all(tree, key, piece, stop)
        if part is not None and piece is not None and part.content is not None and part.version != piece.version:
            self._cache.drop(tree)
            drops = tree.drops
        if piece is None:
            if version is not None:  # of which parts are kept, perhaps
                self._cache.drop(tree)
                drops = tree.drops
            self._cache.put(tree, key, 0, None, version="", total_bytes=None, drops=drops)
        else:
            self._keep(tree, key, piece, start, length, drops=drops)
        return piece

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file, neither now nor later; see `ByteSource`."""
        self._distrusted.add(key)
        if self._tree is not None:
            self._cache.forget(self._tree, key)
        super().forget(key)

    def forget_all(self) -> None:
        """Use nothing that was kept until now; see `ByteSource`."""
        if self._tree is not None:
            self._cache.drop(self._tree)
        super().forget_all()

    def begin_anew(self) -> bool:
        """Take what the server has for the image, where something else was kept, of which nothing is used from now on.

        False where the server wasn't found to have something else.
        """
        with self._lock:
            was_outdated, self._is_outdated = self._is_outdated, False
            if was_outdated:
                self._unconfirmed = self._as_of = None
        return was_outdated

    def _counts(self, part: Part, key: str, version: str | None) -> bool:
        """Whether what was found on disk is an answer."""
        if part.content is not None:
            return version in {None, part.version}
        is_document = key.rpartition("/")[2] in DOCUMENT_NAMES
        return is_document or self._as_of is not None or self._is_recent(part.stored_at)

    def _keep(self, tree: Tree, key: str, piece: Piece, start: int, length: int | None, *, drops: int) -> None:
        size, total = len(piece.content), piece.total_bytes
        if total is None and start >= 0 and size and (length is None or size < length):
            total = start + size  # fewer bytes come only where the file ends
        if start < 0 and total is not None:
            start = max(0, total + start)
        is_sound = start >= 0 and (size > 0 or total == 0) and (total is None or start + size <= total)
        is_new = piece.changed_at is not None and time.time() - piece.changed_at < _JUST_NOW_S
        if piece.version and is_sound and not is_new:
            version = piece.version
            self._cache.put(tree, key, start, piece.content, version=version, total_bytes=total, drops=drops)

    def _is_recent(self, moment_s: float) -> bool:
        return 0 <= time.time() - moment_s < self._revalidate_after_s

    def _checked_tree(self, stop: threading.Event | None) -> Tree:
        """What is kept, once it has been asked whether it still counts: one asks, and the others wait for that."""
        if (checked := self._tree) is not None:
            return checked  # also while what is new waits for the server
        with self._lock.held(stop):
            if self._tree is None:
                raise_if_stopped(stop)
                tree = self._cache.tree(without_password(self.url))
                self._check(tree, stop)
                self._tree = tree
            return self._tree

    @property
    def _is_confirmed(self) -> bool:
        """Whether there is nothing more to ask about what is kept; said without waiting for who asks just now."""
        return self._unconfirmed is None

    def _ask_after_all(self, tree: Tree, key: str, piece: Piece | None, stop: threading.Event | None) -> None:
        """Now that the server answers, ask what it wasn't, or didn't answer; StreamError where it is another image."""
        if self._is_confirmed:
            return
        with self._lock.held(stop):
            if self._unconfirmed is not None and not self._is_outdated:
                top, kept = self._unconfirmed
                if (key == top and _is_of_version(piece, kept)) or self._is_still(top, kept, stop):
                    self._cache.confirm(tree)
                    self._unconfirmed = self._as_of = None
                else:
                    self._cache.drop(tree)
                    self._is_outdated = True
        self._require_current()

    def _require_current(self) -> None:
        if self._is_outdated:
            name = file_at(self.url)
            raise StreamError(f"{name} has changed on its server since it was kept.", hint="Open it again.")

    def _check(self, tree: Tree, stop: threading.Event | None) -> None:
        """Ask the server about a tree, if need be; drop what isn't there any more."""
        if tree.checked_at is None:
            return
        top = self._cache.top(tree)
        if top is None:  # nothing that could be compared
            self._cache.drop(tree)
            return
        if self._is_recent(tree.checked_at) and self._cache.can_note():
            self._unconfirmed = top
            return
        try:
            is_still = self._is_still(*top, stop)
        except StreamError as error:
            if not _is_silence(error):
                raise
            self._as_of, self._unconfirmed = datetime.fromtimestamp(tree.checked_at, UTC), top
            return
        if is_still:
            self._cache.confirm(tree)
        else:
            self._cache.drop(tree)

    def _is_still(self, key: str, kept: Part, stop: threading.Event | None) -> bool:
        """Whether the server has a file as it is kept."""
        try:
            piece = self._ask(key, stop)
        except ChangedError:
            return False
        return piece is not None and _is_of_version(piece, kept) and _is_same(piece.content, kept.content or b"")

    def _ask(self, key: str, stop: threading.Event | None) -> Piece | None:
        """The first bytes of a file; an image that is kept must not wait long for a server."""
        give_up = threading.Event()
        try:
            errand = Errand(lambda _: self._source.read(key, length=_COMPARED_BYTES, stop=give_up))
        except NoThreadError as error:
            raise StreamError("No thread can be started to ask the server with.", hint=NO_THREADS_HINT) from error
        try:
            return errand.wait(stop, _PATIENCE_S)
        except ErrandOverdueError as error:
            raise StreamError(f"The server of {file_at(self.url)} doesn't answer.", hint="Try again later.") from error
        finally:
            give_up.set()


def _is_of_version(piece: Piece | None, kept: Part) -> bool:
    """Whether a file is the one that was kept.

    An ETag may be a sum of the content. Then only the time tells that metadata were written anew, with other voxels.
    """
    if piece is None or piece.version != kept.version:
        return False
    return piece.changed_at is None or piece.changed_at <= kept.stored_at


def _is_same(one: bytes, other: bytes) -> bool:
    """Whether two beginnings of a file agree."""
    size = min(len(one), len(other))
    return one[:size] == other[:size]


def _is_silence(error: Exception) -> bool:
    """Whether the server gave no answer, rather than one that we don't like."""
    cause = error.__cause__
    if isinstance(error, WithheldError) or isinstance(cause, ErrandOverdueError):
        return True
    if not isinstance(cause, NetworkError):
        return False
    return cause.status is None or cause.status >= 500 or cause.status in _TROUBLED_STATUSES
