"""Full resolution around places: blocks of the finer levels of an OME-Zarr whose coarse levels are here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.ome_zarr import BLOCK, add_blocks, parse_multiscale
from napari_cryoet.streaming.grid import Box
from napari_cryoet.task import UNWATCHED, Task

BlockNumbers: TypeAlias = set[tuple[int, int, int]]


def blocks_in(
    boxes_zyx: Iterable[Box], shape_zyx: Sequence[int], factor: float = 1.0
) -> BlockNumbers:
    """The blocks of a level that overlap boxes.

    Parameters
    ----------
    boxes_zyx
        Start and end (exclusive) in voxels of the finest level; parts outside are ignored.
    shape_zyx
        The shape of the level in voxels.
    factor
        The size of its voxels in voxels of the finest level.
    """
    blocks: BlockNumbers = set()
    for box in boxes_zyx:
        along_z, along_y, along_x = (
            range(
                max(0, int(start // factor)) // BLOCK,
                -(-min(size, int(-(-end // factor))) // BLOCK),
            )
            for (start, end), size in zip(box, shape_zyx, strict=True)
        )
        blocks.update(itertools.product(along_z, along_y, along_x))
    return blocks


def download_blocks(
    url: str, target: Path, boxes_zyx: Sequence[Box], n_levels: int, *, task: Task = UNWATCHED
) -> None:
    """Add the blocks that overlap boxes to the first ``n_levels`` levels of a downloaded OME-Zarr.

    Voxels stay as they are; only the size of the chunks is another. FormatError if the image hasn't
    the axes z, y, x, StreamError if it can't be read.
    """
    from napari_cryoet.streaming import open_pyramid

    pyramid = open_pyramid(url, task=task)
    try:
        if len(pyramid.shapes[0]) != 3:
            raise FormatError(f"{pyramid.place} isn't a volume with the axes z, y, x.")
        names = [level.path for level in parse_multiscale(pyramid.metadata, url).levels]
        for level in range(min(n_levels, len(names) - 1)):
            part = task.part(level / n_levels, (level + 1) / n_levels)
            blocks = blocks_in(boxes_zyx, pyramid.shapes[level], pyramid.factors[level][0])
            add_blocks(target, names[level], pyramid.levels[level], blocks, task=part)
    finally:
        pyramid.close()
