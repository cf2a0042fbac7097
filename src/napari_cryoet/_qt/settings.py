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
    """Limits on network use; 0 MB means no limit."""

    mb_a_session: int = 0
    coarse_only: bool = False


class Recent(NamedTuple):
    """A recently opened source or run."""

    source: str  # as `open_portal` takes it
    run_id: int  # 0 for the source itself
    label: str


class NamedSearch(NamedTuple):
    """A named search; ``search`` is from `Search.to_dict`."""

    name: str
    search: dict[str, Any]


def _kept(key: str, kind: Any, default: Any, doc: str) -> property:
    """A property that stores a setting as JSON; an unreadable value yields the default."""

    def get(settings: Settings) -> Any:
        try:
            return msgspec.json.decode(
                settings.file.value(key), type=kind, dec_hook=lambda kind, value: kind(value)
            )
        except (msgspec.MsgspecError, TypeError):
            return default

    def put(settings: Settings, value: Any) -> None:
        settings.file.setValue(key, msgspec.json.encode(value, enc_hook=str).decode())
        settings.file.sync()

    return property(get, put, doc=doc)


class Settings:
    """The plugin's settings file; if it can't be written, settings are lost without an error.

    Parameters
    ----------
    path
        The file; by default in the user's configuration folder.
    """

    source = _kept(
        "source",
        str,
        None,
        "The last source, as `open_portal` takes it; None before the first choice.",
    )
    download_folder = _kept(
        "download_folder", Path, Path.home() / "cryoet-data", "The folder to download to."
    )
    show_together = _kept(
        "show_together", bool, False, "Whether several runs may be shown at once."
    )
    is_offline = _kept("is_offline", bool, False, "Whether the user chose to work offline.")
    data_saver = _kept(
        "data_saver", DataSaver, DataSaver(), "The network limits that the user chose."
    )
    searches = _kept("searches", tuple[NamedSearch, ...], (), "Saved searches, in order.")
    recent = _kept(
        "recent",
        tuple[Recent, ...],
        (),
        "Recently opened entries, newest first; they may no longer exist.",
    )

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("napari-cryoet") / "browser.ini"
        self.file = QSettings(str(path), QSettings.Format.IniFormat)

    def remember(self, recent: Recent) -> None:
        """Put an entry at the top of the recently opened ones."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self.recent = kept[:_MOST_RECENT]


def recall(settings: Settings) -> None:
    """Apply the saved network limits; current limits are tightened, never relaxed."""
    kept, ours = settings.data_saver, policy()
    ours.offline = ours.offline or settings.is_offline
    if not ours.saves_data:
        save_data(mb_a_session=kept.mb_a_session, coarse_only=kept.coarse_only)


@cache
def recall_once() -> None:
    """Apply the saved limits once, before the first request of a session without the dock."""
    recall(Settings())
