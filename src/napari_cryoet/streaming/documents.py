"""Read small files that are understood as a whole: once more where one seems to be damaged, past all that is kept.

A chunk that was damaged on its way shows that when it is decoded. A document shows it when it is parsed: without
another look, what is kept of it on disk would be damaged for as long as the server has nothing newer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from napari_cryoet.exceptions import FormatError, StreamError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from napari_cryoet.streaming.sources import ByteSource, Piece

T = TypeVar("T")

#: What metadata are called, in zarr v2 and v3.
DOCUMENT_NAMES: Final = frozenset({".zattrs", ".zarray", ".zgroup", ".zmetadata", "zarr.json"})


def read_parsed(
    source: ByteSource,
    key: str,
    parse: Callable[[bytes], T],
    *,
    length: int | None = None,
    stop: threading.Event | None = None,
) -> T | None:
    """Read a document and make something of it; None where there is no such file.

    Raises
    ------
    FormatError
        By ``parse``.
    StreamError
        If it can't be read.
    """
    piece = source.read(key, length=length, stop=stop)
    if piece is None:
        return None
    return parse_or_read_again(source, key, piece, lambda piece: parse(piece.content), length=length, stop=stop)


def parse_or_read_again(
    source: ByteSource,
    key: str,
    piece: Piece,
    parse: Callable[[Piece], T],
    *,
    length: int | None = None,
    stop: threading.Event | None = None,
) -> T:
    """Make something of a document that was read; see `read_parsed`."""
    try:
        return parse(piece)
    except FormatError:
        source.forget(key)
        again = _read_if_possible(source, key, length, stop)
        if again is None or again.content == piece.content:
            raise
        return parse(again)


def _read_if_possible(source: ByteSource, key: str, length: int | None, stop: threading.Event | None) -> Piece | None:
    try:
        return source.read(key, length=length, stop=stop)
    except StreamError:
        return None
