"""Fetching one file: into a ``.part`` beside its place, continued where it ended, checked, and only then renamed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from napari_cryoet.download.names import PART_SUFFIX, STATE_SUFFIX
from napari_cryoet.exceptions import NetworkError, StoppedError, WithheldError
from napari_cryoet.network import client

T = TypeVar("T")

_ATTEMPTS: Final = 5  # in a row without a step forward; the client itself repeats requests that got no answer
_PAUSE_S: Final = 0.5
_PIECE_BYTES: Final = 1 << 20
_LEAST_CONTINUED_BYTES: Final = 1 << 20
_MAX_UNSIZED_BYTES: Final = 1 << 30  # of a file whose size neither the portal nor its server tells


async def fetch_file(
    url: str,
    place: Path,
    *,
    listed_bytes: int | None,
    on_bytes: Callable[[int], None],
    on_whole: Callable[[int, str], None],
    stop: threading.Event,
) -> None:
    """Fetch a file to its place, replacing what is there.

    Parameters
    ----------
    listed_bytes
        Its size as the portal lists it.
    on_bytes
        Told how much more of it is there; less than nothing where it starts anew.
    on_whole
        Told its size and its SHA-256, on a thread, right before it gets its name.

    Raises
    ------
    NetworkError
        If it can't be had; with the status 404 if the server doesn't have it. What came is kept for the next time.
    OSError
        If it can't be written.
    """
    part = await in_thread(_Part, place, url, on_bytes, stop)
    try:
        if (source := local_path(url)) is not None:
            await in_thread(part.copy, source, stop)
        else:
            await _fill(part, max(_MAX_UNSIZED_BYTES, 2 * (listed_bytes or 0)))
        await in_thread(part.publish, on_whole)
    finally:
        part.close()


def local_path(url: str) -> Path | None:
    """The path that a file URL names; None for other addresses."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


async def in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Make a blocking call on a thread; its end is waited for even where the task is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def sha256_of(path: Path, stop: threading.Event) -> str:
    """The SHA-256 of a file; StoppedError if ``stop`` is set."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _read_through(file, digest.update, stop)
    return digest.hexdigest()


def _read_through(file: BinaryIO, use: Callable[[bytes], Any], stop: threading.Event, most: int | None = None) -> None:
    left = os.fstat(file.fileno()).st_size if most is None else most
    while piece := file.read(min(_PIECE_BYTES, left)):
        if stop.is_set():
            raise StoppedError
        use(piece)
        left -= len(piece)


async def _fill(part: _Part, max_bytes: int) -> None:
    """Read until the file is whole, going on where a connection broke."""
    failures, best = 0, part.size_bytes
    while True:
        try:
            await _read_on(part, max_bytes)
            return
        except WithheldError:
            raise
        except NetworkError as error:
            failures = 1 if part.size_bytes > best else failures + 1
            best = max(best, part.size_bytes)
            if error.status == 416:  # it is shorter now
                part.restart()
            elif error.status is not None and error.status < 500:
                raise
            if failures >= _ATTEMPTS:
                raise
        await asyncio.sleep(_PAUSE_S * failures)


async def _read_on(part: _Part, max_bytes: int) -> None:
    async with client.stream(part.url, start=part.size_bytes, etag=part.etag) as body:
        if body.start != part.size_bytes or (part.size_bytes and body.etag != part.etag):
            part.restart()  # another version, or a server that can't begin in the middle
        if body.start != part.size_bytes:
            raise NetworkError("The file changed while it was read.", url=part.url)
        part.remember(body.etag, body.total_bytes)
        async for piece in body:
            if part.size_bytes + len(piece) > (max_bytes if body.total_bytes is None else body.total_bytes):
                part.restart()
                raise NetworkError("The server sends more than the file has.", url=part.url, status=400)
            if part.add(piece) >= _PIECE_BYTES:
                await in_thread(part.write)
        await in_thread(part.write)


class _Part:
    """The unfinished file ``NAME.part``, and ``NAME.part.json``, which says what version it is of.

    Attributes
    ----------
    size_bytes
        How much there is, with what waits to be written.
    etag
        The version that it is of, or None.
    """

    def __init__(self, place: Path, url: str, on_bytes: Callable[[int], None], stop: threading.Event) -> None:
        self.url, self.size_bytes = url, 0
        self.etag: str | None = None
        self.digest = hashlib.sha256()
        self._place, self._on_bytes = place, on_bytes
        self._waiting, self._waiting_bytes = list[bytes](), 0
        self._path = place.with_name(place.name + PART_SUFFIX)
        self._state = place.with_name(place.name + STATE_SUFFIX)
        place.parent.mkdir(parents=True, exist_ok=True)
        for path in (self._path, self._state):
            if path.is_symlink():
                path.unlink()
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        self._take_up(stop)

    def remember(self, etag: str | None, total_bytes: int | None) -> None:
        """Note which version this is; without an ETag, or for a small file, there is no continuing."""
        if etag and etag != self.etag and (total_bytes is None or total_bytes >= _LEAST_CONTINUED_BYTES):
            self._state.write_text(json.dumps({"url": self.url, "etag": etag}), encoding="utf-8")
        self.etag = etag

    def add(self, piece: bytes) -> int:
        """Take some more; gives how much waits to be written."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        self._count(len(piece))
        return self._waiting_bytes

    def write(self) -> None:
        """Write what waits."""
        content, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        self._file.write(content)
        self.digest.update(content)

    def copy(self, source: Path, stop: threading.Event) -> None:
        """Take all of a file of this computer."""
        self.restart()
        try:
            file = source.open("rb")
        except OSError as error:
            status = 404 if isinstance(error, FileNotFoundError) else None
            message = f"The pack's file {source.name} can't be read: {error.strerror}."
            raise NetworkError(message, url=self.url, status=status) from error
        with file:
            _read_through(file, self._copy_piece, stop)

    def restart(self) -> None:
        """Forget what is there."""
        self._count(-self.size_bytes)
        self.etag, self.digest, self._waiting, self._waiting_bytes = None, hashlib.sha256(), [], 0
        self._file.seek(0)
        self._file.truncate()
        self._state.unlink(missing_ok=True)

    def publish(self, on_whole: Callable[[int, str], None]) -> None:
        """Put the finished file in its place, all at once."""
        self._file.truncate(self.size_bytes)
        self._file.close()
        on_whole(self.size_bytes, self.digest.hexdigest())
        self._path.replace(self._place)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep what can be continued, and nothing else."""
        self._file.close()
        if not self._state.exists():
            self._path.unlink(missing_ok=True)

    def _copy_piece(self, piece: bytes) -> None:
        self.add(piece)
        self.write()

    def _count(self, n_bytes: int) -> None:
        self.size_bytes += n_bytes
        self._on_bytes(n_bytes)

    def _take_up(self, stop: threading.Event) -> None:
        """Continue an earlier transfer of the same URL, less a byte, so that the server always has one to send."""
        there = os.fstat(self._file.fileno()).st_size
        try:
            state = json.loads(self._state.read_bytes())
            is_ours = state["url"] == self.url and isinstance(state["etag"], str) and there > 0
        except (OSError, ValueError, LookupError, TypeError):
            is_ours = False
        if not is_ours:
            self.restart()
            return
        self.etag = state["etag"]
        self._count(there - 1)
        _read_through(self._file, self.digest.update, stop, there - 1)
        self._file.seek(self.size_bytes)
