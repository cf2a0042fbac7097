"""File names that every system can hold, made of remote names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: Endings of the unfinished files of a transfer; no data file gets them.
PART_SUFFIX = ".part"
STATE_SUFFIX = ".part.json"

MAX_NAME_BYTES = 160  # of 255 that file systems hold; leaves room for the endings above

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\..*)?")
_NO_CHARACTERS = frozenset({"Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp"})


def clean_name(name: str) -> str:
    """One part of a path as a valid file name on Linux, macOS and Windows.

    A name that is fine stays. Any other is mended and gets digits of its own hash, so that two different remote names
    never become one file.
    """
    kept = "".join("_" if unicodedata.category(letter) in _NO_CHARACTERS else letter for letter in name)
    mended = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", kept))
    mended = _shortened(mended.lstrip(" "), MAX_NAME_BYTES).rstrip(" .") or "_"
    if _RESERVED.fullmatch(mended):
        mended = f"_{mended}"
    if mended.casefold().endswith((PART_SUFFIX, STATE_SUFFIX)):
        mended = f"{mended}_"
    return mended if mended == name else with_hash(mended, of=name)


def with_hash(name: str, *, of: str) -> str:
    """The name with eight digits of the hash of another text before its ending."""
    digits = hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 12:
        stem, dot, ending = name, "", ""
    tail = f"~{digits}{dot}{ending}"
    return _shortened(stem, MAX_NAME_BYTES - len(tail.encode())) + tail


def _shortened(name: str, max_bytes: int) -> str:
    return name.encode()[:max_bytes].decode(errors="ignore")
