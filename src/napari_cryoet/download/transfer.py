"""Fetching one file: into a ``.part`` beside its place, continued where it ended, checked, and only then renamed."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from napari_cryoet.exceptions import NetworkError, WithheldError, raise_if_stopped
from napari_cryoet.files import local_path
from napari_cryoet.network import client

T = TypeVar("T")
OnBytes = Callable[[int, bool], None]
"""Told how many more bytes are there, and whether they just came."""

WORKERS: Final = 8  # requests at once to one host
_MAX_METADATA_BYTES: Final = 16 << 20  # the labels of an instance mask can fill a megabyte
_ATTEMPTS: Final = 5  # in a row without a step forward; the client itself repeats requests that got no answer
_PAUSE_S: Final = 0.5
_PIECE_BYTES: Final = 1 << 18
_LEAST_CONTINUED_BYTES: Final = 1 << 20
_MAX_UNSIZED_BYTES: Final = 1 << 30  # of a file whose size its server doesn't tell


async def fetch_file(
    url: str,
    place: Path,
    *,
    content: bytes | None = None,
    on_bytes: OnBytes,
    on_whole: Callable[[int, str], None],
    stop: threading.Event,
) -> None:
    """Fetch a file to its place, replacing what is there; or write ``content`` there, if that is known already.

    ``on_bytes`` is told how much more of it is there, less than nothing where it starts anew; ``on_whole`` its size and
    its SHA-256, on a thread, right before it gets its name. What came before an error is kept for the next time.
    """
    part = await in_thread(_Part, place, url, on_bytes, stop)
    try:
        if content is not None:
            part.restart()
            await in_thread(part.write, content)
        elif (source := local_path(url)) is not None:
            await in_thread(part.copy, source, stop)
        else:
            await _fill(part)
        await in_thread(part.publish, on_whole)
    finally:
        part.close()


async def read_document(url: str) -> bytes | None:
    """A small file, such as the metadata of an OME-Zarr; None if it is missing."""
    if (path := local_path(url)) is not None:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _MAX_METADATA_BYTES else None
    answer = await client.get(url, limit_bytes=_MAX_METADATA_BYTES)
    return answer.body if answer else None


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


def _read_through(file: BinaryIO, use: Callable[[bytes], Any], stop: threading.Event) -> None:
    while piece := file.read(_PIECE_BYTES):
        raise_if_stopped(stop)
        use(piece)


async def _fill(part: _Part) -> None:
    """Read until the file is whole, going on where a connection broke."""
    failures, best = 0, part.size_bytes
    while True:
        try:
            await _read_on(part)
            return
        except NetworkError as error:
            failures = 1 if part.size_bytes > best else failures + 1
            best = max(best, part.size_bytes)
            if isinstance(error, WithheldError) or error.status not in {None, 416} or failures >= _ATTEMPTS:
                raise
            if error.status == 416:  # it is not longer than what is there
                part.restart()
        await asyncio.sleep(_PAUSE_S * failures)


async def _read_on(part: _Part) -> None:
    async with client.stream(part.url, start=part.size_bytes, etag=part.etag) as body:
        if body.start != part.size_bytes or (part.size_bytes and body.etag != part.etag):
            part.restart()  # another version, or a server that can't begin in the middle
        if body.start != part.size_bytes:
            raise NetworkError("The file changed while it was read.", url=part.url)
        part.remember(body.etag, body.total_bytes)
        max_bytes = _MAX_UNSIZED_BYTES if body.total_bytes is None else body.total_bytes
        waiting = bytearray()
        try:
            async for piece in body:
                waiting += piece
                if part.size_bytes + len(waiting) > max_bytes:
                    raise NetworkError("The server sends more than the file has.", url=part.url, status=400)
                if len(waiting) >= _PIECE_BYTES:
                    await in_thread(part.write, bytes(waiting))
                    waiting.clear()
        finally:
            await in_thread(part.write, bytes(waiting))


class _Part:
    """The unfinished file ``NAME.part``, and ``NAME.part.json``, which says what version it is of."""

    def __init__(self, place: Path, url: str, on_bytes: OnBytes, stop: threading.Event) -> None:
        self.url, self.size_bytes = url, 0
        self.etag: str | None = None
        self._place, self._on_bytes = place, on_bytes
        self._path, self._state = (place.with_name(place.name + ending) for ending in (".part", ".part.json"))
        self._digest = hashlib.sha256()
        place.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            state = {}
        if state.get("url") != url or "etag" not in state:
            self.restart()
        else:
            self.etag = state["etag"]
            _read_through(self._file, partial(self._count, came=False), stop)

    def remember(self, etag: str | None, total_bytes: int | None) -> None:
        """Note which version this is; without an ETag, or for a small file, there is no continuing."""
        if etag and etag != self.etag and (total_bytes is None or total_bytes >= _LEAST_CONTINUED_BYTES):
            self._state.write_bytes(msgspec.json.encode({"url": self.url, "etag": etag}))
        self.etag = etag

    def write(self, content: bytes) -> None:
        """Write some more."""
        self._file.write(content)
        self._count(content, came=True)

    def copy(self, source: Path, stop: threading.Event) -> None:
        """Take all of a file of this computer."""
        self.restart()
        try:
            file = source.open("rb")
        except FileNotFoundError as error:
            raise NetworkError(f"The pack has no {source.name}.", url=self.url, status=404) from error
        with file:
            _read_through(file, self.write, stop)

    def restart(self) -> None:
        """Forget what is there."""
        self._on_bytes(-self.size_bytes, False)
        self.etag, self.size_bytes, self._digest = None, 0, hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()
        self._state.unlink(missing_ok=True)

    def publish(self, on_whole: Callable[[int, str], None]) -> None:
        """Put the finished file in its place, all at once."""
        self._file.close()
        on_whole(self.size_bytes, self._digest.hexdigest())
        self._path.replace(self._place)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep what can be continued, and nothing else."""
        self._file.close()
        if not self._state.exists():
            self._path.unlink(missing_ok=True)

    def _count(self, content: bytes, *, came: bool) -> None:
        self.size_bytes += len(content)
        self._digest.update(content)
        self._on_bytes(len(content), came)
