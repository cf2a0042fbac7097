"""How the two sides of a comparison look in the viewer: beside their names, and what to do where they look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from napari.components import ViewerModel
from napari.layers import Layer, Points
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_cryoet._qt.appearance import appearance_of, paint
from napari_cryoet._qt.comparable import are_alike as are_of_one_kind
from napari_cryoet._qt.labels import plain_label, roomy
from napari_cryoet._qt.look_icon import Look, look_icon, look_of
from napari_cryoet._qt.orientation_display import orientation_of
from napari_cryoet._qt.own_color import taken_colors
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.appearance.colors import RGBA, own_color

#: napari's names for what changes how points or labels look.
_ALIKE: Final = 0.1
_LOOKS: Final = ("border_color", "current_border_color", "symbol", "current_symbol", "colormap")


class PairLooks(QWidget):
    """Draws a layer's colour and symbol beside its name; is there where A and B can be taken for one another.

    Parameters
    ----------
    viewer
        Whose layers are compared.
    boxes
        The lists that A and B are chosen from, with the layers as data.
    """

    def __init__(self, viewer: ViewerModel, *boxes: QComboBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._boxes = viewer, boxes
        self._heard: set[Layer] = set()
        self._outline = QColor("grey")
        self._words = plain_label("A and B look alike in the viewer.")
        self.recolor = QPushButton("Recolour A")
        self.recolor.setAccessibleName("Give A another colour than B has")
        self.recolor.setToolTip("Give A a colour that everybody can tell from B's, whatever kind of colours they see")
        self.recolor.clicked.connect(lambda _checked=False: self._recolor())
        roomy(self.recolor)
        self._later = single_shot(self, 0, self.update_looks)  # once for all that changes together
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._words, 1)
        row.addWidget(self.recolor)
        self.hide()

    def set_outline(self, color: QColor) -> None:
        """Follow the theme."""
        self._outline = color
        self.update_looks()

    def update_looks(self) -> None:
        """Show how the layers look now that can be chosen."""
        layers = {box.itemData(index) for box in self._boxes for index in range(box.count())}
        self._hear(layers)
        looks = {layer: look_of(layer) for layer in layers}
        icons = {layer: look_icon(*look, self._outline) for layer, look in looks.items()}
        for box in self._boxes:
            for index in range(box.count()):
                box.setItemIcon(index, icons[box.itemData(index)])
        self.setVisible(_look_alike(*self._pair, looks))

    def close_down(self) -> None:
        """Hear no more of the layers."""
        self._hear(set())
        self._later.stop()

    @property
    def _pair(self) -> tuple[Layer | None, Layer | None]:
        a, b = (box.currentData() for box in self._boxes)
        return a, b

    def _recolor(self) -> None:
        a, b = self._pair
        theirs = None if b is None else _color_of(b)
        if a is None or theirs is None:
            return
        chosen = own_color([theirs, *taken_colors(layer for layer in self._viewer.layers if layer is not a)])
        paint(a, chosen)
        arrows = orientation_of(a).layer if isinstance(a, Points) else None
        if arrows is not None and _color_of(arrows) is not None:  # triads have one for each axis
            paint(arrows, chosen)

    def _hear(self, layers: set[Layer]) -> None:
        for layer in layers - self._heard:
            for change in _changes_of(layer):
                change.connect(self._on_look)
        for layer in self._heard - layers:
            for change in _changes_of(layer):
                change.disconnect(self._on_look)
        self._heard = layers

    def _on_look(self, _event: Any = None) -> None:
        self._later.start()


def _changes_of(layer: Layer) -> list[Any]:
    return [getattr(layer.events, name) for name in _LOOKS if hasattr(layer.events, name)]


def _look_alike(a: Layer | None, b: Layer | None, looks: Mapping[Layer, Look]) -> bool:
    """Whether somebody could take two layers for one another."""
    if a is None or b is None or a is b or not are_of_one_kind(a, b):
        return False
    one, other = looks[a], looks[b]
    if one.color is None or other.color is None or one.symbol != other.symbol:
        return False
    return max(abs(a - b) for a, b in zip(one.color, other.color, strict=True)) < _ALIKE


def _color_of(layer: Layer) -> RGBA | None:
    return appearance_of(layer).color
