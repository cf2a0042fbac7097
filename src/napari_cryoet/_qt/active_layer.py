"""Which layer a person has chosen in napari's list."""

from __future__ import annotations

from napari.components.layerlist import LayerList
from napari.layers import Layer


def active_layer(layers: LayerList) -> Layer | None:
    """The layer that is active in a viewer's list.

    Of its selection napari gives plugins a stand-in, which equals the layer and yet is another object that hides its
    private parts; the list itself gives the layer.
    """
    active = layers.selection.active
    return None if active is None else next((layer for layer in layers if layer == active), None)
