"""Write-behind for the disk cache: one thread that writes what is queued, in batches, and drops what is too much.

Whoever queues something returns at once. The thread starts when there is something to write, waits a moment for more
to come (the picture comes first), and ends when there is nothing more. A batch is all or nothing: files are written
before the one transaction that names them, and deleted after the one that no longer does. Where the disk refuses, it is
left alone for a while; what has to be forgotten waits for the end of that while, or for the end of the process.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from napari_cryoet.streaming.disk_index import (
    Index,
    IndexDamagedError,
    IndexErrors,
    is_busy,
    is_damage,
    is_refused_by_itself,
)
from napari_cryoet.streaming.disk_tasks import KeepPart
from napari_cryoet.streaming.outdated import OutdatedTrees
from napari_cryoet.streaming.part_files import PartFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_cryoet.streaming.disk_tasks import Task

INDEX_NAME = "index.sqlite3"
_OWN_FOLDER = "napari-cryoet-parts"

_GATHER_S = 0.25
_IDLE_S = 1.0
_BATCH_BYTES = 16 * 2**20
_BUSY_TIMEOUT_S = 5.0
_PAUSE_S = 30.0  # after the disk refused
_SWEEP_EVERY_S = 86_400.0


class DiskWriter:
    """The thread that writes.

    Parameters
    ----------
    folder
        The cache's own; made when there is something to write.
    limit_bytes
        Tells what all parts may take on disk by now.
    keep_free_bytes
        How much of the disk is left to others, whatever the limit.
    queue_bytes
        How much may wait; what comes then is dropped.
    """

    def __init__(self, folder: Path, limit_bytes: Callable[[], int], *, keep_free_bytes: int, queue_bytes: int) -> None:
        self._folder, self._files, self._outdated = folder, PartFiles(folder), OutdatedTrees(folder)
        self._limit_bytes, self._keep_free_bytes, self._queue_bytes = limit_bytes, keep_free_bytes, queue_bytes
        self._state = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._touched: set[int] = set()
        self._queued_bytes = 0
        self._is_running = self._is_urgent = self._is_damaged = False
        self._is_new = False  # begun anew, and nothing was written since
        self._paused_until = 0.0
        self.fault = ""  # why nothing can be written at the moment

    def add(self, task: Task) -> bool:
        """Queue something; False where it is dropped."""
        with self._state:
            is_too_much = self._queued_bytes + task.size_bytes > self._queue_bytes or self._is_paused()
            if is_too_much and not task.is_due:
                return False
            self._tasks.append(task)
            self._queued_bytes += task.size_bytes
            self._call_thread()
        return True

    def touch(self, part: int) -> None:
        """Note that a part was used."""
        with self._state:
            if not self._is_paused():
                self._touched.add(part)
                self._call_thread()

    def report_damage(self) -> None:
        """Note that the index can't be read any more: it is begun anew."""
        with self._state:
            self._is_damaged = True
            self._call_thread()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is queued is written, or dropped; False if that takes too long, or nobody can do it.

        Where the disk refused, what is due is tried once more; if it refuses again, that stays due.
        """
        with self._state:
            if self._is_owing():
                self._call_thread()
            self._is_urgent = True
            self._state.notify_all()
            return self._state.wait_for(self._is_at_rest, timeout_s) and not self._is_waiting()

    def _call_thread(self) -> None:
        if self._is_running:
            self._state.notify_all()
            return
        self._is_running, self._is_urgent = True, False
        try:
            threading.Thread(target=self._serve, name="napari-cryoet-disk", daemon=True).start()
        except RuntimeError:  # the system has none to give, or Python is ending: what comes next tries again
            self._is_running = False

    def _serve(self) -> None:
        """Write until there has been nothing to write for a while."""
        index: Index | None = None
        is_done = False
        try:
            while not is_done:
                while self._has_work():
                    index = self._write_batch(index)
                    if self._was_refused():
                        break
                if index is not None:
                    index.close()
                    index = None
                is_done = self._leave()
        finally:
            if not is_done:  # by an error that nobody foresaw: the next task starts another thread
                with self._state:
                    self._is_running = False
                    self._state.notify_all()

    def _has_work(self) -> bool:
        """Wait for something to do, and a moment longer; False when there is nothing for long."""
        with self._state:
            pause_s = self._paused_until - time.monotonic() if self._is_owing() else 0.0
            self._state.wait_for(lambda: self._is_waiting() or self._is_urgent, max(_IDLE_S, pause_s))
            if self._is_waiting():
                self._state.wait_for(lambda: self._is_urgent or self._queued_bytes > _BATCH_BYTES, _GATHER_S)
            return self._is_waiting() or (self._is_urgent and self._is_owing())

    def _is_owing(self) -> bool:
        """Whether there is anything to do, be it after a pause."""
        return bool(self._tasks or self._touched or self._is_damaged)

    def _is_waiting(self) -> bool:
        return self._is_owing() and not self._is_paused()

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _is_at_rest(self) -> bool:
        """Whether nothing is being done, nor will be before a pause is over."""
        return not self._is_running or (self._is_paused() and not self._is_urgent)

    def _was_refused(self) -> bool:
        """Whether the disk is to be left alone after a batch; then what was urgent was tried."""
        with self._state:
            if self._is_paused():
                self._is_urgent = False
            return self._is_paused()

    def _leave(self) -> bool:
        """End, unless something came at the last moment, or is to be done once a pause is over."""
        with self._state:
            self._is_running = self._is_owing()
            self._state.notify_all()
            return not self._is_running

    def _take(self) -> tuple[list[Task], set[int]]:
        with self._state:
            batch: list[Task] = []
            taken_bytes = 0
            while self._tasks and (not batch or taken_bytes + self._tasks[0].size_bytes <= _BATCH_BYTES):
                batch.append(self._tasks.popleft())
                taken_bytes += batch[-1].size_bytes
            self._queued_bytes -= taken_bytes
            self._paused_until = 0.0  # also where that is tried before it's over
            touched, self._touched = self._touched, set()
            return batch, touched

    def _write_batch(self, index: Index | None) -> Index | None:
        """Write a batch and return the open index, None where it has to be opened anew."""
        batch, touched = self._take()
        try:
            is_damaged, self._is_damaged = self._is_damaged, False
            if is_damaged and (self._folder / INDEX_NAME).exists():  # else it was begun anew since a reader met it
                raise IndexDamagedError("a reader met damage")
            if index is not None and not index.is_same_file():
                index.close()  # another process began anew
                index = None
            index = index or self._open()
            self._write(index, batch, touched)
        except (*IndexErrors, OSError) as error:
            self._take_back(batch)
            if is_damage(error) or is_refused_by_itself(error, self._folder / INDEX_NAME):
                is_old = index is not None and not index.is_same_file()
                if index is not None:
                    index.close()
                self._put_back(task for task in batch if task.is_due)
                if self._is_new:  # and damaged once more: it would be for ever
                    self._pause(error)
                if not is_old:
                    self.begin_anew()
                self._is_new = not is_old
                return None
            self._pause(error, batch)
        else:
            self._is_new = False
            if not self._is_paused():
                self.fault = ""
        return index

    def _open(self) -> Index:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # it is tried again when it's needed
            self._outdated.make_folder()
        return Index(self._folder / INDEX_NAME, may_write=True, timeout_s=_BUSY_TIMEOUT_S)

    def _write(self, index: Index, batch: list[Task], touched: set[int]) -> None:
        now = time.time()
        self._sweep(index, now)
        ready = [task for task in batch if self._prepare(task)]
        with index.transaction():
            index.touch(touched, now)
            useless = [name for task in ready for name in task.apply(index, now)]
            free_bytes = shutil.disk_usage(self._folder).free - self._keep_free_bytes
            evicted = index.evict(max(0, min(self._limit_bytes(), index.cost_bytes() + free_bytes)))
        for task in ready:
            task.finish()
        self._files.remove([*useless, *evicted])
        index.give_space_back()

    def _prepare(self, task: Task) -> bool:
        try:
            task.prepare(self._files)
        except OSError as error:
            self._pause(error)
            return False
        return True

    def _sweep(self, index: Index, now: float) -> None:
        """Once a day, check the database and bring folder and index together."""
        if 0 <= now - index.swept_at() < _SWEEP_EVERY_S:
            return
        index.check()
        names = index.names()
        found = self._files.sweep(names)
        outdated = self._outdated.all()  # by processes that were killed, perhaps
        with index.transaction():
            useless = [name for digest in outdated for name in index.drop_tree(digest)]
            index.finish_sweep([part for name, part in names.items() if name not in found], now)
        self._outdated.remove(name for notes in outdated.values() for name in notes)
        self._files.remove(useless)
        for left in self._folder.parent.glob(f"{self._folder.name}.broken-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _take_back(self, batch: list[Task]) -> None:
        for task in batch:
            if isinstance(task, KeepPart):
                task.take_back(self._files)

    def begin_anew(self) -> None:
        """Move a cache that is of no use out of the way, at once for all processes, and delete it."""
        broken = self._folder.with_name(f"{self._folder.name}.broken-{secrets.token_hex(4)}")
        try:
            self._folder.rename(broken)
        except OSError as error:
            self._pause(error)
        else:
            shutil.rmtree(broken, ignore_errors=True)

    def _put_back(self, tasks: Iterable[Task]) -> None:
        with self._state:
            self._tasks.extendleft(reversed(list(tasks)))

    def _pause(self, error: Exception, batch: Iterable[Task] = ()) -> None:
        """Leave the disk alone for a while; of what waits, and of a batch that was refused, do what is due after it."""
        with self._state:
            self.fault = str(error)
            self._paused_until = time.monotonic() + _PAUSE_S
            self._tasks = deque(task for task in (*batch, *self._tasks) if task.is_due)
            self._touched.clear()
            self._queued_bytes = 0


def own_folder(folder: Path) -> Path:
    """Where in the folder that somebody named for it a cache has all its files: it may move and delete no others."""
    return folder / _OWN_FOLDER


def remove_all(folder: Path) -> bool:
    """Delete all that a cache keeps, while other processes may be using it; OSError where that can't be done.

    Returns
    -------
    bool
        Whether no other process is using it, so that its empty folder may go, too.
    """
    folder = own_folder(folder)
    if not (folder / INDEX_NAME).exists():
        PartFiles(folder).clear()
        return True
    try:
        with contextlib.closing(Index(folder / INDEX_NAME, may_write=True, timeout_s=_BUSY_TIMEOUT_S)) as index:
            index.drop_all()
            is_alone = index.is_alone()
        OutdatedTrees(folder).clear()
        PartFiles(folder).clear()
    except IndexErrors as error:
        if is_busy(error):
            raise OSError(f"{folder} is in use ({error})") from error
        shutil.rmtree(folder)  # damaged, or the disk is full: deleting rows takes some space, deleting files none
        return True
    return is_alone


def remove_beyond(folder: Path, limit_bytes: int) -> None:
    """Delete what was unused longest until the rest fits a limit; OSError where that can't be done."""
    folder = own_folder(folder)
    if not (folder / INDEX_NAME).exists():
        return
    try:
        with contextlib.closing(Index(folder / INDEX_NAME, may_write=True, timeout_s=_BUSY_TIMEOUT_S)) as index:
            with index.transaction():
                useless = index.evict(limit_bytes)
            PartFiles(folder).remove(useless)
            index.give_space_back()
    except IndexErrors as error:
        raise OSError(f"{folder} is in use, damaged or can't be written ({error})") from error
