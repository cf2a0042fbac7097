"""The ``.provenance.json`` beside a file whose format has no place for where its content comes from.

It holds the file's checksum, and counts only as long as the file is the one that it was written for. In a copick
project its name starts with a dot: copick takes every other JSON file beside picks for picks. One under the other name,
as of a file that was moved, counts too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import flush_to_disk, ready_place, written_whole
from napari_cryoet.formats.copick import run_of_project

SUFFIX: Final = ".provenance.json"
_MAX_BYTES: Final = 16 * 2**20


def path_beside(path: Path) -> Path:
    """Where the provenance of a file stands; of a symbolic link, beside the file that it points to."""
    place = Path(os.path.realpath(path))
    hidden, visible = _places(place)
    return hidden if run_of_project(place) else visible


def _places(place: Path) -> tuple[Path, Path]:
    return place.with_name(f".{place.name}{SUFFIX}"), place.with_name(f"{place.name}{SUFFIX}")


@contextmanager
def written_with_provenance(path: Path, notes: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Path]:
    """As `written_whole`, with the provenance beside it: both are whole before either gets its name.

    Parameters
    ----------
    notes
        Plain data, as they are at the end of the block.
    path, overwrite
        As in `written_whole`, which also says what is raised.
    """
    ready_place(path, overwrite=overwrite)  # whatever is wrong there is of the file that was asked for
    beside = path_beside(path)
    _refuse_unusable(beside, path, overwrite=overwrite)
    with (
        written_whole(beside, overwrite=overwrite) as unfinished_notes,
        written_whole(path, overwrite=overwrite) as unfinished,
    ):
        yield unfinished
        document = dict(notes) | {"file": Path(os.path.realpath(path)).name, "sha256": _sha256(unfinished)}
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        # a name that isn't UTF-8 has characters that JSON can only spell as \udcff
        unfinished_notes.write_bytes(text.encode(errors="backslashreplace"))
        flush_to_disk(unfinished_notes)  # before the file has its name
    if overwrite:
        _remove(*(place for place in _places(Path(os.path.realpath(path))) if place != beside))


def _refuse_unusable(beside: Path, path: Path, *, overwrite: bool) -> None:
    """Find out before anything has its name that the last step can't be taken, or would cost somebody else's file."""
    try:
        if stat.S_ISDIR(beside.lstat().st_mode):
            raise SaveError(f"{beside.name} is a folder.", hint="Choose another name.")
        if overwrite and not _is_ours(beside):  # consent is for the file itself
            raise SaveError(f"{beside.name} is somebody's own file.", hint="Choose another name, or move it.")
    except FileNotFoundError:
        pass
    except OSError as error:  # too long a name
        why = error.strerror or error
        raise SaveError(f"{path.name} can't be written, as its {SUFFIX} can't be: {why}.") from error


def remove_beside(path: Path) -> None:
    """Remove the provenance of a file that was replaced by one that has its own inside."""
    _remove(*_places(Path(os.path.realpath(path))))


def _remove(*places: Path) -> None:
    for place in places:
        if _is_ours(place):
            with contextlib.suppress(OSError):  # what it says is of no file that is there: it can stay
                place.unlink()


def read_beside(path: Path) -> dict[str, Any]:
    """The provenance of a file, if it is of this very file; else empty."""
    for place in _places(Path(os.path.realpath(path))):
        notes = _read(place)
        if notes and notes.get("sha256") == _sha256(path):
            return notes
    return {}


def _read(place: Path) -> dict[str, Any]:
    try:
        notes = {} if place.stat().st_size > _MAX_BYTES else json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _is_ours(place: Path) -> bool:
    """Whether a file is one that this module wrote."""
    return os.path.isfile(place) and "sha256" in _read(place)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
