"""Small text files beside images: captions (JSON) and tilt angles (.rawtlt, .tlt)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Final

import msgspec

from napari_cryoet.exceptions import FormatError

MAX_FILE_BYTES: Final = 4 * 2**20
_MAX_CAPTIONS, _MAX_CHARACTERS = 1_000, 20_000
#: What joins letters and symbols, and stays.
_JOINERS: Final = frozenset("\u200c\u200d")
#: Marks that hide or turn parts of a text.
_MARKS: Final = dict.fromkeys(map(ord, "\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff"))


@dataclass(frozen=True, slots=True)
class Caption:
    """A text about a tomogram or an annotation; ``id`` is the file's own number of it, if it has one."""

    id: int | None
    text: str


class _Entry(msgspec.Struct):
    text: str
    id: int | str | None = None


class _Captions(msgspec.Struct):
    captions: list[_Entry]


def parse_captions(content: bytes, where: str) -> tuple[Caption, ...]:
    """The captions of a file, ``{"captions": [{"id": 0, "text": "…"}]}``; empty texts are left out.

    Raises
    ------
    FormatError
        If it is no such file, or larger than any that a person would write.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a file of captions.")
    try:
        entries = msgspec.convert(json.loads(content), _Captions).captions
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no file of captions ({error}).") from error
    if len(entries) > _MAX_CAPTIONS or any(len(entry.text) > _MAX_CHARACTERS for entry in entries):
        raise FormatError(f"{where} has more captions, or longer ones, than are read.")
    found = (Caption(entry.id if isinstance(entry.id, int) else None, _plain(entry.text)) for entry in entries)
    return tuple(caption for caption in found if caption.text)


def parse_tilt_angles(content: bytes, where: str) -> tuple[float, ...]:
    """The tilts of a file, one in degrees a line, in the order of the images; empty lines are left out.

    Raises
    ------
    FormatError
        If a line isn't one angle.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a list of angles.")
    angles = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            angle = float(line)
        except ValueError:
            angle = math.nan
        if not math.fabs(angle) <= 180.0:  # NaN compares false
            raise FormatError(f"{where}: line {number} is no tilt in degrees: {line.strip()[:40]!r}.")
        angles.append(angle)
    return tuple(angles)


def _plain(text: str) -> str:
    """A text without control characters and marks; lines stay."""
    lines = (
        "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in line)
        for line in text.translate(_MARKS).splitlines()
    )
    return "\n".join(line.rstrip() for line in lines).strip()
