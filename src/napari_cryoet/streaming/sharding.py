"""Where the chunks inside a shard are: the index of zarr v3's ``sharding_indexed``, as pure functions over bytes.

A shard is one file of many inner chunks. Its index holds, for each inner chunk in C order, two 64-bit numbers: where
it starts in the file and how many bytes it has, both all ones where there is none. The index stands at the start or
the end of the file and is usually followed by its CRC-32C.

Described at https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cryoet.exceptions import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MISSING = 2**64 - 1
_CHECKSUM_BYTES = 4
_ENTRY_BYTES = 16
_MAX_FILE_BYTES = 2**62
_LARGEST_INDEX_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """How an array's shards are laid out.

    Attributes
    ----------
    chunks_per_shard
        How many inner chunks a shard has along each axis.
    index_location
        Where in the file the index stands.
    byte_order
        Of the numbers in the index.
    has_checksum
        Whether the index is followed by its CRC-32C.
    """

    chunks_per_shard: tuple[int, ...]
    index_location: Literal["start", "end"] = "end"
    byte_order: Literal["<", ">"] = "<"
    has_checksum: bool = True

    @property
    def index_nbytes(self) -> int:
        """Size of the index with its checksum."""
        return _ENTRY_BYTES * math.prod(self.chunks_per_shard) + _CHECKSUM_BYTES * self.has_checksum

    @property
    def is_small_enough(self) -> bool:
        """Whether an index is of a size that can be kept in memory for many shards."""
        return self.index_nbytes <= _LARGEST_INDEX_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """Where the inner chunks of one shard start and stop, -1 where there is none; shape ``(*chunks_per_shard, 2)``."""

    spans: NDArray[np.int64]

    def find(self, chunk: Sequence[int]) -> tuple[int, int] | None:
        """Start and stop in the file of an inner chunk, counted within its shard; None where there is none."""
        start, stop = self.spans[tuple(chunk)].tolist()
        return (start, stop) if start >= 0 else None


def parse_index(content: bytes, layout: ShardLayout, *, file_bytes: int | None = None) -> ShardIndex:
    """Read an index.

    Parameters
    ----------
    content
        The index with its checksum, and nothing else.
    layout
        How it is laid out.
    file_bytes
        Size of the shard where that is known.

    Raises
    ------
    FormatError
        If it is cut short, damaged, or points outside the file.
    """
    if len(content) != layout.index_nbytes:
        raise FormatError(f"The index of a shard has {len(content)} bytes instead of {layout.index_nbytes}.")
    if layout.has_checksum:
        content, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        if crc32c(content) != int.from_bytes(checksum, "little"):
            raise FormatError("The index of a shard does not match its checksum.")
    entries: NDArray[Any] = np.frombuffer(content, f"{layout.byte_order}u8").reshape(-1, 2)
    starts, sizes = entries[:, 0].astype(np.uint64), entries[:, 1].astype(np.uint64)
    is_missing = starts == _MISSING
    limit = np.uint64(_MAX_FILE_BYTES if file_bytes is None else file_bytes)
    is_outside = ~is_missing & ((starts > limit) | (sizes > limit) | (starts + sizes > limit))
    if ((sizes == _MISSING) != is_missing).any() or is_outside.any():
        raise FormatError("The index of a shard points outside its file.")
    starts[is_missing], sizes[is_missing] = 0, 0
    spans = np.stack([starts, starts + sizes], axis=-1).astype(np.int64)
    spans[is_missing] = -1
    return ShardIndex(spans.reshape(*layout.chunks_per_shard, 2))


def crc32c(content: bytes | memoryview) -> int:
    """The CRC-32C (Castagnoli) of some bytes."""
    import google_crc32c

    return int(google_crc32c.value(bytes(content)))
