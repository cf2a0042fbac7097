"""The files of the disk cache: one for each part that is too large for the index, never changed once named there."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_YOUNG_S = 3600.0  # the index may not know it yet


class PartFiles:
    """Files with names that nobody has to think of, below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: object) -> bytes | None:
        """A file's content, None where it can't be had."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return None
        try:
            return self._path(name).read_bytes()
        except OSError:
            return None

    def write(self, content: bytes) -> str:
        """Keep some content and return the file's name; OSError where the disk is full or refuses."""
        name = secrets.token_hex(16)
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            path.write_bytes(content)
        except OSError:
            self.remove([name])
            raise
        return name

    def remove(self, names: Iterable[object]) -> None:
        """Delete files; what can't be deleted now (Windows keeps open files) goes with a later `sweep`."""
        for name in names:
            if isinstance(name, str) and _NAME.fullmatch(name):
                with contextlib.suppress(OSError):
                    self._path(name).unlink(missing_ok=True)

    def sweep(self, known: Iterable[str]) -> set[str]:
        """Delete what isn't known and not quite new: what killed writers left behind. Returns the names that remain."""
        known = set(known)
        found = set()
        for path in self._files():
            if path.name in known:
                found.add(path.name)
                continue
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _YOUNG_S:
                    path.unlink(missing_ok=True)
        return found

    def clear(self) -> None:
        """Delete all files."""
        self.remove([path.name for path in self._files()])

    def _files(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            for folder in self._folder.iterdir():
                if len(folder.name) == 2 and folder.is_dir() and not folder.is_symlink():
                    with contextlib.suppress(OSError):
                        yield from folder.iterdir()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name
