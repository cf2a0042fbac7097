"""Which version of each file its blocks in memory come from, so that those of two versions never stand side by side."""

from __future__ import annotations

from collections import Counter

from napari_cryoet.exceptions import ChangedError
from napari_cryoet.forks import FreshLock


class Versions:
    """The version of each file that was met first, until it is forgotten.

    Parameters
    ----------
    where
        What to call the tree of files in messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._known: dict[str, str | None] = {}
        self._forgotten: Counter[str] = Counter()
        self._lock = FreshLock()

    def of(self, key: str) -> tuple[str | None, int]:
        """The version of a file, None where it isn't known or can't be, and how often it was forgotten so far."""
        with self._lock:
            return self._known.get(key), self._forgotten[key]

    def is_met(self, key: str) -> bool:
        """Whether a version of a file counts, also where it has no name."""
        with self._lock:
            return key in self._known

    def settle(self, key: str, version: str | None, forgotten: int) -> None:
        """Take the version of a file that was read for the one that counts.

        Parameters
        ----------
        forgotten
            What `of` said before it was asked for. What was under way while it was forgotten is of the version before,
            perhaps, and must not count for those who ask from then on.

        Raises
        ------
        ChangedError
            Where another one counts already, or may.
        """
        with self._lock:
            if forgotten == self._forgotten[key]:
                self._known.setdefault(key, version)
            is_it = key in self._known and self._known[key] == version
        if not is_it:
            self._raise(key)

    def confirm(self, key: str, version: str | None) -> None:
        """Raise ChangedError unless it is this version of a file that counts."""
        with self._lock:
            is_it = key in self._known and self._known[key] == version
        if not is_it:
            self._raise(key)

    def forget(self, key: str) -> None:
        """Let the next version count that is asked for from now on."""
        with self._lock:
            self._known.pop(key, None)
            self._forgotten[key] += 1

    def _raise(self, key: str) -> None:
        raise ChangedError(
            f"{self._where} ({key}) changed while it was read.", hint="Try again once it doesn't change any more."
        )
