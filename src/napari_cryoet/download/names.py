"""File names that every system can hold: remote names become safe ones, and no two become the same.

A name that is fine stays as it is. One that isn't is mended and gets eight digits of its own hash, so that two
different remote names never meet in one file, whatever else is downloaded before or after.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import unquote, urlsplit

#: Endings of the helper files of a transfer; no data file may have them.
PART_SUFFIX = ".part"
PART_STATE_SUFFIX = ".part.json"

MAX_NAME_BYTES = 160  # of 255 that file systems hold; leaves room for the endings above

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED_STEM = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\..*)?")
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp"})  # invisible or not characters at all


def clean_name(name: str) -> str:
    """Return one path segment that is a valid file name on Linux, macOS and Windows; a good name comes back as is."""
    mended = _mend(name)
    return mended if mended == name else with_hash(mended, of=name)


def with_hash(name: str, *, of: str) -> str:
    """Return the name with eight digits of the hash of another text before its ending, shortened to fit."""
    digits = hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 12:
        stem, dot, ending = name, "", ""
    tail = f"~{digits}{dot}{ending}"
    return _shorten(stem, MAX_NAME_BYTES - len(tail.encode())) + tail


class NameSpace:
    """Hands out clean paths; two that differ only by case, or not at all once cleaned, are told apart.

    Parameters
    ----------
    taken
        Names at the top of the folder that are not to be used.
    """

    def __init__(self, taken: tuple[str, ...] = ()) -> None:
        self._originals: dict[tuple[str, str], str] = {("", name.casefold()): "" for name in taken}

    def path(self, segments: tuple[str, ...]) -> str:
        """Return the clean relative path, with ``/`` between segments, for a remote path."""
        folder = ""
        for segment in segments:
            name = self._name(folder, segment)
            folder = f"{folder}/{name}" if folder else name
        return folder

    def _name(self, folder: str, segment: str) -> str:
        name = clean_name(segment)
        salt = segment
        while self._originals.setdefault((folder, name.casefold()), segment) != segment:
            name = with_hash(name, of=salt)
            salt += "/"  # no segment holds one, so a third clash gets other digits
        return name


def key_segments(s3_path: str) -> tuple[str, ...]:
    """Return the key of an ``s3://bucket/key`` path, split at ``/``; empty if it is none."""
    if not s3_path.startswith("s3://"):
        return ()
    key = s3_path.removeprefix("s3://").partition("/")[2]
    return tuple(segment for segment in key.split("/") if segment)


def url_segments(url: str) -> tuple[str, ...]:
    """Return the path of a URL, split at ``/`` and unquoted."""
    return tuple(unquote(segment) for segment in urlsplit(url).path.split("/") if segment)


def _mend(name: str) -> str:
    """Return the nearest valid name."""
    kept = "".join("_" if unicodedata.category(letter) in _UNSAFE_CATEGORIES else letter for letter in name)
    mended = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", kept))
    mended = _shorten(mended.lstrip(" "), MAX_NAME_BYTES).rstrip(" .") or "_"
    if _RESERVED_STEM.fullmatch(mended):
        mended = f"_{mended}"
    if mended.casefold().endswith((PART_SUFFIX, PART_STATE_SUFFIX)):
        mended = f"{mended}_"
    return mended


def _shorten(name: str, max_bytes: int) -> str:
    """Return as much of a name as fits, in whole characters."""
    return name.encode()[:max_bytes].decode(errors="ignore")
