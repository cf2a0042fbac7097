"""Read parts of a Blosc-1 frame: parse its header and table, plan which bytes to ask for, decode some of its blocks.

A frame is a 16-byte header, a table of little-endian int32 start offsets, one per block, and the blocks, which are
compressed independently of each other and stand in any order (several threads write them). All blocks hold
``blocksize`` bytes of content except the last one, which may hold fewer. Where the data did not compress, a flag says
that the content follows the header as it is, without a table. Everything here is a pure function over bytes.

Nothing takes more memory than a small multiple of what the caller expects: sizes are checked before they are used.
The format is described in c-blosc's ``README_CHUNK_FORMAT.rst``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.exceptions import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

Bytes = bytes | memoryview

HEADER_BYTES = 16

_HEADER = struct.Struct("<BBBBIII")
_FORMAT_VERSION = 2  # of all of Blosc 1.x; Blosc 2 writes other numbers
_MEMCPYED = 0x02
_DONT_SPLIT = 0x10
_SNAPPY = 2
_MAX_BYTES = 2**31 - 1
_SMALLEST_BLOCK_BYTES = 32  # no writer cuts more finely; a table of smaller ones would outgrow its content ...
_SMALL_BYTES = 256  # ... unless there is less content than one value may have


class CodecError(FormatError):
    """It was compressed in a way that can't be undone here, though nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first 16 bytes of a frame.

    Attributes
    ----------
    version, codec_version, flags, typesize
        As in the format.
    nbytes
        Size of the content.
    blocksize
        Size of a block's content; the last block may hold less.
    cbytes
        Size of the whole frame.
    """

    version: int
    codec_version: int
    flags: int
    typesize: int
    nbytes: int
    blocksize: int
    cbytes: int

    @property
    def is_memcpyed(self) -> bool:
        """Whether the content is stored as it is, right after the header."""
        return bool(self.flags & _MEMCPYED)

    @property
    def n_blocks(self) -> int:
        """How many blocks the content is cut into."""
        return -(-self.nbytes // self.blocksize) if self.nbytes else 0

    @property
    def table_end(self) -> int:
        """Position of the first byte that is neither header nor table."""
        return HEADER_BYTES if self.is_memcpyed else HEADER_BYTES + 4 * self.n_blocks

    def span_size(self, first: int, stop: int) -> int:
        """How many bytes the blocks ``first`` to ``stop`` (exclusive) hold once they are decompressed."""
        return min(stop * self.blocksize, self.nbytes) - first * self.blocksize

    def blocks_of(self, start: int, stop: int) -> tuple[int, int]:
        """The blocks, first and stop (exclusive), that hold the bytes ``start`` to ``stop`` of the content."""
        return start // self.blocksize, -(-stop // self.blocksize)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A frame's header and where each of its blocks starts and ends, in bytes from the frame's start."""

    header: Header
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ByteRange:
    """One piece to ask for: bytes ``start`` to ``stop`` of a frame, which hold ``blocks`` and perhaps gaps."""

    start: int
    stop: int
    blocks: tuple[int, ...]


def parse_header(prefix: Bytes) -> Header:
    """Read and check the first 16 bytes of a frame.

    Raises
    ------
    FormatError
        If they can't be the start of a Blosc-1 frame; a CodecError if it was compressed with Snappy.
    """
    if len(prefix) < HEADER_BYTES:
        raise FormatError(f"The Blosc header is cut short: {len(prefix)} of {HEADER_BYTES} bytes.")
    header = Header(*_HEADER.unpack_from(prefix))
    if header.version != _FORMAT_VERSION:
        raise FormatError(f"This is not a Blosc frame (its first byte is {header.version}).")
    if max(header.nbytes, header.cbytes) > _MAX_BYTES or header.cbytes < HEADER_BYTES or header.typesize == 0:
        raise FormatError("The Blosc header names impossible sizes.")
    if header.nbytes and not 0 < header.blocksize <= header.nbytes:
        raise FormatError(f"The Blosc header names a block size of {header.blocksize}.")
    if header.nbytes >= _SMALL_BYTES and header.blocksize < _SMALLEST_BLOCK_BYTES:
        raise FormatError(f"The Blosc header names blocks of only {header.blocksize} bytes.")
    if header.is_memcpyed and header.cbytes != HEADER_BYTES + header.nbytes:
        raise FormatError("The Blosc header contradicts itself about the size of uncompressed content.")
    if header.cbytes < header.table_end:
        raise FormatError("The Blosc frame is too small for its own table of blocks.")
    if header.flags >> 5 == _SNAPPY and not header.is_memcpyed:
        raise CodecError("It is compressed with Blosc and Snappy, which can't be undone here.")
    return header


def parse_frame(prefix: Bytes) -> Frame:
    """Read header and table.

    Parameters
    ----------
    prefix
        At least the first ``parse_header(prefix).table_end`` bytes of a frame.

    Raises
    ------
    FormatError
        If header or table are cut short or impossible.
    """
    header = parse_header(prefix)
    if header.is_memcpyed:
        starts = HEADER_BYTES + header.blocksize * np.arange(header.n_blocks, dtype=np.int64)
        return Frame(header, starts, np.minimum(starts + header.blocksize, header.cbytes))
    if len(prefix) < header.table_end:
        raise FormatError(f"The Blosc table is cut short: {len(prefix)} of {header.table_end} bytes.")
    starts = np.frombuffer(prefix, "<i4", header.n_blocks, HEADER_BYTES).astype(np.int64)
    if ((starts < header.table_end) | (starts >= header.cbytes)).any():
        raise FormatError("The Blosc table points outside its frame.")
    order = np.argsort(starts)
    ends = np.empty_like(starts)
    ends[order] = np.append(starts[order][1:], header.cbytes)
    if (ends == starts).any():
        raise FormatError("Two blocks of the Blosc frame start at the same byte.")
    return Frame(header, starts, ends)


def plan_ranges(frame: Frame, blocks: Iterable[int], *, max_gap: int = 0, max_bytes: int = 2**22) -> list[ByteRange]:
    """Say which bytes to ask for to get some blocks: neighbours in one piece, in order of position.

    Parameters
    ----------
    frame
        The frame.
    blocks
        Which blocks are wanted.
    max_gap
        Unwanted bytes between two wanted blocks that are rather fetched than asked around.
    max_bytes
        Pieces are not merged beyond this size; a single block may be larger.
    """
    wanted = np.fromiter(set(blocks), dtype=np.int64)
    wanted = wanted[np.argsort(frame.starts[wanted])]
    starts, ends = frame.starts[wanted].tolist(), frame.ends[wanted].tolist()
    ranges: list[ByteRange] = []
    first = 0
    for i in range(1, len(wanted) + 1):
        if i < len(wanted) and starts[i] - ends[i - 1] <= max_gap and ends[i] - starts[first] <= max_bytes:
            continue
        ranges.append(ByteRange(starts[first], ends[i - 1], tuple(wanted[first:i].tolist())))
        first = i
    return ranges


def cut_blocks(frame: Frame, piece: ByteRange, content: Bytes) -> dict[int, memoryview]:
    """Take the blocks out of a piece that was fetched; they share its memory.

    Raises
    ------
    FormatError
        If the piece is not as long as it was planned.
    """
    if len(content) != piece.stop - piece.start:
        raise FormatError(f"A piece of a Blosc frame has {len(content)} bytes instead of {piece.stop - piece.start}.")
    view = memoryview(content)
    return {
        block: view[int(frame.starts[block]) - piece.start : int(frame.ends[block]) - piece.start]
        for block in piece.blocks
    }


def cut_frame(frame: Frame, first: int, stop: int, blocks: Mapping[int, Bytes]) -> bytes:
    """Make a smaller valid frame of the consecutive blocks ``first`` to ``stop`` (exclusive).

    Any Blosc decoder opens it; its content is the content of these blocks, in order.

    Parameters
    ----------
    frame
        The frame that the blocks come from.
    first, stop
        Which blocks, a range that isn't empty.
    blocks
        The compressed bytes of (at least) these blocks.

    Raises
    ------
    ValueError
        If the frame has no such blocks.
    """
    header = frame.header
    if not 0 <= first < stop <= header.n_blocks:
        raise ValueError(f"no blocks {first} to {stop} in a frame of {header.n_blocks}")
    nbytes = header.span_size(first, stop)
    flags, blocksize = header.flags, header.blocksize
    if nbytes < blocksize:
        # A last block that is shorter than the others is never split by byte planes, but here it stands alone and
        # would count as a whole one. The flag says so explicitly.
        blocksize, flags = nbytes, flags | _DONT_SPLIT
    bodies = [blocks[block] for block in range(first, stop)]
    offsets: list[int] = []
    position = HEADER_BYTES if header.is_memcpyed else HEADER_BYTES + 4 * len(bodies)
    for body in bodies:
        offsets.append(position)
        position += len(body)
    table = b"" if header.is_memcpyed else struct.pack(f"<{len(offsets)}i", *offsets)
    start = _HEADER.pack(header.version, header.codec_version, flags, header.typesize, nbytes, blocksize, position)
    return b"".join((start, table, *bodies))


def decode_blocks(frame: Frame, first: int, stop: int, blocks: Mapping[int, Bytes]) -> bytes:
    """The content of the consecutive blocks ``first`` to ``stop`` (exclusive).

    Parameters
    ----------
    frame, first, stop, blocks
        As in `cut_frame`.

    Raises
    ------
    FormatError
        If they don't decompress, or to another size than the frame says.
    """
    if frame.header.is_memcpyed:
        content = b"".join(blocks[block] for block in range(first, stop))
    else:
        content = decode_frame(cut_frame(frame, first, stop, blocks))
    expected = frame.header.span_size(first, stop)
    if len(content) != expected:
        raise FormatError(f"A part of a Blosc frame has {len(content)} bytes of content instead of {expected}.")
    return content


def decode_frame(encoded: Bytes) -> bytes:
    """The content of a whole frame, whose header has been checked to be of a size that is wanted.

    Raises
    ------
    FormatError
        If it doesn't decompress.
    """
    from numcodecs.blosc import decompress

    try:
        return bytes(decompress(encoded))
    except (RuntimeError, ValueError) as error:
        raise FormatError("The Blosc frame does not decompress.") from error
