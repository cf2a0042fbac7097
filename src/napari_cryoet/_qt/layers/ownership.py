"""Ownership and order of layers in a viewer, and an observer of its layer list.

A layer is ours if the id in its tag matches its own. A user's duplicate has the original's tag, so
it isn't ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeVar

from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Image, Labels, Layer, Points, Surface, Vectors
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.provenance import Provenance

ContentKind = Literal["tomogram", "annotation", "tilt series"]
Real = TypeVar("Real", ViewerModel, LayerList)

#: The key in ``layer.metadata`` for the tag of our layers.
_TAG = "napari_cryoet_tag"
#: Order of layer types from bottom to top, for all runs together.
_RANKS = (Image, Labels, Surface, Vectors, Points)


class LayerKey(NamedTuple):
    """The portal record that a layer shows: a tomogram, an annotation file or a tilt series."""

    kind: ContentKind
    id: int


class Tag(NamedTuple):
    """What marks a layer as ours."""

    layer_id: str
    key: LayerKey
    run_id: object
    is_main_layer: bool


# the layer list


def add_layer(layers: ViewerModel | LayerList, layer: Layer, *, above: Layer | None = None) -> None:
    """Add a layer in the order of types: tomograms at the bottom, then masks, meshes, arrows and points.

    With ``above``, add it directly above that layer instead.
    """
    layers = getattr(layers, "layers", layers)
    layers.insert(_index_for(layer, layers) if above is None else layers.index(above) + 1, layer)


def remove_layer(layers: ViewerModel | LayerList, layer: Layer) -> None:
    """Remove a layer from a viewer, if it is present."""
    layers = getattr(layers, "layers", layers)
    if layer in layers:
        layers.remove(layer)


def remove_layers(layers: LayerList, removed: Iterable[Layer]) -> None:
    """Remove layers that are present at once: napari collects garbage after each single removal."""
    present = [layer for layer in removed if layer in layers]
    if present:
        with layers.batched_update():
            for layer in present:
                layers.remove(layer)


def _index_for(layer: Layer, layers: LayerList) -> int:
    """The index above all layers of lower rank and directly following ones of the same rank."""
    rank, ranks = _rank(layer), [_rank(other) for other in layers]
    index = max((i + 1 for i, other in enumerate(ranks) if other < rank), default=0)
    while index < len(ranks) and ranks[index] == rank:
        index += 1
    return index


def _rank(layer: Layer) -> int:
    return next((rank for rank, kind in enumerate(_RANKS) if isinstance(layer, kind)), len(_RANKS))


def active_layer(layers: LayerList) -> Layer | None:
    """The active layer itself, instead of the proxy that napari gives plugins."""
    active = layers.selection.active
    return None if active is None else next((layer for layer in layers if layer == active), None)


def real(proxy: Real) -> Real:
    """The viewer or list behind one of the proxies that napari gives plugins."""
    own: Real = getattr(proxy, "__wrapped__", proxy)
    return own


# tags of our layers


def tag(layer: Layer, key: LayerKey, run_id: object, *, is_main_layer: bool) -> None:
    """Mark a layer as ours."""
    layer.metadata[_TAG] = Tag(str(layer.unique_id), key, run_id, is_main_layer)


def about_of(layer: Layer) -> Provenance:
    """A layer's provenance; empty if it has none."""
    return Provenance.of(layer.metadata.get(METADATA_KEY))


def key_of(layer: Layer) -> LayerKey | None:
    """The key of our layer; None if the layer isn't ours."""
    tag = _tag_of(layer)
    return tag.key if tag is not None and tag.layer_id == str(layer.unique_id) else None


def group_of(layer: Layer) -> object:
    """The id of the run that our layer belongs to."""
    tag = _tag_of(layer)
    return None if tag is None else tag.run_id


def is_main(layer: Layer) -> bool:
    """Whether a layer is its record's main layer; arrows aren't."""
    tag = _tag_of(layer)
    return tag is not None and tag.is_main_layer


def _tag_of(layer: Layer) -> Tag | None:
    tag = layer.metadata.get(_TAG)
    return tag if isinstance(tag, Tag) else None


# changes of the layer list


class LayerWatch(QObject):
    """Reports changes of a viewer's layers until it is closed."""

    changed = Signal()  # of the list, names, order, or the data of images and labels; batched
    inserted = Signal(object)  # Layer, immediately
    removed = Signal(object)  # Layer, immediately

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
            (layer.events.data.connect if listens else layer.events.data.disconnect)(
                self._on_change
            )
