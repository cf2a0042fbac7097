"""Which layers are ours, where a layer belongs in the list, and the only way into it and out of it.

A layer is ours if its tag names it: a duplicate that a user makes carries the tag of the original, and is theirs.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeVar

from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Image, Labels, Layer, Points, Surface, Vectors

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
