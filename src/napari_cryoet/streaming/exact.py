"""The array that stands behind a dask level: exact values on demand, padded so that levels fit over each other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.streaming.geometry import box_shape, box_slices

if TYPE_CHECKING:
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.pyramid import Pyramid


class ExactLevel:
    """One level of a pyramid as dask reads it.

    Parameters
    ----------
    pyramid, level
        What is read.
    blocks_of_a_task
        How many blocks dask reads in one go.

    Attributes
    ----------
    shape
        Padded.
    chunks
        What is read in one go, as dask spells it: sizes along each axis. The last ones include the padding.
    """

    def __init__(self, pyramid: Pyramid, level: int, blocks_of_a_task: int) -> None:
        self._pyramid, self._level, self._blocks_of_a_task = pyramid, level, blocks_of_a_task
        self.shape = pyramid.padded_shapes[level]
        self.dtype = pyramid.dtype
        self.ndim = len(self.shape)
        self._read_ahead = pyramid.read_ahead(level)
        together = pyramid.grid(level).taken_together(blocks_of_a_task)
        borders = [(*axis[:-1], size) for axis, size in zip(together, self.shape, strict=True)]
        self.chunks = tuple(tuple(np.diff(axis).tolist()) for axis in borders)

    def __reduce__(self) -> tuple[Any, ...]:
        return ExactLevel, (self._pyramid, self._level, self._blocks_of_a_task)

    def __getitem__(self, key: Any) -> Block:
        """Read a part, given by integers and slices."""
        keys = key if isinstance(key, tuple) else (key,)
        keys = keys + (slice(None),) * (self.ndim - len(keys))
        ranges = [
            range(*k.indices(size)) if isinstance(k, slice) else range(int(k), int(k) + 1)
            for k, size in zip(keys, self.shape, strict=True)
        ]
        spans = tuple((min(r[0], r[-1]), max(r[0], r[-1]) + 1) if len(r) else (0, 0) for r in ranges)
        values = self._read_padded(spans)
        picks = (
            slice(None, None, k.step)
            if isinstance(k, slice) and (k.step or 1) != 1
            else slice(None)
            if isinstance(k, slice)
            else 0
            for k in keys
        )
        return values[tuple(picks)]

    def _read_padded(self, box: Box) -> Block:
        """Read a box, with the fill value beyond what is stored."""
        stored = self._pyramid.shapes[self._level]
        inside = tuple((min(start, size), min(stop, size)) for (start, stop), size in zip(box, stored, strict=True))
        blocks = list(itertools.islice(self._pyramid.grid(self._level).covering(inside), 2))
        if self._read_ahead is not None and len(blocks) == 1:
            self._read_ahead.note(blocks[0])
        if inside == box:
            return self._pyramid.read(self._level, box)
        values = np.empty(box_shape(box), self.dtype)
        if all(start < stop for start, stop in inside):
            self._pyramid.read(self._level, inside, out=values[box_slices(inside, box)])
        for axis, (start, stop) in enumerate(inside):
            values[(slice(None),) * axis + (slice(stop - start, None),)] = self._pyramid.fill_value
        return values
