"""A pack's files over HTTP: which bytes of which file answer a request, with ranges and validators.

Paths come from outside: what isn't a plain file below the folder, symbolic links resolved, does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from os import stat_result
from pathlib import Path
from typing import Final

from napari_cryoet.packs.urls import is_safe

_CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".zattrs": "application/json",
    ".zarray": "application/json",
    ".zgroup": "application/json",
    ".zmetadata": "application/json",
    ".ndjson": "application/x-ndjson",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What to send: a status, headers, and ``length`` bytes of the file from ``start`` on."""

    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    length: int = 0


def file_below(root: Path, relative: str) -> Path | None:
    """The plain file at a path below a folder, or None where there is none that may be read.

    Parameters
    ----------
    root
        The folder, with its own symbolic links resolved.
    relative
        A path with slashes, already percent-decoded.
    """
    if not relative or relative.endswith("/") or not is_safe(relative):
        return None
    try:
        path = (root / relative).resolve(strict=True)
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # nothing there, a loop of links, a name that can't be
        return None


def etag_of(status: stat_result) -> str:
    """A strong validator of a file's content: its size and when it last changed."""
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def answer(path: Path, status: stat_result, request: Mapping[str, str]) -> FileAnswer:
    """What a request for a file gets.

    Parameters
    ----------
    path, status
        The file, and how it was when it was opened.
    request
        The request's headers, names in lower case: range, if-match, if-none-match, if-modified-since and if-range
        count. Several ranges at once are answered with the whole file.
    """
    size, etag = status.st_size, etag_of(status)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": _CONTENT_TYPES.get(path.suffix or path.name, "application/octet-stream"),
        "ETag": etag,
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
    }
    if (wanted := request.get("if-match")) and not _names(wanted, etag):
        return FileAnswer(HTTPStatus.PRECONDITION_FAILED, headers)
    if _is_unchanged(request, etag, status.st_mtime):
        return FileAnswer(HTTPStatus.NOT_MODIFIED, headers)
    found = _RANGE.fullmatch((request.get("range") or "").strip().replace(" ", ""))
    if_range = request.get("if-range")
    if found is None or found[1] == found[2] == "" or (if_range and if_range not in (etag, headers["Last-Modified"])):
        return FileAnswer(HTTPStatus.OK, headers, 0, size)
    start, stop = _bounds(found[1], found[2], size)
    if start >= stop:
        if found[1] and found[2] and int(found[2]) < int(found[1]):  # not a range at all
            return FileAnswer(HTTPStatus.OK, headers, 0, size)
        return FileAnswer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers | {"Content-Range": f"bytes */{size}"})
    content_range = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return FileAnswer(HTTPStatus.PARTIAL_CONTENT, headers | content_range, start, stop - start)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _is_unchanged(request: Mapping[str, str], etag: str, modified: float) -> bool:
    if known := request.get("if-none-match"):
        return _names(known, etag)
    since = request.get("if-modified-since")
    if not since:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags
