"""In which viewers a streamed layer is: for one that is in none of them nothing is fetched."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_cryoet._qt.active_layer import real

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.components.layerlist import LayerList
    from napari.layers import Layer

    from napari_cryoet.streaming.display import Display


class Presence:
    """Pauses a display while its layer is in none of the viewers that were named.

    Parameters
    ----------
    layer
        Which may come and go, from one viewer to another too.
    display
        What its picture is made from; None where nothing is to be paused.
    """

    def __init__(self, layer: Layer, display: Display | None) -> None:
        self._layer, self._display = weakref.ref(layer), display
        self._lists: list[weakref.ref[LayerList]] = []
        self._view: int | None = None

    @property
    def view(self) -> int | None:
        """The viewer that the layer came into last, where one was named."""
        return self._view

    def follow(self, viewer: ViewerModel) -> None:
        """Hear of the layer coming into a viewer, and leaving it; it may be there already."""
        layers = real(viewer).layers
        self._view = id(layers)
        if self._display is None:
            return
        if not any(known() is layers for known in self._lists):
            self._lists.append(weakref.ref(layers))
            layers.events.removed.connect(self._on_removed)
            layers.events.inserted.connect(self._on_inserted)
        if self._layer() in layers:
            self._display.resume()

    def _on_removed(self, event: Any) -> None:
        layer = self._layer()
        if event.value is not layer or self._display is None:
            return
        left = [layers for known in self._lists if (layers := known()) is not None and layer in layers]
        if left:
            self._view = id(left[-1])
        else:
            self._display.pause()

    def _on_inserted(self, event: Any) -> None:
        if event.value is self._layer() and self._display is not None:
            self._view = id(event.source)
            self._display.resume()
