"""Unpack whole chunks that were compressed as one, never to more bytes than a chunk may have.

These are the compressors that zarr writers use beside Blosc. All else is left to zarr itself.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Literal

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming import blosc
from napari_cryoet.streaming.sharding import crc32c

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cryoet.streaming.blosc import Bytes

#: A step that turned bytes into bytes when a chunk was written.
Codec = Literal["blosc", "zstd", "gzip", "zlib", "crc32c"]

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_HEADER_BYTES = 18
_ZSTD_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18.{4}", re.DOTALL)
_ZSTD_ONE_BYTE = 1  # the kind of a block that is one byte many times
_GZIP_OR_ZLIB_WINDOW = {"gzip": 31, "zlib": 15}
_SLACK_BYTES = 2**16  # what a codec inside another one may add to content that doesn't compress


def unpack(content: Bytes, codecs: Sequence[Codec], nbytes: int) -> Bytes:
    """Undo what was done to a chunk's bytes.

    Parameters
    ----------
    content
        The chunk as it is stored.
    codecs
        What was done, in the order of writing.
    nbytes
        How many bytes must come out.

    Raises
    ------
    FormatError
        If the content is damaged, or comes to another number of bytes.
    """
    for i in reversed(range(len(codecs))):
        most = nbytes if i == 0 else nbytes + nbytes // 8 + _SLACK_BYTES
        content = _undo(codecs[i], content, most, is_exact=i == 0)
    if len(content) != nbytes:
        raise FormatError(f"It has {len(content)} bytes instead of {nbytes}.")
    return content


def _undo(codec: Codec, content: Bytes, most: int, *, is_exact: bool) -> Bytes:
    match codec:
        case "blosc":
            return _undo_blosc(content, most)
        case "zstd":
            return _undo_zstd(content, most, is_exact=is_exact)
        case "gzip" | "zlib":
            return _undo_deflate(content, most, _GZIP_OR_ZLIB_WINDOW[codec])
        case "crc32c":
            return _undo_checksum(content)


def _undo_blosc(content: Bytes, most: int) -> bytes:
    header = blosc.parse_header(content)
    if header.nbytes > most or header.cbytes != len(content):
        raise FormatError(
            f"Its Blosc frame says {header.nbytes} bytes in {header.cbytes}, of which {len(content)} came."
        )
    return blosc.decode_frame(content) if header.nbytes else b""


def _undo_zstd(content: Bytes, most: int, *, is_exact: bool) -> memoryview:
    """Frames of which one doesn't say its size can be decoded only where the size of all is known."""
    from numcodecs.zstd import decompress

    size = zstd_content_size(content)
    if (size is None and not is_exact) or (size or 0) > most:
        raise FormatError(f"Its Zstandard frames say {size} bytes instead of {most}.")
    unpacked = bytearray(most if size is None else size)
    try:
        if unpacked:
            decompress(content, unpacked)
    except (RuntimeError, ValueError) as error:
        raise FormatError("It does not decompress (zstd).") from error
    return memoryview(unpacked)


def zstd_content_size(content: Bytes) -> int | None:
    """How many bytes Zstandard frames say that they hold together, None where one doesn't say (RFC 8878, 3.1).

    Raises
    ------
    FormatError
        If there is anything else.
    """
    rest, total = memoryview(content), 0
    while True:
        size, length = _zstd_frame(rest)
        if size is None:
            return None
        total, rest = total + size, rest[length:]
        if not rest:
            return total


def _zstd_frame(content: memoryview) -> tuple[int | None, int]:
    """What the first frame says of the size of its content, and how long it is itself where it says something."""
    head = bytes(content[:_ZSTD_HEADER_BYTES])
    if _ZSTD_SKIPPED.match(head):
        return 0, 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != _ZSTD_MAGIC or len(head) < 6:
        raise FormatError("It is not a Zstandard frame.")
    descriptor = head[4]
    is_single_segment = bool(descriptor & 0x20)
    size_bytes = {0: int(is_single_segment), 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[descriptor & 3]
    if not size_bytes:
        return None, 0
    field = head[start : start + size_bytes]
    if len(field) < size_bytes:
        raise FormatError("Its Zstandard frame is cut short.")
    size = int.from_bytes(field, "little") + (256 if size_bytes == 2 else 0)
    return size, _zstd_length(content, start + size_bytes)


def _zstd_length(content: memoryview, header_bytes: int) -> int:
    """How long the first frame is: a chain of blocks, each behind three bytes, and perhaps a checksum."""
    position, is_last = header_bytes, False
    while not is_last:
        block = int.from_bytes(content[position : position + 3], "little")
        is_last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        position += 3 + (1 if kind == _ZSTD_ONE_BYTE else size)
        if position > len(content):
            raise FormatError("Its Zstandard frame is cut short.")
    return position + 4 * bool(content[4] & 4)


def _undo_deflate(content: Bytes, most: int, window: int) -> bytes:
    """A gzip file may have several members; their contents belong together."""
    members: list[bytes] = []
    size = 0
    while content:
        decoder = zlib.decompressobj(window)
        try:
            members.append(decoder.decompress(content, most - size + 1))
        except zlib.error as error:
            raise FormatError("It does not decompress (zlib or gzip).") from error
        size += len(members[-1])
        if size > most or not decoder.eof:
            raise FormatError(f"It is cut short, or has more than {most} bytes of content.")
        content = decoder.unused_data
    return b"".join(members) if len(members) != 1 else members[0]


def _undo_checksum(content: Bytes) -> Bytes:
    body, checksum = content[:-4], content[-4:]
    if len(content) < 4 or crc32c(body) != int.from_bytes(checksum, "little"):
        raise FormatError("It does not match its checksum.")
    return body
