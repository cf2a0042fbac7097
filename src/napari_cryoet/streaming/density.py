"""How many bytes of its files a byte of an array takes, on average of the chunks that were met so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata


class Density:
    """Counts what chunks take; what of them lies beyond the array's end counts for nothing.

    Parameters
    ----------
    metadata
        The array.
    """

    def __init__(self, metadata: ArrayMetadata) -> None:
        self._metadata = metadata
        self._lock = FreshLock()
        self._stored_bytes = self._content_bytes = 0
        self._has_first = False

    @property
    def value(self) -> float:
        """Stored bytes a byte of content; 1 as long as no chunk was met."""
        with self._lock:
            return self._stored_bytes / self._content_bytes if self._content_bytes else 1.0

    def note(self, chunk: tuple[int, ...], stored_bytes: int) -> None:
        """Take in what a chunk takes in its file, nothing where it is missing.

        The first one of an array, which shows what the others are like, is met more often and counts once.
        """
        sizes = zip(chunk, self._metadata.shape, self._metadata.inner_chunk_shape, strict=True)
        voxels = math.prod(min(size, length - index * size) for index, length, size in sizes)
        with self._lock:
            if not any(chunk):
                if self._has_first:
                    return
                self._has_first = True
            self._stored_bytes += stored_bytes
            self._content_bytes += voxels * self._metadata.stored_dtype.itemsize
