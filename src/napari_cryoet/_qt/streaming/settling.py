"""Tells when a window has come to rest: no task of the dock runs, every layer shows exactly what it has to show."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from napari.components import ViewerModel
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.tasks import Tasks

QUIET_MS = 400  # for so long nothing may happen; one thing leads to the next within much less


class Settling(QObject):
    """Watches a viewer and the dock that fills it.

    Parameters
    ----------
    viewer
        Whose layers have to be loaded.
    link
        What it shows has to be there and exact.
    tasks
        Which have to be over.
    is_complete
        Says whether everything is there that was ordered.
    """

    settled = Signal()  # when all is at rest
    failed = Signal(object)  # CryoETError of a layer that can't be drawn in full

    def __init__(
        self,
        viewer: ViewerModel,
        link: LayerManager,
        tasks: Tasks,
        is_complete: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._link, self._is_complete = viewer, link, is_complete
        self._running: set[Hashable] = set()
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._on_quiet)
        tasks.started.connect(self._on_started)
        tasks.finished.connect(self._on_finished)
        link.changed.connect(self._quiet.start)
        self._quiet.start()

    def waits_for(self) -> str:
        """What isn't at rest yet, in words."""
        tasks = sorted({str(key[0]) if isinstance(key, tuple) else str(key) for key in self._running})
        return ", ".join([*self._unfinished(), *tasks]) or "the window"

    def _unfinished(self) -> Iterator[str]:
        """Yield the names of layers that don't show yet what they have to."""
        yield from (layer.name for layer in self._viewer.layers if not layer.loaded)
        for key in self._link.shown():
            stream = self._link.stream_of(key)
            if stream is None or not self._link.is_visible(key) or not (state := stream.state).is_progressive:
                continue
            if state.is_coming or stream.is_thumbnail_due:
                yield f"{key.kind} {key.id}"

    def _on_started(self, key: Hashable, _title: str) -> None:
        self._running.add(key)
        self._quiet.start()

    def _on_finished(self, key: Hashable) -> None:
        self._running.discard(key)
        self._quiet.start()

    def _on_quiet(self) -> None:
        streams = (self._link.stream_of(key) for key in self._link.shown())
        error = next((stream.state.error for stream in streams if stream is not None and stream.state.error), None)
        if error is not None:
            self.failed.emit(error)
        elif self._is_complete() and not self._running and not any(self._unfinished()):
            self.settled.emit()
        else:
            self._quiet.start()
