"""Content as a source returns it, with the version of its file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Piece:
    """A file or a part of it.

    ``etag`` identifies the version of the file; None if its server gives none. ``modified`` is only
    compared.
    """

    content: bytes
    etag: str | None
    total_bytes: int | None
    modified: str | None = field(default=None, compare=False)
