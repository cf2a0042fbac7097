"""A combo box of the viewer's layers that stays up to date."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QSizePolicy

from napari_cryoet._qt.layers.ownership import LayerWatch
from napari_cryoet._qt.widgets.controls import ElidedCombo

if TYPE_CHECKING:
    from napari_cryoet._qt.widgets.dock import Dock

#: Placeholders for when no layer fits.
NO_PICKS: Final = "no picks are open"
NO_TOMOGRAM: Final = "no tomogram is open"
NO_ANNOTATION: Final = "no annotation is open"


class LayerCombo(ElidedCombo):
    """A combo box of the layers that a predicate accepts, topmost first.

    Parameters
    ----------
    dock
        The layers of its viewer are listed, until it closes.
    accepts
        Whether to list a layer.
    name
        The purpose of the choice, for the tooltip and screen readers.
    nothing
        The placeholder when no layer fits.
    """

    layer_changed = Signal()

    def __init__(
        self, dock: Dock, accepts: Callable[[Layer], bool], name: str, nothing: str
    ) -> None:
        super().__init__(name)
        self._layers, self._accepts = dock.viewer.layers, accepts
        self.setPlaceholderText(nothing)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(lambda _index: self.layer_changed.emit())
        watch = LayerWatch(dock.viewer, self)
        dock.at_close(watch.close)
        for signal in (watch.inserted, watch.removed, watch.changed):
            signal.connect(self.fill)
        self.fill()

    @property
    def layer(self) -> Any:
        return self.currentData()

    def choose(self, layer: Layer) -> None:
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self.setCurrentIndex(index)

    def fill(self, _layer: object = None) -> None:
        """List the layers again, and keep the choice if it is still in the list."""
        chosen = self.layer
        layers = [layer for layer in reversed(self._layers) if self._accepts(layer)]
        with QSignalBlocker(self):
            self.clear()
            for layer in layers:
                self.addItem(layer.name, layer)
            visible = next(
                (index for index, layer in enumerate(layers) if layer.visible), 0
            )  # of the current run
            self.setCurrentIndex(visible if layers else -1)
            if chosen is not None:
                self.choose(chosen)
        self.setEnabled(bool(layers))
        self.update_tooltip()
        if self.layer is not chosen:
            self.layer_changed.emit()
