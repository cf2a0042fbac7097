"""An array whose axes are stored in another order than they are wanted in: each block is turned as it is read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.geometry import BlockIndex, Grid

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from typing import TypeVar

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.readers import BlockReader

    T = TypeVar("T")


class TurnedReader:
    """An array with its axes in another order; see `BlockReader`.

    Parameters
    ----------
    reader
        Of the array as it is stored.
    order
        Which of the stored axes are the first, second... here, as of `numpy.transpose`.
    """

    def __init__(self, reader: BlockReader, order: Sequence[int]) -> None:
        self._reader, self._order = reader, tuple(order)
        self._back = tuple(self._order.index(axis) for axis in range(len(self._order)))
        metadata, grid = reader.metadata, reader.grid
        self.metadata = dataclasses.replace(
            metadata,
            shape=_ordered(metadata.shape, self._order),
            chunk_shape=_ordered(metadata.chunk_shape, self._order),
            inner_chunk_shape=_ordered(metadata.inner_chunk_shape, self._order),
            dimension_names=_ordered(metadata.dimension_names, self._order) if metadata.dimension_names else (),
        )
        run_shape = None if grid.run_shape is None else _ordered(grid.run_shape, self._order)
        self.grid = Grid(_ordered(grid.borders, self._order), _ordered(grid.chunk_shape, self._order), run_shape)
        self.compression = reader.compression

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks and turn each."""
        loaded = self._reader.load([self._stored(block) for block in blocks], stop)
        self.compression = self._reader.compression
        return {block: self._turned(loaded[self._stored(block)]) for block in blocks}

    def prepare(self, chunk: tuple[int, ...], stop: threading.Event) -> None:
        """Learn what must be known of a chunk."""
        self._reader.prepare(self._stored(chunk), stop)

    def forget(self) -> None:
        """Let other versions of files count."""
        self._reader.forget()

    def distrust(self, block: BlockIndex) -> None:
        """Read a file anew."""
        self._reader.distrust(self._stored(block))

    def _stored(self, block: BlockIndex) -> BlockIndex:
        return _ordered(block, self._back)

    def _turned(self, values: Block) -> Block:
        turned = values.transpose(self._order)
        return np.ascontiguousarray(turned) if any(turned.strides) else turned  # one value may stand for all


def _ordered(values: tuple[T, ...], order: Sequence[int]) -> tuple[T, ...]:
    return tuple(values[axis] for axis in order)
