"""Hears of layers that come and go, or are called something else, and of images and labels that get other data."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.widgets.timers import single_shot


class LayerWatch(QObject):
    """Watches a viewer's layers while it is told to; several that come at once are told once."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._is_following = False
        self._tell_soon = single_shot(self, 0, self.changed.emit)

    def follow(self, follows: bool) -> None:
        """Begin, and tell soon what there is already, or end."""
        if follows == self._is_following:
            return
        self._is_following = follows
        self._tell_soon.stop()
        events = self._viewer.layers.events
        for event, hear in (
            (events.inserted, self._on_inserted),
            (events.removed, self._on_removed),
            (events.renamed, self._on_layers),
        ):
            (event.connect if follows else event.disconnect)(hear)
        for layer in self._viewer.layers:
            self._hear_of_data(layer, follows)
        if follows:
            self._tell_soon.start()

    def _on_layers(self, _event: Any = None) -> None:
        self._tell_soon.start()

    def _on_inserted(self, event: Any) -> None:
        self._hear_of_data(event.value, True)
        self._on_layers()

    def _on_removed(self, event: Any) -> None:
        self._hear_of_data(event.value, False)
        self._on_layers()

    def _hear_of_data(self, layer: Layer, hears: bool) -> None:
        if isinstance(layer, Image | Labels):
            (layer.events.data.connect if hears else layer.events.data.disconnect)(self._on_layers)
