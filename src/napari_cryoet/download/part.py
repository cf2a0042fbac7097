"""The unfinished file of a transfer: ``NAME.part``, and ``NAME.part.json``, which says what version it is of."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import BinaryIO

from napari_cryoet.download.bodies import READ_BYTES
from napari_cryoet.download.names import PART_STATE_SUFFIX, PART_SUFFIX
from napari_cryoet.exceptions import DownloadError

_LEAST_RESUMABLE_BYTES = 1 << 20
_MAX_STATE_BYTES = 1 << 14
_CLAIM_TIMEOUT_S = 5.0

# A download that was stopped may need a moment to leave its files while the next one comes for them already.
_claims: set[Path] = set()
_claims_changed = threading.Condition()


class Part:
    """A file in the making; two versions of it never mix. Used as a context, it leaves behind what can be continued.

    Parameters
    ----------
    path
        Where the finished file belongs.
    url
        Where it comes from.

    Attributes
    ----------
    size_bytes
        How much is there.
    etag
        The version that it is of, or None.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._state = path.with_name(path.name + PART_STATE_SUFFIX)
        self._url = url
        self._file: BinaryIO
        self._digest = hashlib.sha256()
        self._can_continue = False
        self.size_bytes = 0
        self.etag: str | None = None

    def __enter__(self) -> Part:
        self._claim()
        try:
            if self._part.is_symlink():
                self._part.unlink()
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.fdopen(os.open(self._part, flags, 0o666), "r+b")
            self._take_up()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self._file.close()
            if not (self.size_bytes and self._can_continue):
                self._part.unlink(missing_ok=True)
                self._state.unlink(missing_ok=True)
        finally:
            self._release()

    def sha256(self) -> str:
        """Return the digest of what was written."""
        return self._digest.hexdigest()

    def restart(self) -> None:
        """Forget what is there."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.size_bytes, self.etag, self._can_continue = 0, None, False

    def remember(self, etag: str | None, total_bytes: int | None) -> None:
        """Note which version this is; without an ETag, or for a small file, there is no continuing."""
        if etag == self.etag:
            return
        self.etag = etag
        if etag and (total_bytes is None or total_bytes >= _LEAST_RESUMABLE_BYTES):
            if self._state.is_symlink():
                self._state.unlink()
            self._state.write_text(json.dumps({"url": self._url, "etag": etag, "total_bytes": total_bytes}))
            self._can_continue = True

    def append(self, chunk: bytes) -> None:
        """Write on."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def publish(self) -> None:
        """Put the finished file in its place, all at once."""
        self._file.truncate(self.size_bytes)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)
        self._can_continue = False
        self._state.unlink(missing_ok=True)

    def _claim(self) -> None:
        """Be the only one in this process that writes this file."""
        with _claims_changed:
            if not _claims_changed.wait_for(lambda: self._path not in _claims, _CLAIM_TIMEOUT_S):
                raise DownloadError(f"Another download is writing {self._path}.", hint="Wait until it is done.")
            _claims.add(self._path)

    def _release(self) -> None:
        with _claims_changed:
            _claims.discard(self._path)
            _claims_changed.notify_all()

    def _take_up(self) -> None:
        """Continue an earlier transfer of the same URL, less a byte, so that the server always has one to send."""
        there = os.fstat(self._file.fileno()).st_size
        etag, total_bytes = self._read_state()
        if etag is None or not there or (total_bytes is not None and there > total_bytes):
            self.restart()
            return
        self.size_bytes, self.etag, self._can_continue = there - 1, etag, True
        left = self.size_bytes
        while chunk := self._file.read(min(READ_BYTES, left)):
            self._digest.update(chunk)
            left -= len(chunk)
        self._file.seek(self.size_bytes)  # the last byte stays where none comes

    def _read_state(self) -> tuple[str | None, int | None]:
        try:
            if self._state.is_symlink() or self._state.stat().st_size > _MAX_STATE_BYTES:
                return None, None
            state = json.loads(self._state.read_bytes())
            etag, total_bytes = state["etag"], state["total_bytes"]
            is_ours = state["url"] == self._url and isinstance(etag, str)
        except (OSError, ValueError, KeyError, TypeError):  # damaged or none: the transfer begins anew
            return None, None
        return (etag, total_bytes if isinstance(total_bytes, int) else None) if is_ours else (None, None)
