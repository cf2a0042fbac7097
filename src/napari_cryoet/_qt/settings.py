"""Settings that persist between sessions: sources, the download folder and network limits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from platformdirs import user_config_path
from qtpy.QtCore import QSettings

from napari_cryoet.network.policy import policy, save_data

_MOST_RECENT: Final = 8


class DataSaver(NamedTuple):
    """How much of the network may be used; 0 is any amount."""

    mb_a_session: int = 0
    coarse_only: bool = False


class Recent(NamedTuple):
    """Something that was opened: a source, or one of its runs."""

    source: str  # as `open_portal` takes it
    run_id: int  # 0 for the source itself
    label: str


class SavedSearch(NamedTuple):
    """A search with the name that it was given; see `Search.to_dict`."""

    name: str
    search: dict[str, Any]


def _kept(key: str, kind: Any, default: Any, doc: str) -> property:
    """A setting, kept as JSON; what can't be understood counts as not set."""

    def get(settings: Settings) -> Any:
        try:
            return msgspec.json.decode(settings.file.value(key), type=kind, dec_hook=lambda kind, value: kind(value))
        except (msgspec.MsgspecError, TypeError):
            return default

    def put(settings: Settings, value: Any) -> None:
        settings.file.setValue(key, msgspec.json.encode(value, enc_hook=str).decode())
        settings.file.sync()

    return property(get, put, doc=doc)


class Settings:
    """A small settings file of our own; where it can't be written, nothing is remembered and nothing fails.

    Parameters
    ----------
    path
        Where the file is; by default with the user's other settings.
    """

    source = _kept("source", str, None, "What `open_portal` took last; None before the first choice.")
    download_folder = _kept("download_folder", Path, Path.home() / "cryoet-data", "Where to download to.")
    show_together = _kept("show_together", bool, False, "Whether several runs may be shown at once.")
    is_offline = _kept("is_offline", bool, False, "Whether the user chose to work offline.")
    data_saver = _kept("data_saver", DataSaver, DataSaver(), "The limits that the user chose.")
    searches = _kept("searches", tuple[SavedSearch, ...], (), "Saved searches, in their order.")
    recent = _kept(
        "recent", tuple[Recent, ...], (), "What was opened, last first; whether it is still there isn't looked at."
    )

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("napari-cryoet") / "browser.ini"
        self.file = QSettings(str(path), QSettings.Format.IniFormat)

    def remember(self, recent: Recent) -> None:
        """Put something on top of what was opened last."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self.recent = kept[:_MOST_RECENT]


def recall(settings: Settings) -> None:
    """Restore how the network may be used; this tightens what holds already, and never loosens it."""
    kept, ours = settings.data_saver, policy()
    ours.offline = ours.offline or settings.is_offline
    if not ours.saves_data:
        save_data(mb_a_session=kept.mb_a_session, coarse_only=kept.coarse_only)


@cache
def recall_once() -> None:
    """Do so before anything is sent in a session in which the dock wasn't opened yet, and may never be."""
    recall(Settings())
