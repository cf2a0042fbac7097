"""Which planes of a pyramid are in memory."""

from __future__ import annotations

from napari_cryoet.streaming import Pyramid


def planes_in_memory(pyramid: Pyramid) -> list[int]:
    """Which z-planes of the finest level are in memory as a whole."""
    planes, *size = pyramid.shapes[0]
    plane = [(0, length) for length in size]
    return [z for z in range(planes) if pyramid.has(0, ((z, z + 1), *plane))]
