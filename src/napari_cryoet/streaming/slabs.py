"""Which bytes of a decompressed chunk hold which block, for chunks in C order.

A block must be contiguous in its chunk: some planes of it, or some rows of one plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.streaming.geometry import BlockIndex, Grid, box_shape, make_grid

if TYPE_CHECKING:
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

_WHOLE_CHUNK_BYTES = 4 * 2**20  # smaller chunks are read whole: asking for parts costs more than it saves
_MOST_COLORS = 4  # a shorter last axis is of colours
_SMALLEST_SLAB_BYTES = 2**17  # smaller blocks cost more in handling than in decoding


@dataclass(frozen=True, slots=True)
class Slabs:
    """The blocks of an array as runs of bytes.

    Attributes
    ----------
    metadata
        The array.
    grid
        Its blocks.
    axis
        The axis along which a block may have several voxels without having all; along axes before it a block has one.
    """

    metadata: ArrayMetadata
    grid: Grid
    axis: int

    @property
    def plane_bytes(self) -> int:
        """What one step along the axis takes in a chunk."""
        return _bytes_below(self.metadata, self.axis)

    @property
    def padding(self) -> float:
        """How many bytes of blocks stand in chunks for a byte that lies in the array."""
        inner = slice(self.axis + 1, None)
        sizes = zip(self.metadata.shape[inner], self.metadata.inner_chunk_shape[inner], strict=True)
        return math.prod(-(-length // size) * size / length for length, size in sizes)

    def byte_span(self, block: BlockIndex) -> tuple[int, int]:
        """Where a block starts and stops in its chunk."""
        box = self.grid.box(block)
        chunk = self.metadata.inner_chunk_shape
        start = sum(box[axis][0] % chunk[axis] * _bytes_below(self.metadata, axis) for axis in range(self.axis + 1))
        return start, start + (box[self.axis][1] - box[self.axis][0]) * self.plane_bytes

    def as_array(self, block: BlockIndex, content: bytes | memoryview, start: int) -> Block:
        """A block's values from bytes that hold it from ``start`` on, without what lies beyond the array's end."""
        box = box_shape(self.grid.box(block))
        stored = self.metadata.stored_dtype
        full = (*box[: self.axis + 1], *self.metadata.inner_chunk_shape[self.axis + 1 :])
        values = np.frombuffer(content, stored, math.prod(full), start).reshape(full)
        values = values[tuple(slice(size) for size in box)].astype(self.metadata.dtype, copy=False)
        values = np.ascontiguousarray(values)
        if values.base is not None and 2 * values.nbytes < len(content):
            return values.copy()  # a small part must not keep a large whole in memory
        return values

    def fill(self, block: BlockIndex) -> Block:
        """A block of a missing chunk: one value that stands for all."""
        value = np.asarray(self.metadata.fill_value, self.metadata.dtype)
        return np.broadcast_to(value, box_shape(self.grid.box(block)))


def cut_into_slabs(metadata: ArrayMetadata, block_bytes: int, *, may_split_planes: bool = False) -> Slabs:
    """Cut an array into blocks of whole planes that hold about ``block_bytes``, of one volume each where they can be.

    Parameters
    ----------
    metadata
        The array.
    block_bytes
        Where chunks are Blosc frames: how much a block of a frame holds.
    may_split_planes
        Whether planes that are larger than that are cut into blocks of rows.
    """
    chunk = metadata.inner_chunk_shape
    long_axes = [axis for axis, size in enumerate(chunk) if size > 1] or [0]
    axis = long_axes[0]
    if not is_worth_splitting(metadata):
        return Slabs(metadata, make_grid(metadata.shape, chunk, chunk, run_shape=metadata.chunk_shape), axis)
    block_bytes = max(block_bytes, _SMALLEST_SLAB_BYTES)
    wide = [axis for axis in long_axes if chunk[axis] > _MOST_COLORS]
    above = [axis for axis in long_axes if axis < wide[-2]] if len(wide) > 1 else []  # a plane has two wide axes
    axes = long_axes if may_split_planes else above or long_axes[:1]
    axis = next((a for a in axes if _bytes_below(metadata, a) <= block_bytes), axes[-1])
    planes = max(1, -(-block_bytes // _bytes_below(metadata, axis)))
    block = (*(1 for _ in chunk[:axis]), planes, *chunk[axis + 1 :])
    return Slabs(metadata, make_grid(metadata.shape, chunk, block), axis)


def shrink(values: Block) -> Block:
    """The same values, in next to no memory where they are all one to the last bit.

    numpy compares them, which lets other threads, such as a viewer's, run meanwhile.
    """
    unit = min(values.itemsize, 8)
    bits = values.reshape(-1).view(f"u{unit}").reshape(-1, values.itemsize // unit)
    if (bits != bits[0]).any():
        return values
    return np.broadcast_to(values.flat[0], values.shape)


def is_worth_splitting(metadata: ArrayMetadata) -> bool:
    """Whether parts of a chunk are asked for, rather than whole chunks."""
    return metadata.encoding in ("plain", "blosc") and metadata.chunk_nbytes > _WHOLE_CHUNK_BYTES


def _bytes_below(metadata: ArrayMetadata, axis: int) -> int:
    return math.prod(metadata.inner_chunk_shape[axis + 1 :]) * metadata.stored_dtype.itemsize
