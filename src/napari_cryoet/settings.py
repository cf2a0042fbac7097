"""The user's settings: one JSON file of named values, for windows, commands and scripts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from napari_cryoet.exceptions import SaveError
from napari_cryoet.files import config_path, locked, replace_file

T = TypeVar("T")

_MOST_RECENT: Final = 8
_LOCK_TIMEOUT_S: Final = 1.0  # windows wait for it
_Values = dict[str, msgspec.Raw]


class DataSaver(NamedTuple):
    """Limits on network use; 0 MB means no limit."""

    mb_a_session: int = 0
    coarse_only: bool = False


class Recent(NamedTuple):
    """A recently opened source or run."""

    source: str  # as `open_portal` takes it
    run_id: int  # 0 for the source itself
    label: str


class LeftPage(NamedTuple):
    """The page and the search with which a source was left, as plain data."""

    crumbs: tuple[dict[str, Any], ...]  # of `pages.breadcrumbs`
    search: dict[str, Any]  # from `Search.to_dict`


class NamedSearch(NamedTuple):
    """A named search; ``search`` is from `Search.to_dict`."""

    name: str
    search: dict[str, Any]


class _Setting(Generic[T]):
    """A setting, read from the file at each use; a missing or damaged value is the default.

    A value that can't be written is lost without an error; `Settings.save` raises one.
    """

    def __init__(self, kind: Any, default: T) -> None:
        self._kind, self._default = kind, default

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, settings: Settings, _owner: type | None = None) -> T:
        content = settings.values().get(self._name, msgspec.Raw(b"null"))
        try:
            value: T = msgspec.json.decode(
                content, type=self._kind, dec_hook=lambda kind, value: kind(value)
            )
        except (msgspec.MsgspecError, TypeError):
            return self._default
        return value

    def __set__(self, settings: Settings, value: T) -> None:
        with suppress(SaveError):
            settings.save(self._name, value)


class Settings:
    """The settings file; by default in the user's configuration folder.

    Attributes
    ----------
    source
        The last source, as `open_portal` takes it; None before the first choice.
    download_folder
        The folder to download to.
    show_together
        Whether several runs may be shown at once.
    is_offline
        Whether the user chose to work offline.
    data_saver
        The network limits that the user chose.
    searches
        Saved searches, in order.
    recent
        Recently opened entries, newest first; they may no longer exist.
    pages
        Where recent sources were left, by source, newest first.
    disk_cache_limit_bytes
        The size limit of the cache of pixels; None for the default, 0 for no cache.
    diameters_angstrom
        The user's diameters of particles, by the name of the object.
    """

    source = _Setting[str | None](str, None)
    download_folder = _Setting(Path, Path.home() / "cryoet-data")
    show_together = _Setting(bool, default=False)
    is_offline = _Setting(bool, default=False)
    data_saver = _Setting(DataSaver, DataSaver())
    searches = _Setting[tuple[NamedSearch, ...]](tuple[NamedSearch, ...], ())
    recent = _Setting[tuple[Recent, ...]](tuple[Recent, ...], ())
    pages = _Setting[dict[str, LeftPage]](dict[str, LeftPage], {})
    disk_cache_limit_bytes = _Setting[int | None](Annotated[int, msgspec.Meta(ge=0)], None)
    diameters_angstrom = _Setting[dict[str, Any]](dict[str, Any], {})

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or config_path() / "settings.json"

    def values(self) -> _Values:
        """All values as JSON, by name; none if the file is missing or damaged."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Values)
        except (OSError, ValueError):
            return {}

    def save(self, name: str, value: Any) -> None:
        """Save a setting and keep the others, which another process may have changed.

        SaveError if that fails.
        """
        content = msgspec.Raw(msgspec.json.encode(value, enc_hook=str))
        with locked(self._path, _LOCK_TIMEOUT_S):
            values = self.values() | {name: content}
            replace_file(self._path, msgspec.json.format(msgspec.json.encode(values)))

    def remember(self, recent: Recent) -> None:
        """Put an entry at the top of the recently opened ones."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self.recent = tuple(kept[:_MOST_RECENT])

    def leave(self, source: str, page: LeftPage) -> None:
        """Save where a source was left."""
        others = [item for item in self.pages.items() if item[0] != source]
        self.pages = dict([(source, page), *others][:_MOST_RECENT])
