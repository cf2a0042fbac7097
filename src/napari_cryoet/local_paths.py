"""Paths of files that are read or written on this computer: what can't be one is refused, in words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.expecting import local_path
from napari_cryoet.logins import without_login

#: Also of an address that was made a `Path`, which takes two strokes for one; a single letter is a drive.
_ADDRESS: Final = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|(?:https?|s3|gs|ftp|file):[/\\])", re.IGNORECASE)
_ONE_STROKE: Final = re.compile(r"(?<=[a-z0-9]):[/\\](?![/\\])", re.IGNORECASE)
_CHECK: Final = "Check the path."


def path_to_read(value: Any, name: str) -> Path:
    """The path of a file that is to be read.

    Raises
    ------
    FormatError
        If it is an address, or nothing that a file can be called.
    TypeError
        If it is no text and no path.
    """
    path = local_path(value, name)
    if is_address(value):
        is_here = os.fsdecode(value).strip().lower().startswith("file:")
        raise FormatError(
            f"{_shown(value)} is an address, and this is read from this computer only.",
            hint="Give its path." if is_here else "Download it first.",
        )
    if not _is_possible(path):
        raise FormatError(f"{str(path)!r} can't be a path.", hint=_CHECK)
    return path


def path_to_write(value: Any, name: str) -> Path:
    """The path of a file that is to be written; errors are those of `path_to_read`, but SaveError for FormatError."""
    path = local_path(value, name)
    if is_address(value):
        raise SaveError(f"{_shown(value)} is an address; files are written on this computer.", hint="Give a path.")
    if not _is_possible(path):
        raise SaveError(f"{str(path)!r} can't be a path.", hint=_CHECK)
    return path


def is_address(value: Any) -> bool:
    """Whether a text or path is an address, of whatever kind."""
    return _ADDRESS.match(os.fsdecode(value)) is not None


def _shown(value: Any) -> str:
    """An address without who asks, and without what signs it."""
    text = _ONE_STROKE.sub("://", os.fsdecode(value).strip(), count=1).replace("\\", "/")  # as Windows has paths
    return without_login(text).partition("?")[0]


def _is_possible(path: Path) -> bool:
    """Whether the system takes it for a name: none has a NUL in it, or half a character."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
