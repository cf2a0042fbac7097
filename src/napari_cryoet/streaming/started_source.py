"""A source of which the first bytes of one file were read before: they are not asked for again, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.streaming.sources import Piece, SourceAround

if TYPE_CHECKING:
    import threading

    from napari_cryoet.streaming.sources import ByteSource


class StartedSource(SourceAround):
    """A source and the start of one of its files.

    Only the first to ask gets it: whoever asks again does so because the file has changed, or was damaged.
    """

    def __init__(self, source: ByteSource, key: str, start: Piece) -> None:
        super().__init__(source)
        self._starts = {key: start}

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
        if start == 0 and (kept := self._starts.pop(key, None)) is not None:
            is_enough = length is not None and length <= len(kept.content)
            if is_enough and kept.version is not None and version in {None, kept.version}:
                return Piece(kept.content[:length], kept.version, kept.total_bytes)
        return super().read(key, start=start, length=length, version=version, stop=stop)

    def forget_all(self) -> None:
        """Use nothing that is kept of any file any more; see `ByteSource`."""
        self._starts.clear()
        super().forget_all()

    def forget(self, key: str) -> None:
        """Use nothing that is kept of a file any more; see `ByteSource`."""
        self._starts.pop(key, None)
        super().forget(key)
