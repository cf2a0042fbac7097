"""Fetching one file: into a ``.part`` beside its place, continued where it ended, checked, and only then renamed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_cryoet.download.bodies import READ_BYTES, Bodies, Body
from napari_cryoet.download.part import Part
from napari_cryoet.download.plan import PlannedFile
from napari_cryoet.download.target import Target, words_for_disk_faults
from napari_cryoet.exceptions import NetworkError, StoppedError, WithheldError

ATTEMPTS = 5  # in a row without a step forward; the client repeats requests that got no answer by itself
MAX_UNSIZED_BYTES = 1 << 30  # of a file whose size neither the portal nor its server tells
RETRY_PAUSE_S = 0.5

#: Told of every step: bytes done, and the file's size where it is known by now.
OnBytes = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A file that is complete on disk."""

    path: str
    url: str
    size_bytes: int
    sha256: str
    etag: str | None = None


def fetch_file(
    file: PlannedFile, target: Target, bodies: Bodies, *, on_bytes: OnBytes, stop: threading.Event
) -> FetchedFile:
    """Fetch a file to its place in the folder, replacing what is there.

    Raises
    ------
    NetworkError
        If it can't be had; with status 404 if the server doesn't have it. What came so far is kept for the next time;
        so it is where a WithheldError says that no more may come.
    DownloadError
        If it can't be written.
    StoppedError
        If ``stop`` is set.
    """
    path = target.path(file.path)
    with words_for_disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with Part(path, file.url) as part:
            _Transfer(file, part, target, bodies, on_bytes, stop).run()
            part.publish()
    return FetchedFile(path=file.path, url=file.url, size_bytes=part.size_bytes, sha256=part.sha256(), etag=part.etag)


def sha256_of(path: Path, stop: threading.Event) -> str:
    """Return the SHA-256 of a file on disk; StoppedError if ``stop`` is set."""
    digest = hashlib.sha256()
    with words_for_disk_faults(path), path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            if stop.is_set():
                raise StoppedError
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Transfer:
    """What it takes to fill a part."""

    file: PlannedFile
    part: Part
    target: Target
    bodies: Bodies
    on_bytes: OnBytes
    stop: threading.Event

    def run(self) -> None:
        """Read until the file is whole, going on where a connection broke."""
        failures, best = 0, self.part.size_bytes
        while True:
            try:
                self._read_once()
                return
            except WithheldError:
                raise
            except NetworkError as error:
                failures = 1 if self.part.size_bytes > best else failures + 1
                best = max(best, self.part.size_bytes)
                if error.status in {206, 416}:  # stored packed as a whole, or shorter now
                    self.part.restart()
                elif error.status is not None and error.status < 500:
                    raise
                if failures >= ATTEMPTS:
                    raise
            if self.stop.wait(RETRY_PAUSE_S * failures):
                raise StoppedError

    def _read_once(self) -> None:
        part = self.part
        open_body = partial(self.bodies.open, self.file.url, stop=self.stop)
        with ExitStack() as answers:
            body = answers.enter_context(open_body(start=part.size_bytes, etag=part.etag))
            if body.start != part.size_bytes or (part.size_bytes and body.etag != part.etag):
                part.restart()  # another version, or a server that can't begin in the middle
                if body.start:
                    answers.close()
                    body = answers.enter_context(open_body())
            if body.total_bytes is not None:
                self.target.require_space(body.total_bytes - part.size_bytes)
            part.remember(body.etag, body.total_bytes)
            self._copy(body)

    def _copy(self, body: Body) -> None:
        part, total_bytes = self.part, body.total_bytes
        bound = total_bytes if total_bytes is not None else max(MAX_UNSIZED_BYTES, 2 * (self.file.size_bytes or 0))
        self.on_bytes(part.size_bytes, total_bytes)
        for chunk in body.chunks:
            if part.size_bytes + len(chunk) > bound:
                part.restart()
                message = f"The server sends more than the {bound:,} bytes of {self.file.path}."
                raise NetworkError(message, url=self.file.url, status=400)
            part.append(chunk)
            self.on_bytes(part.size_bytes, total_bytes)
        if total_bytes is not None and part.size_bytes != total_bytes:
            raise NetworkError(f"The connection ended before {self.file.path} was whole.", url=self.file.url)
