"""Settings that persist between sessions: sources, the download folder and network limits."""

from __future__ import annotations

from collections.abc import Callable
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


def _kept(key: str, doc: str, read: Callable[[str], Any]) -> property:
    """A setting, kept as text: empty before it is set."""

    def get(settings: Settings) -> Any:
        value = settings.file.value(key)
        return read(value if isinstance(value, str) else "")

    def put(settings: Settings, value: Any) -> None:
        settings.file.setValue(key, str(value))
        settings.file.sync()

    return property(get, put, doc=doc)


def _is_on(text: str) -> bool:
    return text.lower() == "true"


class Settings:
    """A small settings file of our own; where it can't be written, nothing is remembered and nothing fails.

    Parameters
    ----------
    path
        Where the file is; by default with the user's other settings.
    """

    source = _kept("source", "What `open_portal` took last; None before the first choice.", lambda text: text or None)
    download_folder = _kept(
        "download_folder", "Where to download to.", lambda text: Path(text or Path.home() / "cryoet-data")
    )
    show_together = _kept("show_together", "Whether several runs may be shown at once.", _is_on)
    is_offline = _kept("is_offline", "Whether the user chose to work offline.", _is_on)
    _mb_a_session = _kept(
        "data_saver/mb_a_session", "", lambda text: int(text) if text.isascii() and text.isdigit() else 0
    )
    _coarse_only = _kept("data_saver/coarse_only", "", _is_on)
    _recent = _kept("recent", "", str)

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("napari-cryoet") / "browser.ini"
        self.file = QSettings(str(path), QSettings.Format.IniFormat)

    @property
    def data_saver(self) -> DataSaver:
        """The limits that the user chose; none where they can't be understood."""
        return DataSaver(self._mb_a_session, self._coarse_only)

    @data_saver.setter
    def data_saver(self, saver: DataSaver) -> None:
        self._mb_a_session, self._coarse_only = saver

    @property
    def recent(self) -> tuple[Recent, ...]:
        """Packs, addresses and runs, the one opened last first; whether they are still there isn't looked at."""
        try:
            return tuple(msgspec.json.decode(self._recent, type=list[Recent]))
        except msgspec.MsgspecError:
            return ()

    def remember(self, recent: Recent) -> None:
        """Put something on top of what was opened last."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self._recent = msgspec.json.encode(kept[:_MOST_RECENT]).decode()


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
