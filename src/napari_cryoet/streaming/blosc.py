"""Blosc 1 frames: parse header and table, decode some of the blocks.

A frame is a 16-byte header, a table of little-endian int32 start offsets, one for each block, and
the blocks, which are compressed independently and stored in any order. Each holds ``blocksize``
bytes of content, the last one perhaps fewer. Incompressible content follows the header
uncompressed, without a table. The format is described in c-blosc's ``README_CHUNK_FORMAT.rst``. All
sizes are checked before they are used.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError

Bytes = bytes | bytearray | memoryview

HEADER_BYTES = 16

_HEADER = struct.Struct("<BBBBIII")
_FORMAT_VERSION = 2  # of all Blosc 1.x; Blosc 2 writes other numbers
_MEMCPYED, _DONT_SPLIT = 0x02, 0x10
_MAX_BYTES = 2**31 - 1
_SMALLEST_BLOCK_BYTES = (
    32  # no writer uses smaller blocks: their table would outgrow the content ...
)
_SMALL_BYTES = 256  # ... unless the content is smaller than the largest value


@dataclass(frozen=True, slots=True)
class Header:
    """The first 16 bytes of a frame: ``nbytes`` of content in blocks of ``blocksize``, ``cbytes`` in all."""

    version: int
    codec_version: int
    flags: int
    typesize: int
    nbytes: int
    blocksize: int
    cbytes: int

    @property
    def is_memcpyed(self) -> bool:
        """Whether the content is stored uncompressed, right after the header."""
        return bool(self.flags & _MEMCPYED)

    @property
    def n_blocks(self) -> int:
        """How many blocks the content is cut into."""
        return -(-self.nbytes // self.blocksize) if self.nbytes else 0

    @property
    def table_end(self) -> int:
        """Position of the first byte after the header and the table."""
        return HEADER_BYTES if self.is_memcpyed else HEADER_BYTES + 4 * self.n_blocks

    def span_size(self, first: int, stop: int) -> int:
        """Decompressed size of the blocks ``first`` to ``stop`` (exclusive)."""
        return min(stop * self.blocksize, self.nbytes) - first * self.blocksize

    def blocks_of(self, start: int, stop: int) -> range:
        """The blocks that hold the bytes ``start`` to ``stop`` of the content."""
        return range(start // self.blocksize, -(-stop // self.blocksize))


@dataclass(frozen=True, slots=True, eq=False)
class BloscFrame:
    """A frame's header and the start and end of each block, in bytes from the frame's start."""

    header: Header
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def parse_header(prefix: Bytes) -> Header:
    """Parse and check the first 16 bytes of a frame; FormatError if they aren't a valid header."""
    if len(prefix) < HEADER_BYTES:
        raise FormatError(f"The Blosc header is cut short: {len(prefix)} of {HEADER_BYTES} bytes.")
    header = Header(*_HEADER.unpack_from(prefix))
    if header.version != _FORMAT_VERSION:
        raise FormatError(f"This is not a Blosc frame (its first byte is {header.version}).")
    if (
        max(header.nbytes, header.cbytes) > _MAX_BYTES
        or header.cbytes < HEADER_BYTES
        or header.typesize == 0
    ):
        raise FormatError("The Blosc header names impossible sizes.")
    smallest = _SMALLEST_BLOCK_BYTES if header.nbytes >= _SMALL_BYTES else 1
    if header.nbytes and not smallest <= header.blocksize <= header.nbytes:
        raise FormatError(f"The Blosc header names a block size of {header.blocksize}.")
    if header.is_memcpyed and header.cbytes != HEADER_BYTES + header.nbytes:
        raise FormatError(
            "The Blosc header contradicts itself about the size of uncompressed content."
        )
    if header.cbytes < header.table_end:
        raise FormatError("The Blosc frame is too small for its own table of blocks.")
    return header


def parse_frame(prefix: Bytes) -> BloscFrame:
    """Parse header and table from at least ``table_end`` bytes.

    FormatError if they are cut short or invalid.
    """
    header = parse_header(prefix)
    if header.is_memcpyed:
        starts = HEADER_BYTES + header.blocksize * np.arange(header.n_blocks, dtype=np.int64)
        return BloscFrame(header, starts, np.minimum(starts + header.blocksize, header.cbytes))
    if len(prefix) < header.table_end:
        raise FormatError(
            f"The Blosc table is cut short: {len(prefix)} of {header.table_end} bytes."
        )
    starts = np.frombuffer(prefix, "<i4", header.n_blocks, HEADER_BYTES).astype(np.int64)
    if ((starts < header.table_end) | (starts >= header.cbytes)).any():
        raise FormatError("The Blosc table points outside its frame.")
    order = np.argsort(starts)
    ends = np.empty_like(starts)
    ends[order] = np.append(starts[order][1:], header.cbytes)
    if (ends == starts).any():
        raise FormatError("Two blocks of the Blosc frame start at the same byte.")
    return BloscFrame(header, starts, ends)


def cut_frame(frame: BloscFrame, blocks: range, bodies: Mapping[int, Bytes]) -> bytes:
    """Make a smaller valid frame of consecutive blocks.

    ``bodies`` holds the compressed bytes of at least these.
    """
    header = frame.header
    nbytes = header.span_size(blocks.start, blocks.stop)
    flags, blocksize = header.flags, header.blocksize
    if nbytes < blocksize:
        # A shorter last block is never split into byte planes. Alone in a frame it would count as a
        # full block, so
        # the flag rules splitting out.
        blocksize, flags = nbytes, flags | _DONT_SPLIT
    parts = [bodies[block] for block in blocks]
    position = HEADER_BYTES if header.is_memcpyed else HEADER_BYTES + 4 * len(parts)
    offsets: list[int] = []
    for part in parts:
        offsets.append(position)
        position += len(part)
    table = b"" if header.is_memcpyed else struct.pack(f"<{len(offsets)}i", *offsets)
    start = _HEADER.pack(
        header.version, header.codec_version, flags, header.typesize, nbytes, blocksize, position
    )
    return b"".join((start, table, *parts))


def decode_blocks(frame: BloscFrame, blocks: range, bodies: Mapping[int, Bytes]) -> bytes:
    """The content of consecutive blocks.

    FormatError if they don't decompress to the size in the header.
    """
    if frame.header.is_memcpyed:
        content = b"".join(bodies[block] for block in blocks)
    else:
        content = decode_frame(cut_frame(frame, blocks, bodies))
    expected = frame.header.span_size(blocks.start, blocks.stop)
    if len(content) != expected:
        raise FormatError(
            f"A part of a Blosc frame has {len(content)} bytes of content instead of {expected}."
        )
    return content


def decode_frame(encoded: Bytes) -> bytes:
    """The content of a frame with a checked header; FormatError if it doesn't decompress."""
    from numcodecs.blosc import decompress

    try:
        return bytes(decompress(encoded))
    except (RuntimeError, ValueError) as error:
        raise FormatError("The Blosc frame does not decompress.") from error
