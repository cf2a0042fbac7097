"""A file of JSON lines that is only appended to, so that it stays whole after a crash.

Lines start, rather than end, with a line break. A line that was cut off by a crash can't corrupt
the next one. Several windows may append to one file.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_cryoet.exceptions import FormatError, SaveError


class Journal:
    """One file, with a header in its first line, and the values that aren't written yet.

    Parameters
    ----------
    path
        The file; it may not exist yet.
    header
        The first line, without the date.
    what
        What the file holds, for messages, such as "review".
    """

    def __init__(self, path: Path, header: Mapping[str, Any], what: str) -> None:
        self.path = path
        self._header, self._what = header, what
        self._unsaved: list[Any] = []
        self._saving = threading.Lock()

    def values(self) -> list[Any]:
        """The values of all valid lines, the header first; FormatError if they can't be read."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FormatError(
                f"The saved {self._what} can't be read: {error.strerror}.", hint=str(self.path)
            ) from error
        values = []
        for line in content.decode("utf-8", errors="replace").split("\n"):
            with suppress(ValueError):  # a line that was cut off by a crash
                values.append(json.loads(line))
        return values

    def queue(self, values: Iterable[Any]) -> None:
        """Keep values for the next `save`."""
        self._unsaved += values

    @property
    def has_unsaved(self) -> bool:
        """Whether there are values to save."""
        return bool(self._unsaved)

    def save(self) -> None:
        """Append the unsaved values and flush them to disk. Thread-safe.

        Raises
        ------
        SaveError
            If writing fails. The next call tries again: duplicate lines do no harm.
        """
        with self._saving:
            values = list(self._unsaved)
            if values:
                self._append(values)
                del self._unsaved[: len(values)]  # others may have been added meanwhile

    def _append(self, values: list[Any]) -> None:
        lines = [json.dumps(value) for value in values]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                header = {**self._header, "began_at": f"{datetime.now(UTC):%FT%TZ}"}
                start = "" if file.tell() else json.dumps(header)
                file.write("\n".join([start, *lines]).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(
                f"The {self._what} can't be saved: {error.strerror}.",
                hint=f"Make {self.path.parent} writable; the next change is saved with this one.",
            ) from error
