"""A list to choose one of the viewer's layers from, always up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_cryoet._qt.widgets.elided_combo import elide_middle

L = TypeVar("L", bound=Layer)

#: What a list shows that has nothing to choose from.
NO_PICKS: Final = "no picks are open"
NO_TOMOGRAM: Final = "no tomogram is open"
NO_ANNOTATION: Final = "no annotation is open"


def named_layers(layers: Iterable[L]) -> list[tuple[str, L]]:
    """Layers by names that are all different; a layer that is being renamed may have another one's for a moment."""
    found: dict[str, L] = {}
    for layer in layers:
        name, number = layer.name, 2
        while name in found:
            name, number = f"{layer.name} ({number})", number + 1
        found[name] = layer
    return list(found.items())


class LayerBox(QComboBox):
    """Layers of a viewer that a test lets through, the topmost first.

    Parameters
    ----------
    viewer
        Whose layers.
    is_choice
        Which of them.
    name
        What is chosen with it, for its tooltip and for screen readers.
    nothing
        What it shows where there is none.
    """

    layer_changed = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        is_choice: Callable[[Layer], bool],
        name: str,
        nothing: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._is_choice = viewer, is_choice
        self._heard: set[Layer] = set()  # for other names
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setPlaceholderText(nothing)
        elide_middle(self)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(lambda _index: self.layer_changed.emit())
        for event in self._events():
            event.connect(self.fill)
        self.fill()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        return self.currentData()

    def choose(self, layer: Layer) -> None:
        """Choose a layer, if it is among them."""
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self.setCurrentIndex(index)

    def fill(self, _event: Any = None) -> None:
        """List what is there now; the choice stays where it can."""
        chosen = self.layer
        layers = [layer for layer in reversed(self._viewer.layers) if self._is_choice(layer)]
        self._hear(set(layers))
        self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        is_kept = any(layer is chosen for layer in layers)
        self.setCurrentIndex(0 if layers else -1)  # which Qt leaves at -1 where there are words for that
        if is_kept:
            self.choose(chosen)
        self.blockSignals(False)
        self.setEnabled(bool(layers))
        if not is_kept:
            self.layer_changed.emit()

    def close_down(self) -> None:
        """Hear no more of the viewer."""
        self._hear(set())
        for event in self._events():
            event.disconnect(self.fill)

    def _hear(self, layers: set[Layer]) -> None:
        for layer in layers - self._heard:
            layer.events.name.connect(self.fill)
        for layer in self._heard - layers:
            layer.events.name.disconnect(self.fill)
        self._heard = layers

    def _events(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.reordered
