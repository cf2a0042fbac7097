"""A whole download: look at what is there, fetch the rest side by side, and note it in the manifest and the tables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from napari_cryoet.download.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    note_file,
    note_items,
    now_text,
    read_manifest,
    write_manifest,
)
from napari_cryoet.download.pack import refuse_other_pack, write_tables
from napari_cryoet.download.plan import Plan, PlannedItem
from napari_cryoet.download.transfer import fetch_file, in_thread, local_path, sha256_of
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.exceptions import CryoETError, DownloadError, FormatError, NetworkError, StoppedError, WithheldError
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.wording import count_text, size_text

T = TypeVar("T")

WORKERS: Final = 8
GIVE_UP_AFTER: Final = 8  # files in a row that got no answer at all: there is no network

_POLL_S: Final = 0.04
_STOP_PATIENCE_S: Final = 0.12
_MOST_NOTED_AT_A_STOP: Final = 1000  # items; to note more takes too long, and the journal has their files
_MAX_METADATA_BYTES: Final = 16 << 20  # the labels of an instance mask can fill a megabyte
_ABSENT: Final = frozenset({404, 410})
_ZARR_NAME: Final = re.compile(r"(?:c\.)?\d+(?:\.\d+)*|\.z(?:array|attrs|group|metadata)|zarr\.json")


class Existing(StrEnum):
    """What becomes of files in the way that no download brought, or whose size changed since."""

    REFUSE = "refuse"  # nothing is fetched; the error lists them, so that the user can be asked
    KEEP = "keep"  # they stay, everything else is fetched
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a download; ``total_bytes`` is an estimate until every file's size is known."""

    done_bytes: int
    total_bytes: int
    done_items: int
    total_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """What a download that went well did."""

    folder: Path
    manifest: Path
    n_fetched: int
    n_skipped: int  # were complete already
    fetched_bytes: int
    missing_chunks: tuple[str, ...]  # hold the fill value, by the rules of Zarr
    kept: tuple[str, ...]  # other files that were there and stayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What of a plan is in its folder.

    Attributes
    ----------
    conflicts
        Files in the way that no download brought, or whose size changed since.
    needed_bytes
        About how much is still to come.
    """

    folder: Path
    manifest: Manifest
    conflicts: tuple[str, ...]
    needed_bytes: int


def download_files(
    plan: Plan,
    folder: str | Path,
    *,
    existing: Existing = Existing.REFUSE,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> DownloadReport:
    """Fetch everything that a plan names into a folder, which becomes a pack, and write its manifest.

    What is complete already is skipped, what is incomplete is continued: started again after a stop or a failure, it
    fetches only what is missing. A file that isn't as it was fetched is fetched again.

    Parameters
    ----------
    plan
        From `plan_download`.
    folder
        Where to; it is made if need be.
    existing
        What becomes of other files that are in the way.
    progress
        Called on this thread, some 20 times a second.
    stop
        Ends the download within 0.2 s when set.

    Raises
    ------
    DownloadError
        If something is missing or can't be written; ``files`` lists what.
    NetworkError
        If there is no network; a WithheldError if offline mode or the data saver keeps files from being asked for.
    StoppedError
        If ``stop`` is set.
    """
    stop = stop or threading.Event()
    plan = with_sizes(plan, stop=stop)
    found = look(plan, folder, stop=stop)
    if found.conflicts and existing is Existing.REFUSE:
        count, first = count_text(len(found.conflicts), "file"), found.conflicts[0]
        raise DownloadError(
            f"{count} in the folder would be overwritten, among them {first}.",
            hint="Choose another folder, or allow overwriting (--overwrite on the command line).",
            files=found.conflicts,
        )
    _require_space(found)
    if not plan.is_local:
        policy().require(found.needed_bytes)
    work = _Work(plan, found, found.conflicts if existing is Existing.KEEP else (), stop)
    try:
        work.wait(progress or (lambda _: None))
    finally:
        if not stop.is_set() or len(plan.items) <= _MOST_NOTED_AT_A_STOP:
            work.write_notes()
    if work.failures:
        raise _failure(work.failures)
    return DownloadReport(
        folder=found.folder,
        manifest=found.folder / MANIFEST_NAME,
        n_fetched=len(work.fetched),
        n_skipped=work.n_skipped,
        fetched_bytes=sum(entry.size_bytes for entry in work.fetched),
        missing_chunks=tuple(sorted(work.missing)),
        kept=work.kept,
    )


def with_sizes(plan: Plan, *, stop: threading.Event | None = None) -> Plan:
    """The plan with the sizes of files that the portal doesn't list, as far as their servers tell them."""

    async def measured(item: PlannedItem) -> PlannedItem:
        is_known = item.is_zarr or item.size_bytes is not None
        return item if is_known else replace(item, size_bytes=await _size_of(item.url))

    async def all_measured() -> list[PlannedItem]:
        return await asyncio.gather(*map(measured, plan.items))

    return replace(plan, items=tuple(client.run(all_measured(), stop)))


def look(plan: Plan, folder: str | Path, *, stop: threading.Event | None = None) -> Found:
    """What of a plan is in a folder; no file is read but the manifest.

    Raises
    ------
    DownloadError
        If the folder can't be used.
    StoppedError
        If ``stop`` is set.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise DownloadError(f"{folder} is a file, not a folder.", hint="Choose another folder.")
    refuse_other_pack(folder, plan)
    manifest = read_manifest(folder)
    conflicts: list[str] = []
    needed_bytes = 0
    for item in plan.items:
        if stop is not None and stop.is_set():
            raise StoppedError
        sizes = _sizes_in(folder, item)
        known = {path: manifest.files[path].size_bytes for path in sizes.keys() & manifest.files.keys()}
        ours = {path for path, size_bytes in known.items() if sizes[path] == size_bytes}
        conflicts += sizes.keys() - ours
        is_complete = bool(ours) and manifest.items.get(item.path, {}).get("is_complete") is True
        needed_bytes += 0 if is_complete else max(0, (item.size_bytes or 0) - sum(sizes[path] for path in ours))
    return Found(folder=folder, manifest=manifest, conflicts=tuple(sorted(conflicts)), needed_bytes=needed_bytes)


def _sizes_in(folder: Path, item: PlannedItem) -> dict[str, int]:
    """The sizes of an item's files that are in the folder; -1 for what is no plain file."""
    place = folder / item.path
    if not os.path.lexists(place):
        return {}
    with _disk_errors(place):
        paths = [_place(folder, item.path)]
        if item.is_zarr and place.is_dir():
            paths = [Path(parent, name) for parent, _, names in os.walk(place) for name in names]
            paths = [path for path in paths if _ZARR_NAME.fullmatch(path.name)]
        return {path.relative_to(folder).as_posix(): _plain_size(path) for path in paths}


def _plain_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else -1


def _place(folder: Path, path: str) -> Path:
    """Where a path of a plan is; DownloadError if that is outside, by way of a link in the folder."""
    place = folder / path
    with _disk_errors(place):
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            hint = "Choose a folder without such links."
            raise DownloadError(f"{place.parent} leads out of the folder through a link.", hint=hint)
    return place


def _require_space(found: Found) -> None:
    place = next(place for place in (found.folder, *found.folder.parents) if place.exists())
    with _disk_errors(place):
        free_bytes = shutil.disk_usage(place).free
    if found.needed_bytes > free_bytes:
        needed, free = size_text(found.needed_bytes), size_text(free_bytes)
        raise DownloadError(
            f"{needed} are needed, but the disk of {found.folder} has {free} free.",
            hint="Make room, or choose a folder on another disk.",
        )


class _Work:
    """What is done on the network's loop, and what was done."""

    def __init__(self, plan: Plan, found: Found, kept: tuple[str, ...], stop: threading.Event) -> None:
        self._plan, self._folder, self._stop = plan, found.folder, stop
        self._before = found.manifest.files
        self._slots = asyncio.Semaphore(WORKERS)
        self._sizes = {item.path: [0, item.size_bytes or 0] for item in plan.items}  # what is there, and in all
        self._complete: set[str] = set()
        self._n_done = self._n_unanswered = self.n_skipped = 0
        self._has_ended = threading.Event()
        self.kept = kept
        self.fetched: list[FileEntry] = []
        self.missing: set[str] = set()
        self.failures: dict[str, CryoETError] = {}

    def wait(self, progress: Callable[[Progress], None]) -> None:
        """Do it, and tell how far it is meanwhile."""
        future = client.submit(self._run())
        try:
            while not self._stop.is_set() and not concurrent.futures.wait([future], _POLL_S).done:
                progress(self._progress())
            if self._stop.is_set():
                raise StoppedError("The download was stopped. Started again, it continues where it is.")
            future.result()
            progress(self._progress())
        except BaseExceptionGroup as group:
            raise _first_of(group) from group
        finally:
            if future.cancel():
                self._has_ended.wait(_STOP_PATIENCE_S)

    def write_notes(self) -> None:
        """Write the manifest and the tables."""
        with _disk_errors(self._folder):
            manifest = read_manifest(self._folder)  # others may have downloaded to the same folder
            for path in self.missing:
                manifest.files.pop(path, None)
            note_items(manifest, self._plan, self._complete, self.missing)
            if self._complete:
                write_tables(self._folder, self._plan, self._complete)
            write_manifest(self._folder, manifest)

    def _progress(self) -> Progress:
        sizes = list(self._sizes.values())
        return Progress(
            done_bytes=sum(there for there, _ in sizes),
            total_bytes=sum(max(each) for each in sizes),
            done_items=self._n_done,
            total_items=len(sizes),
        )

    async def _run(self) -> None:
        try:
            await _side_by_side(self._item, self._plan.items)
        finally:
            self._has_ended.set()

    async def _item(self, item: PlannedItem) -> bool:
        is_there = await (self._zarr(item) if item.is_zarr else self._file(item, item.url, item.path))
        if is_there:
            self._complete.add(item.path)
        self._n_done += 1
        self._sizes[item.path][1] = self._sizes[item.path][0]
        return is_there

    async def _zarr(self, item: PlannedItem) -> bool:
        """Fetch an OME-Zarr: its metadata last, so that one with holes can't be opened."""
        try:
            files = await find_files(partial(_read, item))
        except WithheldError:
            raise
        except (NetworkError, FormatError) as error:
            return self._fail(item.path, error)
        if files is None:
            return self._fail(item.path, _missing(item.url))

        async def fetch(key: str, *, is_chunk: bool = True) -> bool:
            return await self._file(item, _url(item, key), f"{item.path}/{key}", is_chunk=is_chunk)

        if not await _side_by_side(fetch, files.chunks):
            return False
        if item.cell.table == "tomograms" and self.missing.issuperset(f"{item.path}/{key}" for key in files.chunks):
            return self._fail(item.path, _missing(item.url))
        return all([await fetch(key, is_chunk=False) for key in files.documents])

    async def _file(self, item: PlannedItem, url: str, path: str, *, is_chunk: bool = False) -> bool:
        """Fetch a file unless it is there as it was fetched; whether it is there now, or needn't be."""
        if path in self.kept:
            return False
        place, before, sizes = _place(self._folder, path), self._before.get(path), self._sizes[item.path]

        def count(n_bytes: int) -> None:
            sizes[0] += n_bytes

        def note(size_bytes: int, sha256: str) -> None:
            entry = FileEntry(path=path, url=url, size_bytes=size_bytes, sha256=sha256, fetched_at=now_text())
            note_file(self._folder, entry)
            self.fetched.append(entry)

        with _disk_errors(place):
            async with self._slots:
                if before and before.url == url and await in_thread(_is_as_fetched, place, before, self._stop):
                    self.n_skipped += 1
                    count(before.size_bytes)
                    return True
                try:
                    await fetch_file(
                        url, place, listed_bytes=item.size_bytes, on_bytes=count, on_whole=note, stop=self._stop
                    )
                except WithheldError:
                    raise
                except NetworkError as error:
                    if error.status not in _ABSENT or not (is_chunk or item.may_be_missing):
                        return self._fail(path, error)
                    place.unlink(missing_ok=True)  # an older chunk isn't part of this volume
                    self.missing |= {path} if is_chunk else set()
            self._n_unanswered = 0
            return True

    def _fail(self, path: str, error: CryoETError) -> bool:
        """Note a failure; raise it where there seems to be no network."""
        self.failures[path] = error
        is_unanswered = isinstance(error, NetworkError) and error.status is None
        self._n_unanswered = self._n_unanswered + 1 if is_unanswered else 0
        if self._n_unanswered >= GIVE_UP_AFTER:
            raise error
        return False


async def _side_by_side(call: Callable[[T], Awaitable[bool]], arguments: Iterable[T]) -> bool:
    """Make a call for each argument, a few at once; whether all of them gave True."""
    waiting = iter(arguments)

    async def work() -> bool:
        return all([await call(argument) for argument in waiting])

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(WORKERS)]
    return all(worker.result() for worker in workers)


def _first_of(error: BaseException) -> BaseException:
    return _first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _is_as_fetched(place: Path, entry: FileEntry, stop: threading.Event) -> bool:
    return _plain_size(place) == entry.size_bytes and sha256_of(place, stop) == entry.sha256


def _url(item: PlannedItem, key: str) -> str:
    return f"{item.url.rstrip('/')}/{quote(key)}"


async def _read(item: PlannedItem, key: str) -> bytes | None:
    """A metadata document of an OME-Zarr; None if it is missing."""
    url = _url(item, key)
    if (path := local_path(url)) is not None:
        return path.read_bytes() if 0 <= _plain_size(path) <= _MAX_METADATA_BYTES else None
    try:
        answer = await client.get(url, limit_bytes=_MAX_METADATA_BYTES)
    except NetworkError as error:
        if error.status == 403 and key.endswith("/.zattrs"):  # some stores don't say that they lack a file
            return None
        raise
    return answer.body if answer else None


async def _size_of(url: str) -> int | None:
    """The size of a file; None if it is missing, or its server doesn't tell."""
    if (path := local_path(url)) is not None:
        return _plain_size(path) if path.is_file() else None
    try:
        answer = await client.head(url)
    except WithheldError:
        raise
    except NetworkError:
        return None
    return answer.total_bytes if answer else None


def _missing(url: str) -> NetworkError:
    return NetworkError("It is missing on the server.", url=url, status=404)


def _failure(failures: dict[str, CryoETError]) -> DownloadError:
    """The error that tells of all failures."""
    missing = [path for path, error in failures.items() if getattr(error, "status", None) in _ABSENT]
    others = [error.message.rstrip(".") for path, error in failures.items() if path not in missing]
    told = [f"{count_text(len(missing), 'file')} missing on the server"] if missing else []
    told += [f"{count_text(len(others), 'file')} could not be downloaded ({others[0]})"] if others else []
    hint = "Start the same download again: it fetches only what is not complete." if others else ""
    return DownloadError(f"{', and '.join(told)}. The rest is complete.", hint=hint, files=tuple(sorted(failures)))


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Raise what the system says of a folder or file as a DownloadError."""
    try:
        yield
    except OSError as error:
        hint = ""
        if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            hint = "Make room and start the same download again: what is complete is kept."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            hint = "Choose another folder, or change its permissions."
        raise DownloadError(f"{path} can't be written: {error.strerror or error}.", hint=hint) from error
