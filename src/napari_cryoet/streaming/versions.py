"""Which version of each file its blocks in memory come from, so that those of two versions never stand side by side."""

from __future__ import annotations

import threading

from napari_cryoet.exceptions import ChangedError


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
        self._lock = threading.Lock()

    def of(self, key: str) -> str | None:
        """The version of a file, None where it isn't known or can't be."""
        with self._lock:
            return self._known.get(key)

    def settle(self, key: str, version: str | None) -> None:
        """Take the version of a file for the one that counts.

        Raises
        ------
        ChangedError
            Where another one counts already.
        """
        with self._lock:
            known = self._known.setdefault(key, version)
        if known != version:
            raise ChangedError(
                f"{self._where} ({key}) changed while it was read.", hint="Try again once it doesn't change any more."
            )

    def forget(self, key: str) -> None:
        """Let the next version that is met count."""
        with self._lock:
            self._known.pop(key, None)

    def forget_all(self) -> None:
        """Let the next version of every file count."""
        with self._lock:
            self._known.clear()
