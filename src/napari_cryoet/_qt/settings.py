"""What is remembered between sessions: sources, where downloads go, and how the network may be used."""

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


def _flag(key: str, doc: str) -> property:
    """A setting that is on or off."""
    return property(lambda settings: settings._flag(key), lambda settings, is_on: settings._set(key, is_on), doc=doc)


class Settings:
    """A small settings file of our own; where it can't be written, nothing is remembered and nothing fails.

    Parameters
    ----------
    path
        Where the file is; by default with the user's other settings.
    """

    show_together = _flag("show_together", "Whether several runs may be shown at once.")
    is_offline = _flag("is_offline", "Whether the user chose to work offline.")

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("napari-cryoet") / "browser.ini"
        self._file = QSettings(str(path), QSettings.Format.IniFormat)

    @property
    def source(self) -> str | None:
        """The source chosen last, as `open_portal` takes it; None before the first choice."""
        return self._text("source") or None

    @source.setter
    def source(self, source: str) -> None:
        self._set("source", source)

    @property
    def download_folder(self) -> Path:
        """Where to download to."""
        return Path(self._text("download_folder") or Path.home() / "cryoet-data")

    @download_folder.setter
    def download_folder(self, folder: Path) -> None:
        self._set("download_folder", str(folder))

    @property
    def data_saver(self) -> DataSaver:
        """The limits that the user chose; none where they can't be understood."""
        megabytes = self._text("data_saver/mb_a_session")
        is_number = megabytes.isascii() and megabytes.isdigit()
        return DataSaver(int(megabytes) if is_number else 0, self._flag("data_saver/coarse_only"))

    @data_saver.setter
    def data_saver(self, saver: DataSaver) -> None:
        self._set("data_saver/mb_a_session", str(saver.mb_a_session))
        self._set("data_saver/coarse_only", saver.coarse_only)

    @property
    def recent(self) -> tuple[Recent, ...]:
        """Packs, addresses and runs, the one opened last first; whether they are still there isn't looked at."""
        try:
            return tuple(msgspec.json.decode(self._text("recent") or "[]", type=list[Recent]))
        except msgspec.MsgspecError:
            return ()

    def remember(self, recent: Recent) -> None:
        """Put something on top of what was opened last."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self._set("recent", msgspec.json.encode(kept[:_MOST_RECENT]).decode())

    def _text(self, key: str) -> str:
        value = self._file.value(key)
        return value if isinstance(value, str) else ""

    def _flag(self, key: str) -> bool:
        return self._file.value(key) in {True, "true"}  # ini files hold text

    def _set(self, key: str, value: Any) -> None:
        self._file.setValue(key, value)
        self._file.sync()


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
