"""Keep of blocks only what a plane cuts out of them, where all of what they hold would take too much memory.

A plane across the blocks needs a few rows of each: they take hundreds of times as much as the plane that is made of
them. So do planes of which one chunk holds many. What was cut out is kept under the block's key with the plane added to
it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from napari_cryoet.streaming.block_keys import block_of
from napari_cryoet.streaming.geometry import Box, box_slices
from napari_cryoet.streaming.wishes import Run

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Hashable, Iterable

    from napari_cryoet.streaming.block_keys import BlockKey
    from napari_cryoet.streaming.geometry import BlockIndex
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.wishes import Block

#: A plane of a level: the axes along which it has but one voxel, and where. Of an array of many axes these are several.
Plane = tuple[tuple[int, int], ...]
#: What a plane cuts out of a block.
ThinKey = tuple[int, int, "BlockIndex", Plane]


def plane_of(box: Box) -> Plane | None:
    """The plane that a box lies in, or None."""
    return tuple((axis, start) for axis, (start, stop) in enumerate(box) if stop - start == 1) or None


def cut_box(box: Box, plane: Plane) -> Box:
    """What a plane cuts out of a box that it passes through."""
    places = dict(plane)
    return tuple((places[axis], places[axis] + 1) if axis in places else span for axis, span in enumerate(box))


def thin_key(key: BlockKey, plane: Plane) -> ThinKey:
    """What a part of a block is called in the cache."""
    return (*key, plane)


def is_part(key: Hashable) -> TypeGuard[ThinKey]:
    """Whether a key is of what a plane cuts out of a block."""
    match key:
        case (int(), int(), tuple(), tuple()):
            return True
    return False


def whole_keys(keys: Iterable[Hashable], plane: Plane | None) -> list[Hashable]:
    """The keys of the blocks that the parts of a plane among some keys belong to."""
    return [key[:3] for key in keys if is_part(key) and key[3] == plane]


def thin_runs(pyramid: Pyramid, level: int, blocks: Iterable[BlockIndex], box: Box, *, longest_bytes: int) -> list[Run]:
    """Blocks that a box of one plane passes through as the runs that fetch what it cuts out of them."""
    grid, plane = pyramid.grid(level), plane_of(box)
    if plane is None:
        raise ValueError(f"{box} is no plane")
    runs = pyramid.runs(level, blocks, longest_bytes=longest_bytes)
    return [_thin(run, lambda key: grid.box(block_of(key)), plane) for run in runs]


def _thin(run: Run, box_of: Callable[[Hashable], Box], plane: Plane) -> Run:
    def load(keys: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
        loaded = run.load(tuple(map(_whole_of, keys)), stop)
        parts: dict[Hashable, Block] = {}
        for key in keys:
            values, box = loaded[_whole_of(key)], box_of(key)
            parts[key] = np.ascontiguousarray(values[box_slices(cut_box(box, plane), box)]).copy()
        return parts

    def along(key: Hashable) -> list[Hashable]:
        return [] if run.along is None else [_thin_of(whole, plane) for whole in run.along(_whole_of(key))]

    thin = replace(run, keys=tuple(_thin_of(key, plane) for key in run.keys), load=load)
    return thin if run.along is None else replace(thin, along=along)


def _thin_of(key: Hashable, plane: Plane) -> Hashable:
    match key:
        case (int() as owner, int() as level, tuple() as block):
            return thin_key((owner, level, block), plane)
    raise TypeError(f"{key!r} is not a block of a pyramid")


def _whole_of(key: Hashable) -> Hashable:
    if not is_part(key):
        raise TypeError(f"{key!r} is not a part of a block")
    return key[:3]
