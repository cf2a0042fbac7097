"""Tells when a window has come to rest: no task of the dock runs, every layer shows what it has to show."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryoet._qt.tasks import Tasks

QUIET_MS = 400  # for so long nothing may happen; one thing leads to the next within much less


class Settling(QObject):
    """Watches a viewer and a dock's tasks.

    Parameters
    ----------
    viewer
        Whose layers have to be loaded.
    tasks
        Which have to be over.
    is_complete
        Says whether everything is there that is waited for.
    """

    settled = Signal()  # once, when all is at rest

    def __init__(
        self, viewer: ViewerModel, tasks: Tasks, is_complete: Callable[[], bool], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._is_complete = is_complete
        self._running: set[Hashable] = set()
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._on_quiet)
        tasks.started.connect(self._on_started)
        tasks.finished.connect(self._on_finished)
        viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in viewer.layers:
            self._watch(layer)
        self._quiet.start()

    def waits_for(self) -> str:
        """What isn't at rest yet, in words."""
        loading = [layer.name for layer in self._viewer.layers if not is_exact(layer)]
        tasks = sorted({str(key[0] if isinstance(key, tuple) else key) for key in self._running})
        return ", ".join([*loading, *tasks])

    def _on_started(self, key: Hashable, _title: str) -> None:
        self._running.add(key)
        self._quiet.start()

    def _on_finished(self, key: Hashable) -> None:
        self._running.discard(key)
        self._quiet.start()

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._quiet.start()

    def _watch(self, layer: Any) -> None:
        layer.events.loaded.connect(self._on_event)
        layer.events.set_data.connect(self._on_event)

    def _on_event(self, _event: Any = None) -> None:
        self._quiet.start()

    def _on_quiet(self) -> None:
        if self._is_complete() and not self._running and all(is_exact(layer) for layer in self._viewer.layers):
            self.settled.emit()
        else:
            self._quiet.start()


def is_exact(layer: Any) -> bool:
    """Whether a layer shows its data as it is, and not a stand-in until it has arrived."""
    return bool(layer.loaded)
