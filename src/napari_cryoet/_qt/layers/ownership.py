"""The layer list of a viewer: which layers are ours, where a layer belongs, and the observer that docks listen to.

A layer is ours if its tag names it: a duplicate that a user makes carries the tag of the original, and is theirs.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeVar

from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Image, Labels, Layer, Points, Surface, Vectors
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.layers.specs import METADATA_KEY

Kind = Literal["tomogram", "annotation", "tilt series"]
Real = TypeVar("Real", ViewerModel, LayerList)

_ID_FIELDS: dict[Kind, str] = {
    "tomogram": "tomogram_id",
    "annotation": "annotation_file_id",
    "tilt series": "tilt_series_id",
}
#: From bottom to top, across runs.
_RANKS = (Image, Labels, Surface, Vectors, Points)


class LayerKey(NamedTuple):
    """What a layer shows: a tomogram, an annotation file or a tilt series of the portal."""

    kind: Kind
    id: int


# in the list


def add_layer(layers: ViewerModel | LayerList, layer: Layer, *, above: Layer | None = None) -> None:
    """Add a layer to a viewer or its list: tomograms lie below masks, meshes, arrows and points, in this order.

    With ``above``, it is added directly above that layer instead.
    """
    layers = getattr(layers, "layers", layers)
    layers.insert(_place_for(layer, layers) if above is None else layers.index(above) + 1, layer)


def remove_layer(layers: ViewerModel | LayerList, layer: Layer) -> None:
    """Remove a layer from a viewer, if it is there."""
    layers = getattr(layers, "layers", layers)
    if layer in layers:
        layers.remove(layer)


def _place_for(layer: Layer, layers: LayerList) -> int:
    """Above all layers of lower rank, and above those of its own rank that follow directly."""
    rank, ranks = _rank(layer), [_rank(other) for other in layers]
    place = max((i + 1 for i, other in enumerate(ranks) if other < rank), default=0)
    while place < len(ranks) and ranks[place] == rank:
        place += 1
    return place


def _rank(layer: Layer) -> int:
    return next((rank for rank, kind in enumerate(_RANKS) if isinstance(layer, kind)), len(_RANKS))


def active_layer(layers: LayerList) -> Layer | None:
    """The active layer itself: napari's selection gives plugins a proxy that equals it and hides its private parts."""
    active = layers.selection.active
    return None if active is None else next((layer for layer in layers if layer == active), None)


def real(proxy: Real) -> Real:
    """The viewer or list behind one of the proxies that napari gives plugins."""
    own: Real = getattr(proxy, "__wrapped__", proxy)
    return own


# ours


def tag(layer: Layer, key: LayerKey, run_id: object, *, is_main_layer: bool) -> None:
    """Make a layer ours."""
    layer.metadata[METADATA_KEY] = about_of(layer) | {
        _ID_FIELDS[key.kind]: key.id,
        "group": run_id,
        "is_main_layer": is_main_layer,
        "layer_id": str(layer.unique_id),
    }


def about_of(layer: Layer) -> dict[str, Any]:
    """Our metadata of a layer; empty if it has none."""
    about = layer.metadata.get(METADATA_KEY)
    return about if isinstance(about, dict) else {}


def key_of(layer: Layer) -> LayerKey | None:
    """What a layer of ours shows; None for anybody else's."""
    about = about_of(layer)
    if about.get("layer_id") != str(layer.unique_id):
        return None
    for kind, field in _ID_FIELDS.items():
        if isinstance(about.get(field), int):
            return LayerKey(kind, about[field])
    return None


def group_of(layer: Layer) -> object:
    """The id of the run that a layer of ours belongs to."""
    return about_of(layer).get("group")


def is_main(layer: Layer) -> bool:
    """Whether a layer is the main one of its record; arrows only accompany it."""
    return bool(about_of(layer).get("is_main_layer"))


# what happens to it


class LayerWatch(QObject):
    """Reports changes of a viewer's layers until it is closed."""

    changed = Signal()  # the list, names, order, or the data of images and labels; once for many changes
    inserted = Signal(object)  # Layer, at once
    removed = Signal(object)  # Layer, at once

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        self._soon = single_shot(self, 0, self.changed.emit)
        events = self._layers.events
        self._connections = (
            (events.inserted, self._on_inserted),
            (events.removed, self._on_removed),
            (events.renamed, self._on_change),
            (events.reordered, self._on_change),
        )
        for emitter, slot in self._connections:
            emitter.connect(slot)
        for layer in self._layers:
            self._listen_to_data(layer)

    def close(self) -> None:
        self._soon.stop()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        for layer in self._layers:
            self._listen_to_data(layer, listens=False)

    def _on_inserted(self, event: Any) -> None:
        self._listen_to_data(event.value)
        self._soon.start()
        self.inserted.emit(event.value)

    def _on_removed(self, event: Any) -> None:
        self._listen_to_data(event.value, listens=False)
        self._soon.start()
        self.removed.emit(event.value)

    def _on_change(self, _event: Any = None) -> None:
        self._soon.start()

    def _listen_to_data(self, layer: Layer, *, listens: bool = True) -> None:
        if isinstance(layer, Image | Labels):
            (layer.events.data.connect if listens else layer.events.data.disconnect)(self._on_change)
