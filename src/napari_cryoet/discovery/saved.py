"""Searches that the user keeps, by name, for all sources."""

from __future__ import annotations

from pathlib import Path

import msgspec

from napari_cryoet.discovery.search import Search, search_from
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import data_path, replace_file


def saved_searches() -> dict[str, Search]:
    """The searches that were kept, by name; FormatError if their file is damaged."""
    try:
        kept = msgspec.json.decode(_path().read_bytes(), type=dict[str, dict[str, object]])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise FormatError(f"{_path()} can't be read: {error}.", hint="Move it away to start anew.") from error
    return {name: search_from(data) for name, data in sorted(kept.items(), key=lambda item: item[0].casefold())}


def save_search(name: str, search: Search) -> None:
    """Keep a search under a name, in place of what was kept under it; SaveError if the disk refuses."""
    if not name.strip():
        raise SaveError("A search needs a name.")
    _write(saved_searches() | {name.strip(): search})


def forget_search(name: str) -> None:
    """Keep a search no longer, if there is one of that name."""
    _write({other: search for other, search in saved_searches().items() if other != name})


def _write(searches: dict[str, Search]) -> None:
    content = msgspec.json.encode({name: search.to_dict() for name, search in searches.items()})
    try:
        replace_file(_path(), msgspec.json.format(content, indent=1))
    except OSError as error:
        raise SaveError(f"{_path()} can't be written: {error.strerror}.") from error


def _path() -> Path:
    return data_path() / "searches.json"
