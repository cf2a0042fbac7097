"""Fetch one file into a ``.part`` file, which can be continued and is renamed when it is complete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from napari_cryoet.exceptions import NetworkError, WithheldError
from napari_cryoet.locations import Location
from napari_cryoet.network import client
from napari_cryoet.task import Task

T = TypeVar("T")
OnBytes = Callable[[int, bool], None]
"""Called with the number of bytes added (negative if removed), and whether they were just received."""

WORKERS: Final = 8  # concurrent requests to one host
_MAX_METADATA_BYTES: Final = 16 << 20  # the labels of an instance mask can fill a megabyte
_ATTEMPTS: Final = (
    5  # in a row without progress; the client itself retries requests without a response
)
_PAUSE_S: Final = 0.5
_PIECE_BYTES: Final = 1 << 18
_LEAST_CONTINUED_BYTES: Final = 1 << 20


async def fetch_file(
    url: str,
    path: Path,
    *,
    content: bytes | None = None,
    on_bytes: OnBytes,
    on_whole: Callable[[int, str], None],
    task: Task,
) -> None:
    """Fetch a file to ``path``, replacing an existing one; or write ``content``, if it is known already.

    ``on_whole`` is called with the size and the SHA-256, on a thread, just before the file is
    renamed to ``path``. After an error, the received bytes are kept for the next attempt.
    """
    part = await in_thread(_Part, path, url, on_bytes, task)
    try:
        if content is not None:
            part.restart()
            await in_thread(part.write, content)
        elif (source := Location.of(url).path) is not None:
            await in_thread(part.copy, source, task)
        else:
            await _fill(part)
        await in_thread(part.publish, on_whole)
    finally:
        part.close()


async def read_document(url: str) -> bytes | None:
    """Read a small file, such as the metadata of an OME-Zarr; None if it is missing."""
    if (path := Location.of(url).path) is not None:
        return (
            path.read_bytes()
            if path.is_file() and path.stat().st_size <= _MAX_METADATA_BYTES
            else None
        )
    response = await client.get(url, limit_bytes=_MAX_METADATA_BYTES)
    return response.body if response else None


async def in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Make a blocking call on a thread; wait for its end even if the task is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def sha256_of(path: Path, task: Task) -> str:
    """The SHA-256 of a file; StoppedError if ``task`` is set."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _read_through(file, digest.update, task)
    return digest.hexdigest()


def _read_through(file: BinaryIO, use: Callable[[bytes], Any], task: Task) -> None:
    while piece := file.read(_PIECE_BYTES):
        task.check()
        use(piece)


async def _fill(part: _Part) -> None:
    """Read until the file is complete, continuing after broken connections."""
    failures, best = 0, part.size_bytes
    while True:
        try:
            await _read_on(part)
            return
        except NetworkError as error:
            failures = 1 if part.size_bytes > best else failures + 1
            best = max(best, part.size_bytes)
            if (
                isinstance(error, WithheldError)
                or error.status not in {None, 416}
                or failures >= _ATTEMPTS
            ):
                raise
            if error.status == 416:  # the file isn't longer than the part
                part.restart()
        await asyncio.sleep(_PAUSE_S * failures)


async def _read_on(part: _Part) -> None:
    async with client.stream(part.url, start=part.size_bytes, etag=part.etag) as body:
        if body.start != part.size_bytes or (part.size_bytes and body.etag != part.etag):
            part.restart()  # another version, or a server without range requests
        if body.start != part.size_bytes:
            raise NetworkError("The file changed while it was read.", url=part.url)
        part.remember(body.etag, body.total_bytes)
        buffer = bytearray()
        try:
            async for piece in body:
                buffer += piece
                if len(buffer) >= _PIECE_BYTES:
                    await in_thread(part.write, bytes(buffer))
                    buffer.clear()
        finally:
            await in_thread(part.write, bytes(buffer))


class _Part:
    """The unfinished file ``NAME.part``, and ``NAME.part.json`` with its version."""

    def __init__(self, target: Path, url: str, on_bytes: OnBytes, task: Task) -> None:
        self.url, self.size_bytes = url, 0
        self.etag: str | None = None
        self._target, self._on_bytes = target, on_bytes
        self._path, self._state = (
            target.with_name(target.name + suffix) for suffix in (".part", ".part.json")
        )
        self._digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            state = {}
        if state.get("url") != url or "etag" not in state:
            self.restart()
        else:
            self.etag = state["etag"]
            _read_through(self._file, partial(self._count, is_received=False), task)

    def remember(self, etag: str | None, total_bytes: int | None) -> None:
        """Record the file's version; small files and those without an ETag can't be continued."""
        if (
            etag
            and etag != self.etag
            and (total_bytes is None or total_bytes >= _LEAST_CONTINUED_BYTES)
        ):
            self._state.write_bytes(msgspec.json.encode({"url": self.url, "etag": etag}))
        self.etag = etag

    def write(self, content: bytes) -> None:
        """Append content."""
        self._file.write(content)
        self._count(content, is_received=True)

    def copy(self, source: Path, task: Task) -> None:
        """Copy a local file."""
        self.restart()
        try:
            file = source.open("rb")
        except FileNotFoundError as error:
            raise NetworkError(
                f"The pack has no {source.name}.", url=self.url, status=404
            ) from error
        with file:
            _read_through(file, self.write, task)

    def restart(self) -> None:
        """Discard all content."""
        self._on_bytes(-self.size_bytes, False)
        self.etag, self.size_bytes, self._digest = None, 0, hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()
        self._state.unlink(missing_ok=True)

    def publish(self, on_whole: Callable[[int, str], None]) -> None:
        """Rename the finished file to its target."""
        self._file.close()
        on_whole(self.size_bytes, self._digest.hexdigest())
        self._path.replace(self._target)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and delete it unless it can be continued."""
        self._file.close()
        if not self._state.exists():
            self._path.unlink(missing_ok=True)

    def _count(self, content: bytes, *, is_received: bool) -> None:
        self.size_bytes += len(content)
        self._digest.update(content)
        self._on_bytes(len(content), is_received)
