"""Answers on disk: what was seen before can be seen again without network, with its date.

An answer is one JSON file, named after the hash of what was asked. Several programs can share the folder. The files
unused for longest go first when it outgrows its bound. A damaged file is as good as none, and a folder that can't be
read or written means no cache, and no failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from napari_cryoet.files import replace_file
from napari_cryoet.records import Terms

MAX_CACHE_BYTES: Final = 200_000_000
_VERSION: Final = 2


class Answer(msgspec.Struct, frozen=True):
    """The data of an answer, when it came, and the terms that came with it."""

    fetched_at: datetime
    data: dict[str, Any]
    terms: Terms | None = None


class AnswerCache:
    """Keeps answers in a folder, which is made when the first one is kept.

    Parameters
    ----------
    folder
        Where to keep them.
    max_bytes
        How large all of them together may get.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, source: str, query: str, variables: Mapping[str, Any]) -> Answer | None:
        """The kept answer of a source to a query; None where there is none that can be read."""
        path = self._path(source, query, variables)
        try:
            answer = msgspec.json.decode(path.read_bytes(), type=Answer)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: the last to go
        return answer

    def put(self, source: str, query: str, variables: Mapping[str, Any], answer: Answer) -> None:
        """Keep an answer, if the disk lets us."""
        content = msgspec.json.encode(answer)
        if len(content) <= self._max_bytes:
            with contextlib.suppress(OSError):
                replace_file(self._path(source, query, variables), content)
                self._shrink()

    def forget(self, source: str, query: str, variables: Mapping[str, Any]) -> None:
        """Drop an answer that turned out to be unusable."""
        with contextlib.suppress(OSError):
            self._path(source, query, variables).unlink(missing_ok=True)

    def _path(self, source: str, query: str, variables: Mapping[str, Any]) -> Path:
        asked = json.dumps([_VERSION, source, query, variables], sort_keys=True)
        return self._folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def _shrink(self) -> None:
        """Remove the answers that were unused for longest until the rest fits."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = 0
        for _, size, path in sorted(found, reverse=True):
            total += size
            if total > self._max_bytes:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
