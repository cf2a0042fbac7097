"""What blocks are called in the cache, and what such a name tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.streaming.geometry import BlockIndex

if TYPE_CHECKING:
    from collections.abc import Hashable

#: A block of a pyramid, unique in the process: the pyramid, the level, the block.
BlockKey = tuple[int, int, BlockIndex]


def block_of(key: Hashable) -> BlockIndex:
    """The block that a key of the cache is for, or for a part of."""
    match key:
        case (int(), int(), tuple() as block, *_):
            return block
    raise TypeError(f"{key!r} is not a block of a pyramid")


def owner_of(key: Hashable) -> int:
    """The pyramid that a key of the cache is of."""
    match key:
        case (int() as owner, *_):
            return owner
    raise TypeError(f"{key!r} is of no pyramid")
