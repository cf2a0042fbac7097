"""Hears when layers come to lie elsewhere in the world, or a volume is another one."""

from __future__ import annotations

from typing import Any, Final

from napari.layers import Layer, Points
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.widgets.timers import single_shot

_TRANSFORMS: Final = ("scale", "translate", "rotate", "shear", "affine", "units")
_REST_MS: Final = 150  # a layer that is dragged moves all the time


class GridWatch(QObject):
    """Watches some layers at a time; what happens to them in a moment is told once."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers: tuple[Layer, ...] = ()
        self._tell_soon = single_shot(self, _REST_MS, self.changed.emit)

    def watch(self, *layers: Layer | None) -> None:
        """Watch these layers, and no others."""
        for layer in self._layers:
            for event in _events(layer):
                event.disconnect(self._on_event)
        self._tell_soon.stop()
        self._layers = tuple(layer for layer in layers if layer is not None)
        for layer in self._layers:
            for event in _events(layer):
                event.connect(self._on_event)

    def _on_event(self, _event: Any = None) -> None:
        self._tell_soon.start()


def _events(layer: Layer) -> list[Any]:
    """Those of its transform; what points there are, others watch, and what is streamed stays the same volume."""
    is_watched = not isinstance(layer, Points) and not getattr(layer, "multiscale", False)
    return [getattr(layer.events, name) for name in (*_TRANSFORMS, *(["data"] if is_watched else []))]
