"""Whether a view fits into memory: with whole blocks, with only what it cuts out of them, or not at all.

Blocks that come drive out others when there are too many. A view that needs more of them than fit would be fetched
again and again, and never be whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import StreamError
from napari_cryoet.streaming.cache import OVERHEAD_BYTES
from napari_cryoet.streaming.geometry import box_shape
from napari_cryoet.streaming.thin import cut_box, plane_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.pyramid import Pyramid

_LOST_TO_OTHERS = 2  # blocks; so many others may drive out at any time
_MEGABYTE = 1_000_000


def must_be_thin(pyramid: Pyramid, level: int, box: Box, memory_bytes: int) -> bool:
    """Whether so much must be fetched for a plane that only the plane itself of it can be kept in memory."""
    return plane_of(box) is not None and pyramid.size_bytes(level, box) > memory_bytes // 2


class Fit:
    """Notices that a view doesn't fit: what came takes more than there is, or as many blocks are gone as it has."""

    def __init__(self) -> None:
        self._came: set[Hashable] = set()
        self._weighed: set[Hashable] = set()
        self._took_bytes, self._memory_bytes = 0, 0
        self._lost, self._most, self._fits_alone, self._is_too_finely_cut = 0, 0, True, False

    def begin(self, pyramid: Pyramid, level: int, box: Box, *, memory_bytes: int, is_thin: bool) -> None:
        """Look at the view that needs the blocks of a box of a level from now on, or what it cuts out of them."""
        self._came.clear()
        self._weighed.clear()
        self._took_bytes, self._memory_bytes = 0, memory_bytes
        kept = pyramid.grid(level).enclosing(box)
        kept = cut_box(kept, plane_of(box) or ()) if is_thin else kept
        blocks = pyramid.grid(level).count(box)
        kept_bytes, overhead_bytes = math.prod(box_shape(kept)) * pyramid.dtype.itemsize, blocks * OVERHEAD_BYTES
        self._fits_alone = kept_bytes + overhead_bytes <= memory_bytes // 2
        self._is_too_finely_cut = overhead_bytes > memory_bytes
        self._lost, self._most = 0, blocks + _LOST_TO_OTHERS

    def came(self, keys: Iterable[Hashable]) -> None:
        """Note blocks of the view that have come into memory."""
        self._came.update(keys)

    def weigh(self, sizes_bytes: Mapping[Hashable, int]) -> None:
        """Note what whole blocks of the view take in memory, each once, however often it comes."""
        self._took_bytes += sum(size for key, size in sizes_bytes.items() if key not in self._weighed)
        self._weighed.update(sizes_bytes)

    def saw_none(self, keys: set[Hashable]) -> bool:
        """Whether none of some blocks has come for the view yet."""
        return self._came.isdisjoint(keys)

    def lacks(self, keys: set[Hashable]) -> None:
        """Note which blocks of the view aren't in memory; where all are, it fits, and others drove out what went."""
        if not keys:
            self._lost = 0
        lost = self._came & keys
        self._came -= lost
        self._lost += len(lost)

    @property
    def is_tight(self) -> bool:
        """Whether keeping less of each block would spare fetching many once more."""
        return self._lost > self._most // 4

    @property
    def is_hopeless(self) -> bool:
        """Whether fetching more would go on for ever, also where nothing else was looked at."""
        is_too_heavy = self._took_bytes > self._memory_bytes
        return self._is_too_finely_cut or is_too_heavy or (self._lost > self._most and not self._fits_alone)


def does_not_fit(memory_bytes: int) -> StreamError:
    """What to say where it is hopeless."""
    return StreamError(
        f"What is in view takes more than the {memory_bytes / _MEGABYTE:,.0f} MB of memory that pixels may take.",
        hint="Look at a plane, a smaller part or a coarser level.",
    )
