"""Unpack whole chunks, never to more bytes than a chunk may have."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming import blosc

if TYPE_CHECKING:
    from napari_cryoet.streaming.layout import ArrayLayout


def unpack(content: blosc.Bytes, layout: ArrayLayout) -> blosc.Bytes:
    """The values of a whole chunk as bytes, never more than a chunk may have.

    Raises
    ------
    FormatError
        If the content is damaged, or comes to another size.
    """
    if layout.codecs is None:
        return _unpack_by_zarr(content, layout)
    for codec in reversed(layout.codecs):
        match codec:
            case "crc32c":
                content = without_checksum(content)
            case "blosc":
                content = _unpack_blosc(content, layout.chunk_bytes)
            case "zstd":
                content = _unpack_zstd(content, layout.chunk_bytes)
            case "gzip" | "zlib":
                content = _unpack_deflate(content, layout.chunk_bytes, 31 if codec == "gzip" else 15)
    if len(content) != layout.chunk_bytes:
        raise FormatError(f"It has {len(content)} bytes instead of {layout.chunk_bytes}.")
    return bytes(content) if isinstance(content, memoryview) else content  # a part must not keep the whole in memory


def without_checksum(content: blosc.Bytes) -> blosc.Bytes:
    """Take a CRC-32C off, and check it; FormatError if it doesn't match."""
    import google_crc32c

    body, checksum = content[:-4], bytes(content[-4:])
    if len(content) < 4 or google_crc32c.value(bytes(body)) != int.from_bytes(checksum, "little"):
        raise FormatError("It does not match its checksum.")
    return body


def _unpack_blosc(content: blosc.Bytes, nbytes: int) -> bytes:
    header = blosc.parse_header(content)
    if header.nbytes != nbytes or header.cbytes != len(content):
        raise FormatError(f"Its Blosc frame says {header.nbytes} bytes in {header.cbytes}; {len(content)} came.")
    return blosc.decode_frame(content) if nbytes else b""


def _unpack_zstd(content: blosc.Bytes, nbytes: int) -> bytearray:
    from numcodecs.zstd import decompress

    unpacked = bytearray(nbytes)
    try:
        decompress(content, unpacked)
    except (RuntimeError, ValueError) as error:
        raise FormatError("It does not decompress (zstd).") from error
    if _zstd_size(content) != nbytes:  # fewer bytes may have come, which is told only where even they don't fit
        try:
            decompress(content, bytearray(nbytes - 1))
        except (RuntimeError, ValueError):
            return unpacked
        raise FormatError("It is too short (zstd).")
    return unpacked


def _zstd_size(content: blosc.Bytes) -> int | None:
    """How many bytes the first Zstandard frame says that it holds, if it does (RFC 8878, 3.1.1)."""
    head = bytes(content[:18])
    if len(head) < 18 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    is_single_segment, kind = bool(head[4] & 0x20), head[4] >> 6
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[head[4] & 3]
    size_bytes = (int(is_single_segment), 2, 4, 8)[kind]
    return int.from_bytes(head[start : start + size_bytes], "little") + 256 * (kind == 1) if size_bytes else None


def _unpack_deflate(content: blosc.Bytes, nbytes: int, window: int) -> bytes:
    """A gzip file may have several members; their contents belong together."""
    members: list[bytes] = []
    size = 0
    while content:
        decoder = zlib.decompressobj(window)
        try:
            members.append(decoder.decompress(content, nbytes - size + 1))
        except zlib.error as error:
            raise FormatError("It does not decompress (zlib or gzip).") from error
        size += len(members[-1])
        if size > nbytes or not decoder.eof:
            raise FormatError(f"It is cut short, or has more than {nbytes} bytes of content.")
        content = decoder.unused_data
    return b"".join(members)


def _unpack_by_zarr(content: blosc.Bytes, layout: ArrayLayout) -> bytes:
    """Decode a chunk as the only one of an array."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore, StorePath

    key = layout.file_name((0,) * len(layout.shape))
    store = MemoryStore({key: default_buffer_prototype().buffer.from_bytes(bytes(content))})
    try:
        values = np.asarray(zarr.Array.from_dict(StorePath(store), layout.chunk_document)[...])
    except Exception as error:  # codecs raise whatever they like
        raise FormatError(f"It is damaged, or in a form that zarr can't decode ({error}).") from error
    return np.ascontiguousarray(values, dtype=layout.stored_dtype).tobytes()
