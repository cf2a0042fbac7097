"""Keeps a tomogram in view as a whole while others take room from the canvas, until somebody moves the camera.

The fields of another kind of layer, a page of the dock, or a dock that opens make the canvas smaller after napari has
fitted a tomogram into it, which then is cut off at two sides.
"""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject

from napari_cryoet._qt.widgets.timers import single_shot


class FittedView(QObject):
    """Fits one layer at a time.

    Parameters
    ----------
    viewer
        Whose camera and canvas.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: weakref.ref[Layer] | None = None
        self._camera: tuple[Any, ...] = ()
        self._soon = single_shot(self, 0, self._fit_again)  # the canvas has several sizes while docks are laid out
        viewer.canvas.events.size.connect(self._on_size)

    def fit(self, layer: Layer) -> None:
        """Show all of a layer, now and when the canvas gets another size."""
        self._viewer.reset_view(layers=[layer])
        self._layer, self._camera = weakref.ref(layer), self._camera_now()

    def close_down(self) -> None:
        """Leave the camera alone from now on."""
        self._soon.stop()
        self._layer = None
        self._viewer.canvas.events.size.disconnect(self._on_size)

    def _on_size(self, _event: Any = None) -> None:
        if self._layer is None:
            return
        if self._camera_now() != self._camera:
            self._layer = None
        else:
            self._soon.start()

    def _fit_again(self) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is None or layer not in self._viewer.layers or self._camera_now() != self._camera:
            self._layer = None
            return
        self.fit(layer)

    def _camera_now(self) -> tuple[Any, ...]:
        camera, dims = self._viewer.scene.camera, self._viewer.dims
        return camera.zoom, camera.center, camera.angles, dims.ndisplay, dims.order
