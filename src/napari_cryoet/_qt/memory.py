"""What the dock remembers between sessions: sources, where downloads go, and how to open."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from platformdirs import user_config_path
from qtpy.QtCore import QSettings

from napari_cryoet.network.policy import policy, save_data

_MOST_RECENT = 8


class DataSaver(NamedTuple):
    """How much of the network may be used; 0 is any amount."""

    mb_a_session: int = 0
    coarse_only: bool = False


class Recent(NamedTuple):
    """Something that was opened: a source, or one of its runs."""

    source: str  # as `open_portal` takes it
    run_id: int  # 0 for the source itself
    label: str


class Memory:
    """A small settings file of our own; where it can't be written, nothing is remembered and nothing fails.

    Parameters
    ----------
    path
        Where the file is; by default with the user's other settings.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("napari-cryoet") / "browser.ini"
        self._settings = QSettings(str(path), QSettings.Format.IniFormat)

    @property
    def source(self) -> str | None:
        """The source chosen last, as `open_portal` takes it; None before the first choice."""
        source = self._settings.value("source")
        return source if isinstance(source, str) and source else None

    @source.setter
    def source(self, source: str) -> None:
        self._settings.setValue("source", source)
        self._settings.sync()

    @property
    def download_folder(self) -> Path:
        """Where to download to, unless the person says otherwise."""
        folder = self._settings.value("download_folder")
        return Path(folder) if isinstance(folder, str) and folder else Path.home() / "cryoet-data"

    @download_folder.setter
    def download_folder(self, folder: Path) -> None:
        self._settings.setValue("download_folder", str(folder))
        self._settings.sync()

    @property
    def show_together(self) -> bool:
        """Whether several runs may be shown at once."""
        return self._settings.value("show_together", "false") in {True, "true"}

    @show_together.setter
    def show_together(self, is_on: bool) -> None:
        self._settings.setValue("show_together", "true" if is_on else "false")
        self._settings.sync()

    @property
    def is_offline(self) -> bool:
        """Whether the person chose to work offline."""
        return self._settings.value("is_offline", "false") in {True, "true"}

    @is_offline.setter
    def is_offline(self, is_offline: bool) -> None:
        self._settings.setValue("is_offline", "true" if is_offline else "false")
        self._settings.sync()

    @property
    def data_saver(self) -> DataSaver:
        """The limits that the person chose; none where they can't be understood."""
        is_coarse = self._settings.value("data_saver/coarse_only", "false") in {True, "true"}
        return DataSaver(self._number("data_saver/mb_a_session"), is_coarse)

    @data_saver.setter
    def data_saver(self, saver: DataSaver) -> None:
        self._settings.setValue("data_saver/mb_a_session", saver.mb_a_session)
        self._settings.setValue("data_saver/coarse_only", "true" if saver.coarse_only else "false")
        self._settings.sync()

    @property
    def recent(self) -> tuple[Recent, ...]:
        """Packs, addresses and runs, the one opened last first; whether they are still there isn't looked at."""
        try:
            return tuple(msgspec.json.decode(str(self._settings.value("recent", "[]")), type=list[Recent]))
        except msgspec.MsgspecError:
            return ()

    def remember(self, recent: Recent) -> None:
        """Put something on top of what was opened last."""
        kept = [recent, *(other for other in self.recent if other[:2] != recent[:2])]
        self._settings.setValue("recent", msgspec.json.encode(kept[:_MOST_RECENT]).decode())
        self._settings.sync()

    def _number(self, key: str) -> int:
        text = str(self._settings.value(key, "0"))
        return int(text) if text.isascii() and text.isdigit() else 0


def recall(memory: Memory) -> None:
    """Bring back what the network was to be used for; it tightens what holds already, and never loosens it."""
    kept, ours = memory.data_saver, policy()
    ours.offline = ours.offline or memory.is_offline
    if not ours.saves_data:
        save_data(mb_a_session=kept.mb_a_session, coarse_only=kept.coarse_only)


@cache
def recall_once() -> None:
    """Do so before anything is sent in a session in which the dock wasn't opened yet, and may never be."""
    recall(Memory())
