"""Small text files beside images: captions (JSON) and tilt angles (.rawtlt, .tlt)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from napari_cryoet.exceptions import FormatError
from napari_cryoet.wording import plain

MAX_FILE_BYTES: Final = 4 * 2**20


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
        entries = msgspec.json.decode(content, type=_Captions).captions
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no file of captions ({error}).") from error
    texts = ("\n".join(map(plain, entry.text.splitlines())).strip() for entry in entries)
    found = zip(entries, texts, strict=True)
    return tuple(Caption(entry.id if isinstance(entry.id, int) else None, text) for entry, text in found if text)


def parse_tilt_angles(content: bytes, where: str) -> tuple[float, ...]:
    """The tilts of a file, one in degrees a line, in the order of the images; empty lines are left out.

    Raises
    ------
    FormatError
        If a line isn't one angle.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a list of angles.")
    try:
        angles = tuple(float(line) for line in content.splitlines() if line.strip())
    except ValueError as error:
        raise FormatError(f"{where} is no list of tilts in degrees ({error}).") from error
    if not all(abs(angle) <= 180.0 for angle in angles):  # NaN compares false
        raise FormatError(f"{where} has tilts of more than 180 degrees.")
    return angles
