"""Which planes of a pyramid are in memory."""

from __future__ import annotations

from napari_cryoet.streaming.pyramid import Pyramid


def planes_in_memory(pyramid: Pyramid) -> list[int]:
    """Which z-planes of the finest level are in memory as a whole."""
    grid, memory, (planes, *size) = pyramid.grid(0), pyramid._fetcher.memory, pyramid.shapes[0]
    plane = [(0, length) for length in size]
    blocks_of = {z: grid.covering(((z, z + 1), *plane)) for z in range(planes)}
    return [z for z, blocks in blocks_of.items() if all(pyramid.key(0, block) in memory for block in blocks)]
