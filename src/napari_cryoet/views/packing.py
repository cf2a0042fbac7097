"""Bytes as the text of a link: gzip and base64url, as the portal's viewer writes them."""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode, urlsafe_b64encode
from typing import Final

from napari_cryoet.exceptions import FormatError

#: Maximum length of a link's text before and after decompression.
MAX_PACKED: Final = 64_000
MAX_UNPACKED: Final = 4_000_000

_GZIP: Final = 16 + zlib.MAX_WBITS


def pack(data: bytes) -> str:
    """Compress bytes to text that needs no quoting in a link."""
    return urlsafe_b64encode(gzip.compress(data, mtime=0)).decode().rstrip("=")


def unpack(text: str) -> bytes:
    """The bytes of a packed text; FormatError if it is damaged or too large."""
    packed = "".join(text.split()).rstrip("=")
    if len(packed) > MAX_PACKED:
        raise FormatError(f"This link is longer than {MAX_PACKED // 1000} kB.")
    decompressor = zlib.decompressobj(_GZIP)
    try:
        compressed = b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        data = decompressor.decompress(compressed, MAX_UNPACKED)
    except (ValueError, zlib.error) as error:
        raise FormatError(f"This link is damaged ({error}).", hint="Copy it again.") from error
    if not decompressor.eof:
        raise FormatError("This link isn't whole, or is too large.", hint="Copy it again.")
    return data
