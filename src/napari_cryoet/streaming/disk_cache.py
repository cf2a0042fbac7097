"""What came over the wire, kept on disk: bounded in bytes, shared by processes, believed where a checksum fits.

An entry is a *part*: some bytes of a file below a *tree* (the address that was opened), with the version of the file
that the server named; or the fact that the server has no such file. Parts up to 32 KiB stand in an SQLite database,
larger ones in a file each that the database names. A part is found where one or several kept parts hold all bytes that
are asked for.

Why so, by what is required of it:

- *Killed or out of space in the middle of a write, several processes at once*: SQLite's transactions. A file is whole
  before a row names it, and is deleted after no row does; what a killed writer leaves behind is swept up once a day. A
  damaged database is moved aside and begun anew.
- *Nothing wrong is ever read*: a 128-bit checksum covers content and all that the row says of it. xxHash: 70 GB/s
  here, against 6 for CRC-32 and 1 for BLAKE2.
- *Nothing outdated is found again*: that a tree is, stands beside the index before anybody hears of it; `outdated`.
- *Quick*: 0.65 ms to keep half a megabyte and 0.3 ms to read it, 0.01 ms for a table of 528 bytes. Everything inside
  the database takes 2.5 ms to keep (each byte is written twice), files alone 0.1 ms to read a table that isn't in
  memory.
- *Never in the way*: writing is left to `disk_writer`, reading needs one short query.

Not used: diskcache (unpickles what it finds, unmaintained since 2023), zarr's CacheStore (its bound is not kept across
restarts, ranges are not cached), lmdb (a map whose size is fixed beforehand, never shrinks, and kills the process where
the disk is full).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.disk_index import (
    MAX_PART_BYTES,
    WHOLE_FILE,
    Index,
    IndexErrors,
    PartRow,
    digest_of,
    is_damage,
)
from napari_cryoet.streaming.disk_tasks import ConfirmTree, DropFile, DropPart, DropTree, KeepPart, Task, Tree
from napari_cryoet.streaming.disk_writer import INDEX_NAME, DiskWriter, own_folder, remove_all
from napari_cryoet.streaming.outdated import OutdatedTrees
from napari_cryoet.streaming.part_files import PartFiles

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_READ_TIMEOUT_S = 0.1  # rather ask the server than wait for another process
_EXIT_FLUSH_S = 3.0
_QUEUE_BYTES = 64 * 2**20
_KEEP_FREE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file, or that there is no such file.

    Attributes
    ----------
    content
        The bytes, None where the server has no such file.
    version
        The version of the file that the server named.
    total_bytes
        Size of the whole file, where it is known.
    stored_at
        When it came, in seconds since 1970.
    """

    content: bytes | None
    version: str
    total_bytes: int | None
    stored_at: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cache takes.

    Attributes
    ----------
    size_bytes, limit_bytes
        On disk, now and at most.
    trees
        Of how many addresses something is kept.
    fault
        Why nothing can be kept at the moment, empty where it can.
    """

    size_bytes: int
    limit_bytes: int
    trees: int
    fault: str


class DiskCache:
    """Parts of files on disk; all methods may be called from any thread, and none but `clear` raises anything.

    Parameters
    ----------
    folder
        Where; made when the first part is kept. All is in one folder below it, and nothing else is ever touched.
    limit_bytes
        What all parts may take on disk; what was unused longest goes first.
    newest_limit_bytes
        Asked each time that something was written, since a person may set another limit meanwhile; None where that
        of the beginning still holds.
    keep_free_bytes
        How much of the disk is left to others, whatever the limit.
    queue_bytes
        How much may wait to be written; what comes then isn't kept.
    """

    def __init__(
        self,
        folder: str | Path,
        limit_bytes: int,
        *,
        newest_limit_bytes: Callable[[], int | None] = lambda: None,
        keep_free_bytes: int = _KEEP_FREE_BYTES,
        queue_bytes: int = _QUEUE_BYTES,
    ) -> None:
        self.folder = Path(folder).absolute()  # wherever the program goes later
        self.limit_bytes, self._newest_limit_bytes = limit_bytes, newest_limit_bytes
        self._own_folder = own_folder(self.folder)
        self._files, self._outdated = PartFiles(self._own_folder), OutdatedTrees(self._own_folder)
        self._writer = DiskWriter(
            self._own_folder, self._limit_now, keep_free_bytes=keep_free_bytes, queue_bytes=queue_bytes
        )
        self._max_part_bytes = min(MAX_PART_BYTES, limit_bytes // 2)
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._process = os.getpid()
        _caches.add(self)

    def tree(self, address: str) -> Tree:
        """What is known of an address: nothing where what is kept of it is known to be outdated."""
        digest = digest_of(address)
        notes = self._outdated.of(digest)  # first: they go after what they are about
        found = None if notes else self._ask(lambda index: index.find_tree(digest))
        tree = Tree(address, shown_address(address), found)
        if notes:
            self._queue(DropTree(tree, self._outdated, notes))
        return tree

    def can_note(self) -> bool:
        """Whether it can be noted that something is outdated, so that what was confirmed lately may count unasked."""
        return os.access(self._own_folder, os.W_OK)

    def find(self, tree: Tree, key: str, start: int = 0, length: int | None = None) -> Part | None:
        """Some bytes of a file, if all of them are kept.

        Parameters
        ----------
        tree, key
            Which file.
        start
            The first byte; negative counts from the end.
        length
            How many bytes at most; None for all.

        Returns
        -------
        Part or None
            A part without content where it is known that there is no such file; None where nothing is known.
        """
        number = tree.number
        if number is None:
            return None
        rows: list[PartRow] = []
        if start >= 0 and length is not None:  # one question is enough, usually
            rows = self._ask(lambda index: index.overlapping(number, key, start, start + length)) or []
        some = rows[0] if rows else self._ask(lambda index: index.any_part(number, key))
        if some is None:
            return None
        if some.is_absent:
            return None if self._verified(tree, some) is None else Part(None, "", None, some.stored_at)
        span = _span(start, length, some.total)
        if span is None:
            return None
        if span[0] >= span[1]:  # beyond the end
            return None if self._verified(tree, some) is None else _part(some, b"")
        if start < 0 or length is None:
            rows = self._ask(lambda index: index.overlapping(number, key, *span)) or []
        alike = [row for row in rows if (row.version, row.total, row.is_absent) == (some.version, some.total, 0)]
        return self._join(tree, alike, *span)

    def _join(self, tree: Tree, rows: list[PartRow], start: int, stop: int) -> Part | None:
        """The bytes ``start`` to ``stop`` out of parts that hold them together."""
        chosen = _cover(rows, start, stop)
        if not chosen:
            return None
        pieces = []
        position = start
        for row in chosen:
            content = self._verified(tree, row)
            if content is None:
                return None
            end = min(row.stop, stop)
            pieces.append(content if (position, end) == row[3:5] else content[position - row.start : end - row.start])
            position = end
        for row in chosen:
            self._writer.touch(row.id)
        return _part(chosen[0], pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def top(self, tree: Tree) -> tuple[str, Part] | None:
        """The kept file that lies nearest to the tree's root: its name and first bytes, if these are kept."""
        number = tree.number
        row = None if number is None else self._ask(lambda index: index.top_part(number))
        content = None if row is None else self._verified(tree, row)
        return None if row is None or content is None or row.start else (row.key, _part(row, content))

    def put(
        self,
        tree: Tree,
        key: str,
        start: int,
        content: bytes | None,
        *,
        version: str,
        total_bytes: int | None,
        drops: int | None = None,
    ) -> bool:
        """Keep a part, later and if there is time and space.

        Parameters
        ----------
        tree, key
            Which file.
        start
            Position of the first byte, not negative.
        content
            The bytes; None says that there is no such file.
        version
            The version of the file that the server named. Where parts of another one are kept, the tree has changed,
            and all else of it is forgotten.
        total_bytes
            Size of the whole file, where it is known.
        drops
            How often the tree had been dropped when the server was asked; by default as often as by now. What was on
            its way while that was done may be of what was there before.

        Returns
        -------
        bool
            Whether it will be tried.
        """
        if content is not None and len(content) > self._max_part_bytes:
            return False
        is_absent, stop = int(content is None), WHOLE_FILE if content is None else start + len(content)
        row = PartRow(0, key, version, start, stop, total_bytes, is_absent, int(time.time()), b"", None, None)
        return self._queue(KeepPart(tree, row, content or b"", tree.drops if drops is None else drops))

    def confirm(self, tree: Tree) -> None:
        """Note that the server was asked just now, and has the tree as it is kept."""
        tree.checked_at = time.time()
        number = tree.number
        if number is not None:
            self._queue(ConfirmTree(number, tree.digest))

    def forget(self, tree: Tree, key: str) -> None:
        """Forget, later, all that was kept of a file until now."""
        self._queue(DropFile(tree, key))

    def drop(self, tree: Tree) -> None:
        """Forget all that is kept of a tree.

        Nothing of it is found from now on, nor by who opens it in any process, also if this one is killed at once.
        """
        tree.drop()
        self._queue(DropTree(tree, self._outdated, self._note(tree)))

    def _note(self, tree: Tree) -> list[str]:
        """Note that what is kept of a tree is outdated; rather than that nobody knows it, all that is kept goes."""
        if not os.path.exists(self._own_folder / INDEX_NAME):
            return []  # there is nothing of it
        try:
            return [self._outdated.note(tree.digest)]
        except OSError:
            if self._process == os.getpid():  # else the writer's lock may be held by who stayed behind
                self._writer.begin_anew()
            return []

    def usage(self) -> Usage:
        """What is kept, in short."""
        size_bytes = self._ask(lambda index: index.cost_bytes()) or 0
        trees = self._ask(lambda index: index.count_trees()) or 0
        return Usage(size_bytes, self._limit_now(), trees, self._writer.fault)

    def _limit_now(self) -> int:
        newest_bytes = self._newest_limit_bytes()
        return self.limit_bytes if newest_bytes is None else newest_bytes

    def flush(self, timeout_s: float = _EXIT_FLUSH_S) -> bool:
        """Wait until all that waits is written; False if that takes too long, or nobody can do it."""
        return self._process != os.getpid() or self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits, and give the database up until something is asked for again."""
        self.flush()
        if self._process == os.getpid():  # else neither the lock nor the connection is ours
            with self._lock:
                self._leave_index()

    def clear(self) -> None:
        """Delete all that is kept; OSError where that can't be done."""
        self.flush()
        remove_all(self.folder)

    def _verified(self, tree: Tree, row: PartRow) -> bytes | None:
        """A part's content if it is what was kept; else the part is forgotten."""
        content = row.content if row.name is None else self._files.read(row.name)
        if content is None:
            content = b"" if row.is_absent else None
        if content is not None and _is_sound(row, content) and row.sum_with(tree.digest, content) == row.checksum:
            return content
        self._queue(DropPart(row.id, row.checksum))
        return None

    def _queue(self, task: Task) -> bool:
        return self._process == os.getpid() and self._writer.add(task)

    def _ask(self, question: Callable[[Index], T]) -> T | None:
        """Ask the index; None where it can't be asked."""
        if self._process != os.getpid():
            return None  # a connection must not be taken into a child process
        with self._lock:
            try:
                index = self._open_index()
                return None if index is None else question(index)
            except IndexErrors as error:
                is_current = self._index is None or self._index.is_same_file()
                self._leave_index()
                if is_damage(error, may_lack_tables=True) and is_current:
                    self._writer.report_damage()
                return None

    def _open_index(self) -> Index | None:
        path = self._own_folder / INDEX_NAME
        if self._index is not None and not self._index.is_same_file():
            self._leave_index()  # somebody began anew
        if self._index is None and os.path.exists(path):
            self._index = Index(path, may_write=False, timeout_s=_READ_TIMEOUT_S)
        return self._index

    def _leave_index(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            with contextlib.suppress(*IndexErrors):
                index.close()


_caches: WeakSet[DiskCache] = WeakSet()


@atexit.register
def _write_what_waits() -> None:
    """A script may end right after it has read something."""
    for kept in list(_caches):
        kept.flush()


def _span(start: int, length: int | None, total: int | None) -> tuple[int, int] | None:
    """The bytes that are asked for, by position; None where that can't be said."""
    if total is None:
        return None if start < 0 or length is None else (start, start + length)
    first = max(0, total + start) if start < 0 else start
    return first, total if length is None else min(total, first + length)


def _cover(rows: list[PartRow], start: int, stop: int) -> list[PartRow]:
    """As few as possible of some parts (in order of position) that hold all bytes together; empty where they don't."""
    chosen: list[PartRow] = []
    position = start
    while position < stop:
        fitting = [row for row in rows if row.start <= position < row.stop]
        if not fitting:
            return []
        chosen.append(max(fitting, key=lambda row: row.stop))
        position = chosen[-1].stop
    return chosen


def _part(row: PartRow, content: bytes) -> Part:
    return Part(content, row.version, row.total, row.stored_at)


def _is_sound(row: PartRow, content: bytes) -> bool:
    """Whether a row's numbers fit the content; its checksum tells the rest."""
    return bool(row.is_absent) or row.stop - row.start == len(content)
