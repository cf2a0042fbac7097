"""Captions: texts about a tomogram or an annotation, as the portal keeps them in JSON files of their own.

A file is ``{"captions": [{"id": 0, "text": "…"}]}``. A text is plain: whatever looks like markup in it is just letters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from napari_cryoet.exceptions import FormatError

#: Bounds on what is read, far above what a person would write.
MAX_FILE_BYTES: Final = 4 * 2**20
MAX_CAPTIONS: Final = 1_000
MAX_TEXT: Final = 20_000

#: What joins letters, and symbols to one, or keeps them from being joined.
_JOINERS: Final = frozenset("\u200c\u200d")
#: Hints at where lines break and which way words run, in the middle of words: soft hyphens, zero-width blanks, marks.
_HINTS: Final = dict.fromkeys(map(ord, "\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff"))


@dataclass(frozen=True, slots=True)
class Caption:
    """One text; ``id`` is the file's own number of it, or None where it has none."""

    id: int | None
    text: str


def parse_captions(content: bytes, where: str) -> tuple[Caption, ...]:
    """Read a caption file; empty texts are passed over, line breaks stay.

    Parameters
    ----------
    content
        The whole file.
    where
        What to call it in messages.

    Raises
    ------
    FormatError
        If it is no such file, or larger than any text that a person would write.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a file of captions.")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no file of captions: it isn't JSON.") from error
    entries = document.get("captions") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FormatError(f"{where} is no file of captions: it has no list of them.")
    if len(entries) > MAX_CAPTIONS:
        raise FormatError(f"{where} has {len(entries):,} captions; more than {MAX_CAPTIONS:,} are not read.")
    captions = [_caption(entry, number, where) for number, entry in enumerate(entries, 1)]
    return tuple(caption for caption in captions if caption.text)


def _caption(entry: Any, number: int, where: str) -> Caption:
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise FormatError(f"{where}: caption {number} has no text.")
    if len(text) > MAX_TEXT:
        raise FormatError(f"{where}: caption {number} is longer than {MAX_TEXT:,} letters.")
    own_id = entry.get("id")
    is_number = isinstance(own_id, int) and not isinstance(own_id, bool)
    return Caption(own_id if is_number else None, _readable(text))


def _readable(text: str) -> str:
    """A text without control characters and without what would turn or hide parts of it; lines and words stay."""
    lines = (
        "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in line)
        for line in text.translate(_HINTS).splitlines()
    )
    return "\n".join(line.rstrip() for line in lines).strip()
