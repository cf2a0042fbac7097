"""In which viewers a streamed layer is: for one that is in none of them nothing is fetched.

Whoever adds a layer names the viewer. A script, or another plugin, may put it into a further one, which nobody hears
of: such windows are looked for when napari slices the layer, and before one that has left a viewer is paused.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_cryoet._qt.active_layer import real
from napari_cryoet._qt.main_window import has_window, main_window
from napari_cryoet._qt.napari_internals import delete_in_own_canvas, open_viewers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.components.layerlist import LayerList
    from napari.layers import Layer

    from napari_cryoet._qt.progressive import StreamStatus
    from napari_cryoet.streaming.display import Display


class Presence:
    """Pauses a display while its layer is in no viewer, of those that were named and those that have a window.

    Parameters
    ----------
    layer
        Which may come and go, from one viewer to another too.
    display
        What its picture is made from; None where nothing is to be paused.
    status
        Told to follow further viewers that have the layer, once one was named.
    """

    def __init__(self, layer: Layer, display: Display | None, status: StreamStatus) -> None:
        self._layer, self._display, self._status = weakref.ref(layer), display, weakref.ref(status)
        self._lists: list[weakref.ref[LayerList]] = []
        self._view: int | None = None

    @property
    def view(self) -> int | None:
        """The viewer that the layer came into last, where one was named."""
        return self._view

    def look_around(self) -> None:
        """Have the windows followed, too, that the layer was put into without their being named."""
        layer, status = self._layer(), self._status()
        if status is None or not self._lists:
            return
        for viewer in open_viewers():
            if not self._knows(viewer.layers) and layer in viewer.layers and has_window(viewer):
                status.follow(viewer)

    def follow(self, viewer: ViewerModel) -> None:
        """Hear of the layer coming into a viewer, and leaving it; it may be there already."""
        viewer = real(viewer)
        layers = viewer.layers
        self._view = id(layers)
        if self._display is None:
            return
        if not self._knows(layers):
            self._lists.append(weakref.ref(layers))
            layers.events.removed.connect(self._on_removed)
            layers.events.inserted.connect(self._on_inserted)
            if has_window(viewer):
                delete_in_own_canvas(main_window(viewer))  # else a further window that has it would lose what it draws
        if self._layer() in layers:
            self._display.resume()

    def _knows(self, layers: LayerList) -> bool:
        return any(known() is layers for known in self._lists)

    def _on_removed(self, event: Any) -> None:
        layer = self._layer()
        if event.value is not layer or self._display is None:
            return
        self.look_around()
        left = [layers for known in self._lists if (layers := known()) is not None and layer in layers]
        if left:
            self._view = id(left[-1])
        else:
            self._display.pause()

    def _on_inserted(self, event: Any) -> None:
        if event.value is self._layer() and self._display is not None:
            self._view = id(event.source)
            self._display.resume()
