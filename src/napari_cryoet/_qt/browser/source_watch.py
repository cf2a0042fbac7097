"""What the lists say while a source is opened, prepared, or can't be had."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject

from napari_cryoet._qt.browser.screens import Screens
from napari_cryoet._qt.browser.session import Session
from napari_cryoet._qt.widgets.message_panel import Action
from napari_cryoet.exceptions import CryoETError, PackError


class SourceWatch(QObject):
    """Follows a session and tells in the lists' place how its source is doing."""

    def __init__(self, screens: Screens, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._is_preparing = False
        session.opening.connect(self._on_opening)
        session.preparing.connect(self._on_preparing)
        session.failed.connect(self._on_failed)
        session.given_up.connect(self._on_given_up)
        session.catalogue_changed.connect(lambda _catalogue: screens.switch.setEnabled(True))

    def _on_opening(self, source: str) -> None:
        screens = self._screens
        self._is_preparing = False
        screens.datasets.clear()
        screens.depositions.clear()
        screens.switch.set_found(None)
        screens.switch.setEnabled(False)  # there is nothing of either kind yet
        screens.source_bar.set_source(_name_of(source), source)  # until it tells its own name
        screens.source_bar.set_state("opening…" if source == "demo" else "connecting…")
        screens.datasets.show_loading("Loading datasets…")

    def _on_preparing(self, share: float, words: str) -> None:
        title = f"Preparing the demo… {share:.0%}"
        if self._is_preparing:
            self._screens.datasets.place.message.retitle(title, words)
            return
        self._is_preparing = True
        self._screens.datasets.place.show_message(title, words, [Action("Stop", self._session.stop_opening)])

    def _on_given_up(self) -> None:
        self._screens.source_bar.set_source("", "")
        self._screens.show_start()

    def _on_failed(self, error: CryoETError) -> None:
        if self._session.catalogue is not None:
            self._screens.notice.show_error(error, self._session.refresh)
        else:
            state = "not opened" if isinstance(error, PackError) else "not reached"  # a folder is never far
            self._screens.source_bar.set_state(state, is_offline=True, reason=str(error))
            self._screens.datasets.show_error(error, self._session.retry)


def _name_of(source: str) -> str:
    """What to call a source that hasn't answered yet."""
    _, is_address, rest = source.partition("://")
    if is_address:
        return rest.partition("/")[0] or source
    return {"live": "CryoET Data Portal", "demo": "Demo"}.get(source) or Path(source).name or source
