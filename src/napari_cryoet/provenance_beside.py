"""The ``.provenance.json`` beside a file whose format has no place for where its content comes from.

It holds the file's checksum, and counts only as long as the file is the one that it was written for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import FormatError
from napari_cryoet.whole_files import written_whole

SUFFIX: Final = ".provenance.json"
_MAX_BYTES: Final = 16 * 2**20


def path_beside(path: Path) -> Path:
    """Where the provenance of a file stands."""
    return path.with_name(path.name + SUFFIX)


def write_beside(path: Path, notes: Mapping[str, Any], *, overwrite: bool) -> Path:
    """Write the provenance of a file that is there already, and give its path; raises as `written_whole` does."""
    beside = path_beside(path)
    document = dict(notes) | {"file": path.name, "sha256": _sha256(path)}
    with written_whole(beside, overwrite=overwrite) as unfinished:
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        unfinished.write_text(text, encoding="utf-8", newline="\n")
    return beside


def read_beside(path: Path) -> dict[str, Any]:
    """The provenance of a file, if it is of this very file; else empty."""
    beside = path_beside(path)
    try:
        if beside.stat().st_size > _MAX_BYTES:
            return {}
        notes = json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) and notes.get("sha256") == _sha256(path) else {}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
