"""Parts of files whose server sends nothing but whole files, as Python's own web server does: each is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.exceptions import NoPartsError, StreamError
from napari_cryoet.shared import made_once
from napari_cryoet.streaming.cache import OVERHEAD_BYTES, MemoryCache
from napari_cryoet.streaming.once import Once
from napari_cryoet.streaming.sources import Piece, SourceAround

if TYPE_CHECKING:
    import threading
    from collections.abc import Hashable

    from napari_cryoet.streaming.sources import ByteSource

_LARGEST_BYTES = 256 * 2**20  # larger files are refused: nobody has asked for that much
_HELD_BYTES = _LARGEST_BYTES + OVERHEAD_BYTES  # what isn't held would be read whole for each part of it


class UndividedFiles(SourceAround):
    """A source that reads a file whole where a part that lies far into it can't be had otherwise.

    All who want parts of a file then wait for one answer. The last files of all images are held in memory, beside the
    decoded blocks, which they would drive out; and the source may keep those on disk that aren't too large for it.

    Parameters
    ----------
    source
        The files.
    owner
        What is held is held for; see `MemoryCache.forget_where`.
    """

    def __init__(self, source: ByteSource, owner: Hashable) -> None:
        super().__init__(source)
        self._held: Once[Piece | None] = Once(held_files(), (owner, "whole"), _size_of)
        self._undivided: set[str] = set()

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it; see `ByteSource`."""
        if key not in self._undivided:
            try:
                return super().read(key, start=start, length=length, version=version, stop=stop)
            except StreamError as error:
                if not _is_worth_reading_whole(error.__cause__):
                    raise
                self._undivided.add(key)
        whole = self._whole(key, version, stop)
        if whole is not None and version not in {None, whole.version}:  # held since before it was met changed
            self._held.forget(key)
            whole = self._whole(key, version, stop)
        if whole is None:
            self._held.forget(key)
            return None
        return _part_of(whole, start, length)

    def _whole(self, key: str, version: str | None, stop: threading.Event | None) -> Piece | None:
        read = super().read
        return self._held.get(key, lambda: read(key, version=version, stop=stop))

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file any more; see `ByteSource`."""
        self._held.forget(key)
        super().forget(key)

    def forget_all(self) -> None:
        """Use nothing that is kept of any file any more; see `ByteSource`."""
        self._held.forget_all()
        super().forget_all()


@made_once
def held_files() -> MemoryCache[object]:
    """Where all images of this process hold whole files."""
    return MemoryCache(_HELD_BYTES)


def _is_worth_reading_whole(cause: BaseException | None) -> bool:
    """Whether a part was refused of a file that isn't too large."""
    return isinstance(cause, NoPartsError) and cause.total_bytes is not None and cause.total_bytes <= _LARGEST_BYTES


def _size_of(piece: Piece | None) -> int:
    return 0 if piece is None else len(piece.content)


def _part_of(whole: Piece, start: int, length: int | None) -> Piece:
    first = max(0, len(whole.content) + start) if start < 0 else start
    last = None if length is None else first + length
    return Piece(whole.content[first:last], whole.version, whole.total_bytes, whole.changed_at)
