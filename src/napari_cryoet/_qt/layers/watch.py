"""The observer of a viewer's layer list: docks listen to it instead of to napari."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import single_shot


class LayerWatch(QObject):
    """Reports changes of a viewer's layers until it is closed."""

    changed = Signal()  # the list, names, order, or the data of images and labels; once for many changes
    inserted = Signal(object)  # Layer, at once
    removed = Signal(object)  # Layer, at once

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        self._soon = single_shot(self, 0, self.changed.emit)
        for emitter, slot in self._connections():
            emitter.connect(slot)
        for layer in self._layers:
            self._listen_to_data(layer)

    def close(self) -> None:
        self._soon.stop()
        for emitter, slot in self._connections():
            emitter.disconnect(slot)
        for layer in self._layers:
            self._stop_listening_to_data(layer)

    def _connections(self) -> list[tuple[Any, Any]]:
        events = self._layers.events
        return [
            (events.inserted, self._on_inserted),
            (events.removed, self._on_removed),
            (events.renamed, self._on_change),
            (events.reordered, self._on_change),
        ]

    def _on_inserted(self, event: Any) -> None:
        self._listen_to_data(event.value)
        self._soon.start()
        self.inserted.emit(event.value)

    def _on_removed(self, event: Any) -> None:
        self._stop_listening_to_data(event.value)
        self._soon.start()
        self.removed.emit(event.value)

    def _on_change(self, _event: Any = None) -> None:
        self._soon.start()

    def _listen_to_data(self, layer: Layer) -> None:
        if isinstance(layer, Image | Labels):
            layer.events.data.connect(self._on_change)

    def _stop_listening_to_data(self, layer: Layer) -> None:
        if isinstance(layer, Image | Labels):
            layer.events.data.disconnect(self._on_change)
