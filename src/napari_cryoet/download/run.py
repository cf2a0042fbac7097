"""A whole download: check existing files, fetch the rest concurrently, and write the manifest and the tables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import hashlib
import os
import re
import shutil
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from napari_cryoet.basket.aging import Age, brought_up_to_date
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import KnownRuns, ask_basket_runs
from napari_cryoet.download.folder import (
    DownloadManifest,
    FileEntry,
    locked,
    note_file,
    note_items,
    other_contents,
    pack_of,
    read_manifest,
    write_tables,
)
from napari_cryoet.download.lists import write_lists
from napari_cryoet.download.plan import Plan, PlannedItem, plan_basket
from napari_cryoet.download.transfer import WORKERS, fetch_file, in_thread, sha256_of
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.exceptions import (
    CryoETError,
    DownloadError,
    FormatError,
    NetworkError,
    StoppedError,
)
from napari_cryoet.files import replace_file
from napari_cryoet.locations import PathOrUrl, host_of, path_to_write
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.portal.portal import Portal
from napari_cryoet.task import UNWATCHED, Task, shows_progress
from napari_cryoet.wording import count_text, duration_text, joined, size_text

T = TypeVar("T")

_POLL_S: Final = 0.04
_STOP_PATIENCE_S: Final = 0.12
_ABSENT: Final = frozenset({404, 410})
_ZARR_NAME: Final = re.compile(r"(?:c\.)?\d+(?:\.\d+)*|\.z(?:array|attrs|group)|zarr\.json")
_WINDOW_S: Final = 5.0  # to measure speed
_LEAST_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """The result of a successful download."""

    folder: Path
    n_fetched: int
    n_skipped: int  # files that were complete already
    fetched_bytes: int
    n_missing_chunks: int  # hold the fill value, as Zarr specifies
    other_sizes: tuple[str, ...]  # complete files of another size than the portal lists
    differences: tuple[str, ...] = ()  # from when the basket was filled or locked, a line each


@shows_progress
def download_basket(
    basket: Basket,
    portal: Portal,
    folder: PathOrUrl,
    *,
    task: Task = UNWATCHED,
    **options: Any,
) -> DownloadReport:
    """Download a basket into a folder, which becomes a pack.

    ``options`` and errors are those of `download_files`.
    """
    runs = ask_basket_runs(portal, basket, task=task)
    return download_files(plan_basket(basket, runs, portal), folder, task=task, **options)


def download_files(
    plan: Plan,
    folder: PathOrUrl,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> DownloadReport:
    """Download all files of a plan into a folder, which becomes a pack, and write its manifest.

    Complete files are skipped and partial ones continued: after a stop or a failure, a new call
    fetches only the rest. A downloaded file whose content changed is fetched again. Files of other
    origin or with a changed size are replaced only with ``overwrite``. ``task`` reports on
    this thread, about 20 times a second, and stopping it ends the download within 0.2 s.

    Raises
    ------
    DownloadError
        If files are missing, in the way or can't be written; ``files`` lists them.
    NetworkError
        If there is no network; a WithheldError if offline mode or the data saver forbids requests.
    StoppedError
        If ``task`` is stopped.
    """
    return Download(plan, folder, overwrite=overwrite).run(task)


def incomplete(plan: Plan, folder: PathOrUrl) -> Plan:
    """A plan of the items that aren't complete in a folder, according to its manifest."""
    complete = read_manifest(path_to_write(folder)).complete
    return replace(
        plan, items=tuple(item for item in plan.items if item.path not in complete), is_rest=True
    )


def lock_basket(
    basket: Basket, portal: Portal, folder: PathOrUrl | None = None, *, task: Task = UNWATCHED
) -> Basket:
    """Record the files of a basket, with sizes and dates, so that a later download names what differs.

    ``folder`` is that of its download, whose checksums are recorded too.
    """
    runs = KnownRuns(portal).of(basket, task=task)
    plan = plan_basket(basket, runs, portal)
    downloaded = () if folder is None else read_manifest(path_to_write(folder)).files
    return locked(brought_up_to_date(basket, Age(), runs), plan, downloaded)


def verify_folder(folder: PathOrUrl, *, task: Task = UNWATCHED) -> tuple[int, tuple[str, ...]]:
    """The number of downloaded files in a folder, and the missing, damaged and unfinished ones."""
    path = path_to_write(folder)
    manifest = read_manifest(path)
    if not manifest.items:
        raise DownloadError(f"{path} has no manifest of a download.")
    wrong = [f"{each}: unfinished" for each in manifest.incomplete]
    for number, file in enumerate(manifest.files):
        task.step(number / len(manifest.files), file.path)
        target = path / file.path
        if not target.is_file():
            wrong.append(f"{file.path}: missing")
        elif sha256_of(target, task) != file.sha256:
            wrong.append(f"{file.path}: other content than downloaded")
    return len(manifest.files), tuple(wrong)


def check_place(folder: PathOrUrl, needed_bytes: int) -> None:
    """Raise DownloadError if a folder isn't writable, or its disk has too little space."""
    path = path_to_write(folder)
    existing = next(each for each in (path, *path.parents) if each.exists())
    if not existing.is_dir():
        raise DownloadError(
            f"{existing}: {os.strerror(errno.EEXIST)}.", hint="Choose another folder."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise DownloadError(f"{existing} can't be written to.", hint="Choose another folder.")
    free_bytes = shutil.disk_usage(existing).free
    if needed_bytes > free_bytes:
        needed, free = size_text(needed_bytes), size_text(free_bytes)
        raise DownloadError(f"The download needs {needed}, but the disk of {path} has {free} free.")


class Download:
    """A download that other threads can watch and pause during `run`; see `download_files`."""

    def __init__(self, plan: Plan, folder: PathOrUrl, *, overwrite: bool = False) -> None:
        self.plan = plan
        self.folder = path_to_write(folder)
        self.state = QueueState(plan.items)  #: Its progress.
        self._overwrite = overwrite
        self._go_on = threading.Event()
        self._go_on.set()

    def pause(self) -> None:
        """Stop fetching until `resume`; partial large files are kept."""
        self._go_on.clear()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._go_on.set()

    def run(self, task: Task = UNWATCHED) -> DownloadReport:
        """Run the download; see `download_files`."""
        plan, folder = self.plan, self.folder
        try:
            before, needed_bytes = _check_folder(plan, folder, task, overwrite=self._overwrite)
            check_place(folder, needed_bytes)
            if not plan.is_local:
                policy().require(needed_bytes)
            note_items(folder, plan, task, begins=True)
            for name, text in plan.beside.items():
                replace_file(folder / name, text.encode())
            work = _Work(plan, folder, before, self.state, task)
            try:
                work.run(self._go_on)
            finally:
                if not task.is_stopped:  # else the journal lists the complete files
                    note_items(
                        folder,
                        plan,
                        task,
                        complete=work.complete,
                        missing=work.missing,
                        errors=work.errors,
                    )
                    write_tables(folder, plan, work.complete)
                    write_lists(plan, folder, work.keys)
        except OSError as error:
            raise DownloadError(
                f"{error.filename or folder}: {error.strerror or error}."
            ) from error
        if work.failures:
            first = next(iter(work.errors.values())).rstrip(".")
            raise DownloadError(
                f"{count_text(len(work.failures), 'file')} could not be downloaded ({first}). The rest is complete.",
                hint="Start the same download again: it fetches only what is not complete.",
                files=tuple(sorted(work.failures)),
            )
        fetched = work.whole - work.skipped
        sizes = {item.path: item.size_bytes for item in plan.items if not item.is_zarr}
        files = read_manifest(folder).files
        others = other_contents(plan.lock, files, plan) if plan.lock else ()
        return DownloadReport(
            folder=folder,
            n_fetched=len(fetched),
            n_skipped=len(work.skipped),
            fetched_bytes=sum(work.sizes[path] for path in fetched),
            n_missing_chunks=len(work.missing),
            other_sizes=tuple(
                sorted(path for path, size in sizes.items() if size not in {None, work.sizes[path]})
            ),
            differences=(*plan.differences, *others),
        )


def _check_folder(
    plan: Plan, folder: Path, task: Task, *, overwrite: bool
) -> tuple[dict[str, FileEntry], int]:
    """The downloaded files, and the bytes still needed.

    DownloadError if other files are in the way.
    """
    pack_of(folder, plan)
    manifest = read_manifest(folder)
    files = {entry.path: entry for entry in manifest.files}
    outdated = _outdated(manifest, plan)
    complete = manifest.complete - outdated
    others: list[str] = []
    needed_bytes = 0
    for item in plan.items:
        task.check()
        sizes = _sizes_in(folder, item)
        ours = {
            path: size
            for path, size in sizes.items()
            if path in files and files[path].size_bytes == size
        }
        others += sizes.keys() - ours.keys()
        needed_bytes += (
            0
            if ours and item.path in complete
            else max(0, (item.size_bytes or 0) - sum(ours.values()))
        )
    if others and not overwrite:
        raise DownloadError(
            f"{count_text(len(others), 'file')} in the folder would be overwritten, among them {min(others)}.",
            hint="Choose another folder, or allow overwriting (--overwrite on the command line).",
            files=tuple(sorted(others)),
        )
    below = tuple(f"{path}/" for path in outdated)
    current = {path: entry for path, entry in files.items() if not f"{path}/".startswith(below)}
    return current, needed_bytes


def _outdated(manifest: DownloadManifest, plan: Plan) -> set[str]:
    """The paths of downloaded items whose records have changed since."""
    days = {item["path"]: item.get("modified") for item in manifest.items}
    return {
        item.path
        for item in plan.items
        if item.modified and days.get(item.path) not in {None, item.modified}
    }


def _sizes_in(folder: Path, item: PlannedItem) -> dict[str, int]:
    """Sizes of an item's existing files by path."""
    top = folder / item.path
    paths = (
        (path for path in top.rglob("*") if _ZARR_NAME.fullmatch(path.name))
        if item.is_zarr
        else [top]
    )
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in paths if path.is_file()
    }


class _Work:
    """The work of a download on the network's event loop, and its results."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        before: dict[str, FileEntry],
        state: QueueState,
        task: Task,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._before = before
        self._state = state
        self._task = task
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(WORKERS)
        )
        self._has_ended = threading.Event()
        self.sizes: Counter[str] = Counter()  # bytes done of each file
        self.whole: set[str] = set()  # files
        self.skipped: set[str] = set()  # files that were complete already
        self.missing: set[str] = set()  # chunks
        self.failures: set[str] = set()  # files
        self.complete: set[str] = set()  # items
        self.errors: dict[str, str] = {}  # by item
        self.keys: dict[str, list[str]] = {}  # of each OME-Zarr

    def run(self, go_on: threading.Event) -> None:
        """Run to the end, with pauses, and report progress."""
        while not (go_on.is_set() and self._has_finished(go_on)):
            self._state.is_paused = True
            while not go_on.wait(_POLL_S):
                self._raise_if_stopped()
            self._state.is_paused = False
        self._task.step(1.0, self._state.text)

    def _has_finished(self, go_on: threading.Event) -> bool:
        """Run until everything is done, or until a pause, which returns False."""
        self._has_ended.clear()
        future = client.submit(self._run())
        try:
            while not concurrent.futures.wait([future], _POLL_S).done:
                self._raise_if_stopped()
                if not go_on.is_set():
                    future.cancel()
                    self._has_ended.wait()
                    return False
                self._task.step(self._state.fraction, self._state.text)
            self._raise_if_stopped()
            future.result()
            return True
        finally:
            if future.cancel():
                self._has_ended.wait(_STOP_PATIENCE_S)

    def _raise_if_stopped(self) -> None:
        if self._task.is_stopped:
            raise StoppedError("The download was stopped. Start it again to continue.")

    async def _run(self) -> None:
        try:
            ended = self.complete | self.errors.keys()  # before a pause
            await _run_concurrently(
                self._item, [item for item in self._plan.items if item.path not in ended]
            )
        finally:
            self._has_ended.set()

    async def _item(self, item: PlannedItem) -> bool:
        self._state.begin(item)
        is_complete = await (
            self._zarr(item) if item.is_zarr else self._file(item, item.url, item.path)
        )
        self._state.end(item.path, self.errors.get(item.path, ""))
        if is_complete:
            self.complete.add(item.path)
        return is_complete

    async def _zarr(self, item: PlannedItem) -> bool:
        """Fetch an OME-Zarr, metadata last, so that an incomplete one can't be opened."""
        root = item.url.rstrip("/")
        try:
            files = await find_files(
                root, self._slots[host_of(root)], item.first_level, keeps_grid=item.keeps_grid
            )
            if files is None:
                raise NetworkError(f"There is no OME-Zarr at {root}.", url=root, status=404)
        except (NetworkError, FormatError) as error:
            return self._fail(item, item.path, error)

        async def fetch(key: str) -> bool:
            return await self._file(
                item, f"{root}/{quote(key)}", f"{item.path}/{key}", is_chunk=True
            )

        self.keys[item.path] = [*files.chunks, *files.documents]
        if not await _run_concurrently(fetch, files.chunks):
            return False
        for key, content in files.documents.items():
            await self._file(item, f"{root}/{quote(key)}", f"{item.path}/{key}", content=content)
        return True

    async def _file(
        self,
        item: PlannedItem,
        url: str,
        path: str,
        *,
        content: bytes | None = None,
        is_chunk: bool = False,
    ) -> bool:
        """Fetch a file unless its download is intact.

        Return whether it is complete, or a chunk that may be missing.
        """
        if path in self.whole or path in self.missing:
            return True
        target, note = self._folder / path, partial(self._note, url, path)
        count = partial(self._count, item, path)
        count(
            -self.sizes[path], False
        )  # bytes from before a pause are counted again when the file continues
        async with self._slots[host_of(url)]:
            if path in self._before and await in_thread(self._is_as_fetched, url, path, content):
                self.skipped.add(path)
                count(self._before[path].size_bytes, False)
            else:
                try:
                    await fetch_file(
                        url, target, content=content, on_bytes=count, on_whole=note, task=self._task
                    )
                except NetworkError as error:
                    if not (is_chunk and error.status in _ABSENT):
                        return self._fail(item, path, error)
                    target.unlink(missing_ok=True)  # an older chunk isn't part of this volume
                    self.missing.add(path)
                    return True
        self.whole.add(path)
        return True

    def _count(self, item: PlannedItem, path: str, n_bytes: int, is_received: bool) -> None:
        self.sizes[path] += n_bytes
        self._state.count(item.path, n_bytes, is_received=is_received)

    def _is_as_fetched(self, url: str, path: str, content: bytes | None) -> bool:
        entry, target = self._before[path], self._folder / path
        if entry.url != url or not target.is_file() or target.stat().st_size != entry.size_bytes:
            return False
        is_new = content is not None and hashlib.sha256(content).hexdigest() != entry.sha256
        return not is_new and sha256_of(target, self._task) == entry.sha256

    def _note(self, url: str, path: str, size_bytes: int, sha256: str) -> None:
        self._before[path] = note_file(self._folder, path, url, size_bytes, sha256)

    def _fail(self, item: PlannedItem, path: str, error: CryoETError) -> bool:
        """Record a failure; raise it if there is no network, or its use is forbidden."""
        if isinstance(error, NetworkError) and error.status is None:
            raise error
        self.failures.add(path)
        self.errors.setdefault(item.path, error.message)
        return False


async def _run_concurrently(call: Callable[[T], Awaitable[bool]], arguments: Iterable[T]) -> bool:
    """Make a call for each argument, a few at once; return whether all returned True."""
    queue = iter(arguments)

    async def work() -> bool:
        return all([await call(argument) for argument in queue])

    try:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(WORKERS)]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return all(worker.result() for worker in workers)


# progress


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
