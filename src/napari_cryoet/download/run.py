"""A whole download: look at what is there, fetch the rest side by side, and note it in the manifest and the tables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from napari_cryoet.download.folder import FileEntry, note_file, note_items, pack_of, read_manifest, write_tables
from napari_cryoet.download.plan import Plan, PlannedItem
from napari_cryoet.download.transfer import fetch_file, in_thread, sha256_of
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.exceptions import (
    CryoETError,
    DownloadError,
    FormatError,
    NetworkError,
    StoppedError,
    raise_if_stopped,
)
from napari_cryoet.files import local_path
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.wording import count_text, size_text

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told how many bytes are there, and about how many there will be."""

WORKERS: Final = 8

_POLL_S: Final = 0.04
_STOP_PATIENCE_S: Final = 0.12
_MAX_METADATA_BYTES: Final = 16 << 20  # the labels of an instance mask can fill a megabyte
_ABSENT: Final = frozenset({404, 410})
_ZARR_NAME: Final = re.compile(r"(?:c\.)?\d+(?:\.\d+)*|\.z(?:array|attrs|group)|zarr\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """What a download that went well did."""

    folder: Path
    n_fetched: int
    n_skipped: int  # were complete already
    fetched_bytes: int
    n_missing_chunks: int  # hold the fill value, by the rules of Zarr


def download_files(
    plan: Plan,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DownloadReport:
    """Fetch everything that a plan names into a folder, which becomes a pack, and write its manifest.

    What is complete already is skipped, what is incomplete is continued: started again after a stop or a failure, it
    fetches only what is missing. A file that isn't as it was fetched is fetched again.

    Parameters
    ----------
    plan
        From `plan_download` or `plan_ticked`.
    folder
        Where to; it is made if need be.
    overwrite
        Whether files in the way may be replaced that no download brought, or whose size changed since.
    progress
        Called on this thread, some 20 times a second, with how many bytes are there and about how many there will be.
    stop
        Ends the download within 0.2 s when set.

    Raises
    ------
    DownloadError
        If something is missing, in the way or can't be written; ``files`` lists what.
    NetworkError
        If there is no network; a WithheldError if offline mode or the data saver keeps files from being asked for.
    StoppedError
        If ``stop`` is set.
    """
    folder, stop = Path(folder).expanduser().absolute(), stop or threading.Event()
    try:
        before, needed_bytes = _look(plan, folder, stop, overwrite=overwrite)
        free_bytes = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
        if needed_bytes > free_bytes:
            needed, free = size_text(needed_bytes), size_text(free_bytes)
            raise DownloadError(f"{needed} are needed, but the disk of {folder} has {free} free.")
        if not plan.is_local:
            policy().require(needed_bytes)
        note_items(folder, plan, stop)
        work = _Work(plan, folder, before, stop)
        try:
            work.wait(progress or (lambda _done, _total: None))
        finally:
            if not stop.is_set():  # else the journal has what is complete
                note_items(folder, plan, stop, work.complete, work.missing)
                write_tables(folder, plan, work.complete)
    except OSError as error:
        raise DownloadError(f"{error.filename or folder}: {error.strerror or error}.") from error
    if work.failures:
        raise _failure(work.failures)
    return DownloadReport(
        folder=folder,
        n_fetched=work.n_fetched,
        n_skipped=work.n_skipped,
        fetched_bytes=work.fetched_bytes,
        n_missing_chunks=len(work.missing),
    )


def _look(plan: Plan, folder: Path, stop: threading.Event, *, overwrite: bool) -> tuple[dict[str, FileEntry], int]:
    """The files that downloads brought, and about how much is still to come; DownloadError if others are in the way."""
    pack_of(folder, plan)
    manifest = read_manifest(folder)
    files = {entry.path: entry for entry in manifest.files}
    complete = {item["path"] for item in manifest.items if item.get("is_complete") is True}
    others: list[str] = []
    needed_bytes = 0
    for item in plan.items:
        raise_if_stopped(stop)
        sizes = _sizes_in(folder, item)
        ours = {path: size for path, size in sizes.items() if path in files and files[path].size_bytes == size}
        others += sizes.keys() - ours.keys()
        needed_bytes += 0 if ours and item.path in complete else max(0, (item.size_bytes or 0) - sum(ours.values()))
    if others and not overwrite:
        raise DownloadError(
            f"{count_text(len(others), 'file')} in the folder would be overwritten, among them {min(others)}.",
            hint="Choose another folder, or allow overwriting (--overwrite on the command line).",
            files=tuple(sorted(others)),
        )
    return files, needed_bytes


def _sizes_in(folder: Path, item: PlannedItem) -> dict[str, int]:
    """The sizes of an item's files that are in the folder."""
    place = folder / item.path
    paths = (path for path in place.rglob("*") if _ZARR_NAME.fullmatch(path.name)) if item.is_zarr else [place]
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths if path.is_file()}


class _Work:
    """What is done on the network's loop, and what was done."""

    def __init__(self, plan: Plan, folder: Path, before: dict[str, FileEntry], stop: threading.Event) -> None:
        self._plan, self._folder, self._before, self._stop = plan, folder, before, stop
        self._slots = asyncio.Semaphore(WORKERS)
        self._has_ended = threading.Event()
        self.done_bytes = self.fetched_bytes = self.n_fetched = self.n_skipped = 0
        self.complete: set[str] = set()
        self.missing: set[str] = set()
        self.failures: dict[str, CryoETError] = {}

    def wait(self, progress: Progress) -> None:
        """Do it, and tell how far it is meanwhile."""
        future, total_bytes = client.submit(self._run()), self._plan.total_bytes
        try:
            while not self._stop.is_set() and not concurrent.futures.wait([future], _POLL_S).done:
                progress(self.done_bytes, max(self.done_bytes, total_bytes))
            if self._stop.is_set():
                raise StoppedError("The download was stopped. Started again, it continues where it is.")
            future.result()
            progress(self.done_bytes, self.done_bytes)
        finally:
            if future.cancel():
                self._has_ended.wait(_STOP_PATIENCE_S)

    async def _run(self) -> None:
        try:
            await _side_by_side(self._item, self._plan.items)
        finally:
            self._has_ended.set()

    async def _item(self, item: PlannedItem) -> bool:
        is_there = await (self._zarr(item) if item.is_zarr else self._file(item.url, item.path))
        if is_there:
            self.complete.add(item.path)
        return is_there

    async def _zarr(self, item: PlannedItem) -> bool:
        """Fetch an OME-Zarr: its metadata last, so that one with holes can't be opened."""
        root = item.url.rstrip("/")
        try:
            keys = await find_files(lambda key: _read(f"{root}/{quote(key)}"))
            if keys is None:
                raise NetworkError(f"There is no OME-Zarr at {root}.", url=root, status=404)
        except (NetworkError, FormatError) as error:
            return self._fail(item.path, error)

        async def fetch(key: str, *, is_chunk: bool = True) -> bool:
            return await self._file(f"{root}/{quote(key)}", f"{item.path}/{key}", is_chunk=is_chunk)

        chunks, documents = keys
        if not await _side_by_side(fetch, chunks):
            return False
        return all([await fetch(key, is_chunk=False) for key in documents])

    async def _file(self, url: str, path: str, *, is_chunk: bool = False) -> bool:
        """Fetch a file unless it is there as it was fetched; whether it is there now, or needn't be."""
        place, before = self._folder / path, self._before.get(path)
        async with self._slots:
            if before and before.url == url and await in_thread(_is_as_fetched, place, before, self._stop):
                self.n_skipped += 1
                self._count(before.size_bytes)
                return True
            on_whole = partial(note_file, self._folder, path, url)
            try:
                size_bytes = await fetch_file(url, place, on_bytes=self._count, on_whole=on_whole, stop=self._stop)
            except NetworkError as error:
                if not (is_chunk and error.status in _ABSENT):
                    return self._fail(path, error)
                place.unlink(missing_ok=True)  # an older chunk isn't part of this volume
                self.missing.add(path)
            else:
                self.n_fetched += 1
                self.fetched_bytes += size_bytes
        return True

    def _count(self, n_bytes: int) -> None:
        self.done_bytes += n_bytes

    def _fail(self, path: str, error: CryoETError) -> bool:
        """Note a failure; raise it where there is no network, or it may not be used."""
        if isinstance(error, NetworkError) and error.status is None:
            raise error
        self.failures[path] = error
        return False


async def _side_by_side(call: Callable[[T], Awaitable[bool]], arguments: Iterable[T]) -> bool:
    """Make a call for each argument, a few at once; whether all of them gave True."""
    waiting = iter(arguments)

    async def work() -> bool:
        return all([await call(argument) for argument in waiting])

    try:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(WORKERS)]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return all(worker.result() for worker in workers)


def _is_as_fetched(place: Path, entry: FileEntry, stop: threading.Event) -> bool:
    return place.is_file() and place.stat().st_size == entry.size_bytes and sha256_of(place, stop) == entry.sha256


async def _read(url: str) -> bytes | None:
    """A metadata document of an OME-Zarr; None if it is missing."""
    if (path := local_path(url)) is not None:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _MAX_METADATA_BYTES else None
    answer = await client.get(url, limit_bytes=_MAX_METADATA_BYTES)
    return answer.body if answer else None


def _failure(failures: dict[str, CryoETError]) -> DownloadError:
    """The error that tells of all failures."""
    first = next(iter(failures.values())).message.rstrip(".")
    return DownloadError(
        f"{count_text(len(failures), 'file')} could not be downloaded ({first}). The rest is complete.",
        hint="Start the same download again: it fetches only what is not complete.",
        files=tuple(sorted(failures)),
    )
