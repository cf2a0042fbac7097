"""A streamed layer's thumbnail: made once one has stopped stepping, rather than with each slice as napari does.

With its line in the layer list, which is painted anew, it costs as much as a small picture.
"""

from __future__ import annotations

import math
import time
import weakref
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QObject

from napari_cryoet._qt import napari_internals
from napari_cryoet._qt.timers import single_shot

if TYPE_CHECKING:
    from napari.layers import Layer

_LATE_MS: Final = 500


class LateThumbnail(QObject):
    """When the thumbnail of a layer is made.

    Parameters
    ----------
    layer
        The layer; not kept alive.
    """

    def __init__(self, layer: Layer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer = weakref.ref(layer)
        self._sliced_at = self._made_at = -math.inf
        self._is_time = False
        self._timer = single_shot(self, _LATE_MS, self._on_time)
        layer.events.thumbnail.connect(self._on_made)

    @property
    def is_due(self) -> bool:
        """Whether it is older than the layer's picture, for a moment."""
        return self._timer.isActive() and self._made_at < self._sliced_at

    @property
    def is_put_off(self) -> bool:
        """Whether it is made later, whatever asks for it now."""
        return self._timer.isActive() and not self._is_time

    def note_slice(self, *, is_step: bool) -> None:
        """Note that the layer was sliced: for a step, which puts it off, or because more of the picture has come."""
        self._sliced_at = time.monotonic()
        if is_step or not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Make none any more."""
        self._timer.stop()

    def _on_made(self) -> None:
        self._made_at = time.monotonic()

    def _on_time(self) -> None:
        layer = self._layer()
        if layer is not None and self._made_at < self._sliced_at:
            self._is_time = True
            try:
                napari_internals.update_thumbnail(layer)
            finally:
                self._is_time = False
