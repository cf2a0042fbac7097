"""A whole download: look at what is there, fetch the rest side by side, keep count, say what is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from napari_cryoet.download.bodies import ABSENT, Bodies
from napari_cryoet.download.expand import expand_plan
from napari_cryoet.download.failures import Failure, failure_error
from napari_cryoet.download.manifest import Manifest, merged, read_manifest, utc_now, write_manifest
from napari_cryoet.download.plan import Plan, PlannedFile, PlannedItem
from napari_cryoet.download.progress import Progress, Tracker
from napari_cryoet.download.survey import Existing, Survey, survey
from napari_cryoet.download.target import Target
from napari_cryoet.download.transfer import FetchedFile, fetch_file, sha256_of
from napari_cryoet.exceptions import DownloadError, NetworkError, StoppedError, WithheldError
from napari_cryoet.network.policy import policy
from napari_cryoet.wording import size_text

WORKERS = 8
GIVE_UP_AFTER = 8  # files in a row that got no answer at all: there is no network
_POLL_S = 0.04
_STOP_PATIENCE_S = 0.12
_manifest_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """What a download that went well did."""

    folder: Path
    manifest: Path
    n_fetched: int
    n_skipped: int  # were complete already
    fetched_bytes: int
    missing_chunks: tuple[str, ...] = ()  # hold the fill value, by the rules of Zarr
    kept: tuple[str, ...] = ()  # other files that were there and stayed
    warnings: tuple[str, ...] = ()


def download_files(
    plan: Plan,
    folder: str | Path,
    *,
    existing: Existing = Existing.REFUSE,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> DownloadReport:
    """Fetch everything that a plan names into a folder, laid out as in the portal's bucket, and write its manifest.

    What is complete already is skipped, what is incomplete is continued; started again after a stop or a failure, it
    fetches only what is missing.

    Parameters
    ----------
    plan
        From `plan_download`.
    folder
        Where to; it is made if need be.
    existing
        What becomes of files that are there but differ.
    progress
        Called on this thread, some 20 times a second.
    stop
        Ends the download within 200 ms when set.

    Raises
    ------
    DownloadError
        If something is missing or can't be written; ``files`` lists what.
    NetworkError
        If the server can't be asked about files that are there already; a WithheldError if offline mode or the data
        saver keeps files from being asked for, before any is if it can be told then.
    StoppedError
        If ``stop`` is set.
    """
    stop = stop or threading.Event()
    plan, found = survey_download(plan, folder, existing=existing, stop=stop)
    found.require_consent(existing)
    bodies, target = Bodies(), Target(folder)
    before = read_manifest(target.folder)
    target.require_space(found.needed_bytes)
    if found.remote_bytes:
        policy().require(found.remote_bytes)
    tracker = Tracker(plan)
    tracker.skip(found.complete.items())
    work = _Work(target, bodies, tracker)
    try:
        _fetch_all(plan, found, work, progress or (lambda _: None), stop)
    finally:
        complete = [*work.fetched, *_noted(found, before, target, stop)]
        with _manifest_lock:  # other downloads may go to the same folder
            manifest = merged(read_manifest(target.folder), plan, complete, missing=work.missing_chunks, now=utc_now())
            manifest_path = write_manifest(target.folder, manifest, now=utc_now())
    if work.failures:
        raise failure_error(work.failures, n_files=sum(max(1, len(item.files)) for item in plan.items))
    return DownloadReport(
        folder=target.folder,
        manifest=manifest_path,
        n_fetched=len(work.fetched),
        n_skipped=len(found.complete),
        fetched_bytes=sum(file.size_bytes for file in work.fetched),
        missing_chunks=tuple(sorted(work.missing_chunks)),
        kept=found.conflicts if existing is Existing.KEEP else (),
        warnings=tuple(_size_warnings(plan, manifest)),
    )


def survey_download(
    plan: Plan,
    folder: str | Path,
    *,
    existing: Existing = Existing.REFUSE,
    stop: threading.Event | None = None,
) -> tuple[Plan, Survey]:
    """Return the plan with all files named, and what of it lies in the folder already; writes nothing.

    Raises
    ------
    DownloadError
        If the folder can't be used.
    NetworkError
        If the server can't be asked about files that are there already.
    StoppedError
        If ``stop`` is set.
    """
    stop = stop or threading.Event()
    bodies, target = Bodies(), Target(folder)
    before = read_manifest(target.folder)
    plan = expand_plan(plan, bodies, stop=stop)
    return plan, survey(plan, target, before, bodies, existing=existing, stop=stop)


class _Work:
    """What the workers do and have done."""

    def __init__(self, target: Target, bodies: Bodies, tracker: Tracker) -> None:
        self._target, self._bodies, self.tracker = target, bodies, tracker
        self._lock = threading.Lock()
        self._n_unanswered = 0
        self.halt = threading.Event()  # after a stop, or a fault that would hit every file
        self.fatal: DownloadError | NetworkError | None = None
        self.fetched: list[FetchedFile] = []
        self.missing_chunks: set[str] = set()
        self.failures: list[Failure] = []

    def run(self, files: Iterator[PlannedFile]) -> None:
        """Fetch files until there are no more; several threads share one iterator."""
        while not self.halt.is_set():
            with self._lock:
                file = next(files, None)
            if file is None:
                return
            try:
                self._fetch(file)
            except StoppedError:
                return
            except DownloadError as error:  # the disk: no other file would fare better
                self._give_up(error)

    def _fetch(self, file: PlannedFile) -> None:
        def on_bytes(done_bytes: int, total_bytes: int | None) -> None:
            self.tracker.on_bytes(file.path, done_bytes, total_bytes)

        try:
            fetched = fetch_file(file, self._target, self._bodies, on_bytes=on_bytes, stop=self.halt)
        except WithheldError as error:  # no other file may be asked for either
            self._give_up(error)
        except NetworkError as error:
            self._note_failure(file, error)
        else:
            with self._lock:
                self._n_unanswered = 0
                self.fetched.append(fetched)
        self.tracker.finish(file.path)

    def _note_failure(self, file: PlannedFile, error: NetworkError) -> None:
        is_absent = error.status in ABSENT
        with self._lock:
            self._n_unanswered = self._n_unanswered + 1 if error.status is None else 0
            if is_absent and file.may_be_missing:
                self.missing_chunks.add(file.path)
            else:
                self.failures.append(Failure(path=file.path, message=error.message, is_missing=is_absent))
        if is_absent and file.may_be_missing:
            self._target.remove(file.path)  # an older chunk there isn't part of this volume
        if self._n_unanswered >= GIVE_UP_AFTER:
            self._give_up(error)

    def _give_up(self, error: DownloadError | NetworkError) -> None:
        with self._lock:
            self.fatal = self.fatal or error
        self.halt.set()


def _fetch_all(
    plan: Plan, found: Survey, work: _Work, progress: Callable[[Progress], None], stop: threading.Event
) -> None:
    """Fetch what is to be fetched: a volume's metadata last, so that one with holes can't be opened."""
    work.failures += [
        Failure(path=item.path, message=item.problem, is_missing=item.is_missing) for item in plan.items if item.problem
    ]
    _fetch_side_by_side([file for file in found.todo if not file.comes_last], work, progress, stop)
    broken = {item.path for item in plan.items if _is_broken(item, work)}
    openers = {file.path for item in plan.items if item.path not in broken for file in item.files}
    last = [file for file in found.todo if file.comes_last and file.path in openers]
    _fetch_side_by_side(last, work, progress, stop)


def _fetch_side_by_side(
    files: Iterable[PlannedFile], work: _Work, progress: Callable[[Progress], None], stop: threading.Event
) -> None:
    """Share files among workers; returns when all are done, raises when stopped or when there is no use."""
    shared = iter(files)
    pool = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="napari-cryoet-download")
    try:
        running = {pool.submit(work.run, shared) for _ in range(WORKERS)}
        while running and not stop.is_set():
            done, running = wait(running, timeout=_POLL_S)
            for worker in done:
                worker.result()  # a fault of ours must not pass in silence
            progress(work.tracker.now())
        if running:
            work.halt.set()
            wait(running, timeout=_STOP_PATIENCE_S)
    finally:
        work.halt.set() if stop.is_set() else None
        pool.shutdown(wait=False, cancel_futures=True)
    if stop.is_set():
        raise StoppedError("The download was stopped. Started again, it continues where it is.")
    if work.fatal is not None:
        raise work.fatal


def _is_broken(item: PlannedItem, work: _Work) -> bool:
    """Whether a volume has holes that it should not have; notes a volume of which nothing is there."""
    chunks = {file.path for file in item.files if file.may_be_missing}
    if item.provenance.kind == "tomogram" and chunks and chunks <= work.missing_chunks:
        work.failures.append(Failure(path=item.path, message="None of its chunks is on the server.", is_missing=True))
        return True
    return any(failure.path == item.path or failure.path.startswith(f"{item.path}/") for failure in work.failures)


def _noted(found: Survey, before: Manifest, target: Target, stop: threading.Event) -> Iterator[FetchedFile]:
    """Yield the files that were complete already, with their digests; after a stop only those that are noted."""
    for file in found.complete_files:
        size_bytes = found.complete[file.path]
        digest = before.sha256_of(file.path, file.url, size_bytes)
        if digest is None and not stop.is_set():
            try:
                digest = sha256_of(target.path(file.path), stop)
            except StoppedError:
                continue
        if digest is not None:
            yield FetchedFile(path=file.path, url=file.url, size_bytes=size_bytes, sha256=digest)


def _size_warnings(plan: Plan, manifest: Manifest) -> Iterator[str]:
    """Yield where the portal lists another size than its server sent; the file is as the server has it."""
    for item in plan.items:
        size_bytes = manifest.items[item.path]["size_bytes"]
        if item.size_bytes is not None and size_bytes != item.size_bytes and not item.is_zarr:
            yield (f"{item.path} has {size_text(size_bytes)}; the portal lists it with {size_text(item.size_bytes)}.")
