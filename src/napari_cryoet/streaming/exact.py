"""The array that stands behind a dask level: exact values on demand, padded so that levels fit over each other.

dask computes in many tasks, which read at different times and know nothing of each other. Where a file of the image was
met changed since another task read, that is an error: what dask makes of them together would be of both versions. In
other processes it is so since the image was opened in the process that they compute for: see `watch.State`.
"""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.exceptions import CHANGED_HINT, ChangedError, NotHereError
from napari_cryoet.files import file_at
from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.geometry import box_shape, box_slices
from napari_cryoet.streaming.own_levels import named_level
from napari_cryoet.streaming.paint import Paint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.paint import Mask
    from napari_cryoet.streaming.pyramid import Pyramid


_reader = threading.local()


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let what this thread reads of a server be a NotHereError where it isn't in memory; not if it is very large."""
    _reader.is_hasty = True
    try:
        yield
    finally:
        _reader.is_hasty = False


class ExactLevel:
    """One level of a pyramid as dask reads it.

    Parameters
    ----------
    pyramid, level
        What is read.
    blocks_of_a_task
        How many blocks dask reads in one go.
    paint
        What was painted over it.
    is_padded
        Whether it is as large as the ratios of the levels' shapes want it, or as it is stored.

    Attributes
    ----------
    shape
        With padding, if it is padded.
    chunks
        What is read in one go, as dask spells it: sizes along each axis. The last ones include the padding.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        level: int,
        blocks_of_a_task: int,
        paint: Paint | None = None,
        *,
        is_padded: bool = True,
    ) -> None:
        self._pyramid, self._level, self._blocks_of_a_task = pyramid, level, blocks_of_a_task
        self.paint, self._is_padded = paint, is_padded
        self.shape = (pyramid.padded_shapes if is_padded else pyramid.shapes)[level]
        self.dtype = pyramid.dtype
        self.ndim = len(self.shape)
        self._read_ahead = pyramid.read_ahead(level)
        self._lock = FreshLock()
        # how often a file had been met changed when tasks read
        self._times: int | None = None if pyramid.original is None else 0
        together = pyramid.grid(level).taken_together(blocks_of_a_task)
        borders = [(*axis[:-1], size) for axis, size in zip(together, self.shape, strict=True)]
        self.chunks = tuple(tuple(np.diff(axis).tolist()) for axis in borders)

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(ExactLevel, is_padded=self._is_padded)
        return make, (self._pyramid, self._level, self._blocks_of_a_task, self.paint)

    def as_stored(self) -> ExactLevel:
        """The same level without padding, nor what was painted over it."""
        return ExactLevel(self._pyramid, self._level, self._blocks_of_a_task, is_padded=False)

    @property
    def stored_name(self) -> str:
        """What dask is to call it without its padding."""
        return named_level(self._pyramid, self._pyramid.owner, self._level, is_padded=False)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Without padding."""
        return self._pyramid.shapes[self._level]

    @property
    def image(self) -> Pyramid | None:
        """What it is the finest level of."""
        return None if self._level else self._pyramid

    def painted(self, box: Box, values: Block, where: Mask | None = None) -> ExactLevel:
        """The same, but for the values of a box; see `Paint.with_values`."""
        other = object.__new__(ExactLevel)  # made from scratch, it would know nothing of what was read already
        other.__dict__.update(self.__dict__, paint=(self.paint or Paint()).with_values(box, values, where))
        return other

    def __getitem__(self, key: Any) -> Block:
        """Read a part, given by integers and slices, for one of dask's tasks.

        Raises
        ------
        ChangedError
            Where a file of the image was met changed since another task read. That is told once.
        """
        before: int | None = None
        while (times := self._pyramid.times_changed()) != before:  # else it isn't of then, perhaps
            before, values = times, self.read(key)
        self._require_same(times)
        return values

    def read(self, key: Any) -> Block:
        """Read a part, given by integers and slices, by itself."""
        values = self._read_painted(self._spans(key))
        picks = (
            slice(None, None, k.step)
            if isinstance(k, slice) and (k.step or 1) != 1
            else slice(None)
            if isinstance(k, slice)
            else 0
            for k in self._keys(key)
        )
        return values[tuple(picks)]

    def _require_same(self, times: int) -> None:
        """Raise ChangedError where tasks have read before a file was met changed, and begin anew."""
        original = self._pyramid.original
        with self._lock:
            before, self._times = self._times, times if original is None else 0
        if before in {None, times}:
            return
        if original is not None:
            raise original.changed(file_at(self._pyramid.url))
        raise ChangedError(f"{file_at(self._pyramid.url)} changed while it was read.", hint=CHANGED_HINT)

    def _keys(self, key: Any) -> tuple[Any, ...]:
        keys = key if isinstance(key, tuple) else (key,)
        return keys + (slice(None),) * (self.ndim - len(keys))

    def _spans(self, key: Any) -> Box:
        """The smallest box around a part."""
        ranges = [
            range(*k.indices(size)) if isinstance(k, slice) else range(int(k), int(k) + 1)
            for k, size in zip(self._keys(key), self.shape, strict=True)
        ]
        return tuple((min(r[0], r[-1]), max(r[0], r[-1]) + 1) if len(r) else (0, 0) for r in ranges)

    def _inside(self, box: Box) -> Box:
        """What of a box is stored."""
        stored = zip(box, self.stored_shape, strict=True)
        return tuple((min(start, size), min(stop, size)) for (start, stop), size in stored)

    def _read_painted(self, box: Box) -> Block:
        """Read a box, with what was painted over it; where that is all of it, nothing is read."""
        values = None if self.paint is None else self.paint.all_of(box, self.dtype)
        if values is not None:
            return values
        values = self._read_padded(box)
        if self.paint is not None:
            self.paint.put_over(box, values)
        return values

    def _require_here(self, box: Box) -> None:
        """Raise NotHereError where a thread that doesn't wait would have to."""
        pyramid, level = self._pyramid, self._level
        if not getattr(_reader, "is_hasty", False) or not pyramid.line or pyramid.has(level, box):
            return
        if pyramid.keeps(level, box):  # else it would never be here
            raise NotHereError(f"{file_at(pyramid.url)} hasn't come yet.", fetch=partial(pyramid.read, level, box))

    def _read_padded(self, box: Box) -> Block:
        """Read a box, with the fill value beyond what is stored."""
        inside = self._inside(box)
        self._require_here(inside)
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
