"""Which version of each file its blocks in memory come from, so that those of two versions never stand side by side.

That there is no such file counts as a version, too: its blocks have the fill value, until it is there. Where a server
names no version, the size of the file stands for one: some changes are noticed by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.exceptions import CHANGED_HINT, ChangedError
from napari_cryoet.files import file_at
from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    from napari_cryoet.streaming.sources import Piece


class _OnlySize(str):
    """The size of a file of which no version is known."""

    __slots__ = ()


def mark_of(piece: Piece) -> str | None:
    """What tells the version of a file that a piece came from, as far as anything does."""
    if piece.version is not None or piece.total_bytes is None:
        return piece.version
    return _OnlySize(piece.total_bytes)


def named(version: str | None) -> str | None:
    """A version that can be asked for, since the server has named it."""
    return None if isinstance(version, _OnlySize) else version


def _agree(one: str | None, other: str | None) -> bool:
    """Whether two pieces may be of one version; servers don't always say how large a file is."""
    if one is None or other is None:
        return named(one) is None and named(other) is None
    return one == other and type(one) is type(other)


class Versions:
    """The version of each file that was met first, until all are forgotten.

    Parameters
    ----------
    address
        Where the files are.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._known: dict[str, str | None] = {}
        self._missing: set[str] = set()
        self._forgotten = 0
        self._lock = FreshLock()

    def of(self, key: str) -> tuple[str | None, int]:
        """The version of a file, None where it isn't known or can't be, and how often all were forgotten so far."""
        with self._lock:
            return self._known.get(key), self._forgotten

    def settle(self, key: str, version: str | None, forgotten: int) -> None:
        """Take the version of a file that was read for the one that counts.

        Parameters
        ----------
        forgotten
            What `of` said before it was asked for. What was under way while versions were forgotten is of those before,
            perhaps, and must not count for those who ask from then on.

        Raises
        ------
        ChangedError
            Where another one counts already, or may.
        """
        with self._lock:
            if forgotten == self._forgotten and key not in self._missing:
                before = self._known.setdefault(key, version)
                if before is None and named(version) is None:
                    self._known[key] = version
            is_it = key in self._known and _agree(self._known[key], version)
        if not is_it:
            self._raise(key)

    def miss(self, key: str, forgotten: int) -> bool:
        """Take it that there is no such file; False where one was read before.

        Parameters
        ----------
        forgotten
            As of `settle`.

        Raises
        ------
        ChangedError
            Where versions were forgotten meanwhile, so that there may be one by now.
        """
        with self._lock:
            is_late = forgotten != self._forgotten
            if not is_late and key not in self._known:
                self._missing.add(key)
            is_missing = key in self._missing
        if is_late and not is_missing:
            self._raise(key)
        return is_missing

    def confirm(self, key: str, version: str | None) -> None:
        """Raise ChangedError unless it is this version of a file that counts."""
        with self._lock:
            is_it = key in self._known and _agree(self._known[key], version)
        if not is_it:
            self._raise(key)

    def forget(self) -> None:
        """Let those versions of files count that are asked for from now on."""
        with self._lock:
            self._known.clear()
            self._missing.clear()
            self._forgotten += 1

    def _raise(self, key: str) -> None:
        raise ChangedError(f"{file_at(self._address, key)} changed while it was read.", hint=CHANGED_HINT)
