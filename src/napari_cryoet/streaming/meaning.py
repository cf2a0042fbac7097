"""What an image's files mean, as its metadata said when it was opened: that is asked anew where a file was met changed.

Whoever writes an image anew in its place may cut it into other chunks, or give it another type. Its new files would
then be taken for old ones, and their values be put where they don't belong.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_cryoet.exceptions import StreamError
from napari_cryoet.files import file_at
from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.chunk_files import key_below

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from napari_cryoet.streaming.opening import FoundArray
    from napari_cryoet.streaming.sources import ByteSource

_ASKED_EVERY_S = 1.0  # of a level: all of its files may be met changed one after the other
_MEANINGLESS = ("attributes", "consolidated_metadata", "dimension_names")


class Meaning:
    """The metadata of an image's levels.

    Parameters
    ----------
    source
        Where they are.
    arrays
        The levels as they were found.
    """

    def __init__(self, source: ByteSource, arrays: Sequence[FoundArray]) -> None:
        self._source = source
        names = (".zarray" if array.metadata.zarr_format == 2 else "zarr.json" for array in arrays)
        self._keys = [key_below(array.path, name) for array, name in zip(arrays, names, strict=True)]
        self._documents = [array.document for array in arrays]
        self._lock = FreshLock()
        self._asked_at: dict[int, float] = {}
        self._doubts = 0  # how often they were doubted,
        self._answered: Counter[int] = Counter()  # and how often they had been when those of a level were read last
        self._is_lost = False

    def doubt(self) -> None:
        """Note that a file was met changed."""
        self._doubts += 1

    def require(self, level: int, stop: threading.Event) -> None:
        """Raise StreamError where the files of a level mean something else by now, or that can't be found out."""
        if self._is_doubted(level):
            with self._lock.held(stop):
                self._ask(level, stop)
        if self._is_lost:
            raise StreamError(
                f"{file_at(self._source.url)} was written anew since it was opened.", hint="Open it again."
            )

    def _is_doubted(self, level: int) -> bool:
        return self._doubts != self._answered[level]

    def _ask(self, level: int, stop: threading.Event) -> None:
        """Read what the metadata of a level say now; later, if that was done a moment ago."""
        is_soon = time.monotonic() - self._asked_at.get(level, -_ASKED_EVERY_S) < _ASKED_EVERY_S
        if is_soon or not self._is_doubted(level):
            return  # else who was faster has asked
        key, doubts = self._keys[level], self._doubts
        self._source.forget(key)  # which may be kept on disk
        piece = self._source.read(key, stop=stop)
        self._asked_at[level] = time.monotonic()
        self._is_lost |= piece is None or not _mean_the_same(piece.content, self._documents[level])
        self._answered[level] = doubts


def _mean_the_same(one: bytes, other: bytes) -> bool:
    return one == other or _told(one) == _told(other)


def _told(document: bytes) -> dict[str, Any] | None:
    """What a document says of an array's files; None where it is none, as while it is being written."""
    try:
        told = json.loads(document, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return {name: value for name, value in told.items() if name not in _MEANINGLESS} if isinstance(told, dict) else None
