"""Which blocks of a pyramid are in memory, whole or as much of them as a plane needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.cache import OVERHEAD_BYTES, owned_bytes
from napari_cryoet.streaming.thin import plane_of, thin_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari_cryoet.streaming.block_keys import BlockKey
    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.plan import View
    from napari_cryoet.streaming.pyramid import Pyramid


@dataclass(frozen=True, slots=True)
class Stock:
    """What of a pyramid a cache holds now."""

    pyramid: Pyramid
    memory: MemoryCache[object]

    def lacking(self, level: int, box: Box) -> list[BlockKey]:
        """The blocks of a box of which not even what the box needs is there."""
        plane = plane_of(box)
        keys = (self.pyramid.key(level, block) for block in self.pyramid.grid(level).covering(box))
        return [
            key for key in keys if key not in self.memory and (plane is None or thin_key(key, plane) not in self.memory)
        ]

    def has(self, level: int, box: Box) -> bool:
        """Whether all of a box is there."""
        return not self.lacking(level, box)

    def has_coarser(self, view: View) -> bool:
        """Whether some coarser level covers a view."""
        coarser = range(view.level + 1, len(self.pyramid.shapes))
        return any(self.has(level, view.at(self.pyramid, level)) for level in coarser)

    def sizes_bytes(self, keys: Iterable[Hashable]) -> dict[Hashable, int]:
        """What those blocks take that are there as a whole: nothing but the entry where one value stands for all."""
        found = {key: self.memory.get(key) for key in keys}
        return {
            key: owned_bytes(block) + OVERHEAD_BYTES for key, block in found.items() if isinstance(block, np.ndarray)
        }
