"""Which trees of the disk cache are known to be outdated: noted at once, as the next moment may be the process's last.

What an index says is forgotten by its writer, when there is time, and where the disk lets it. A note is a file without
content: made in a fraction of a millisecond, where there is no room for anything else too, and seen by all processes
from then on, also if this one is killed. Of a tree with a note nobody uses anything, until it was forgotten.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FOLDER = "outdated"


class OutdatedTrees:
    """Notes beside an index.

    Parameters
    ----------
    folder
        That of the index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def make_folder(self) -> None:
        """Make room for notes before the disk is full; OSError where it is."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def note(self, digest: bytes) -> str:
        """Note that a tree is outdated; the name of the note, or OSError where nothing can be noted."""
        name = f"{digest.hex()}-{secrets.token_hex(8)}"  # each its own: who forgets a tree knows of some only
        self.make_folder()
        (self._folder / name).touch(mode=0o600)
        return name

    def of(self, digest: bytes) -> list[str]:
        """The notes of a tree."""
        return [name for name in self._names() if name.startswith(digest.hex())]

    def all(self) -> dict[bytes, list[str]]:
        """The notes of all trees, by what these are known by."""
        notes: dict[bytes, list[str]] = {}
        for name in self._names():
            with contextlib.suppress(ValueError):  # somebody else's file
                notes.setdefault(bytes.fromhex(name.partition("-")[0]), []).append(name)
        return notes

    def remove(self, names: Iterable[str]) -> None:
        """Remove notes of trees that were forgotten; what can't be removed costs what is kept later, and no more."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all notes."""
        self.remove(self._names())

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except OSError:  # there never was one
            return []
