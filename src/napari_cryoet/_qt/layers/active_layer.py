"""Which layer a person has chosen in napari's list, and what napari hands out stand-ins for."""

from __future__ import annotations

from typing import TypeVar

from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Layer

Real = TypeVar("Real", ViewerModel, LayerList)


def active_layer(layers: LayerList) -> Layer | None:
    """The layer that is active in a viewer's list.

    Of its selection napari gives plugins a stand-in, which equals the layer and yet is another object that hides its
    private parts; the list itself gives the layer.
    """
    active = layers.selection.active
    return None if active is None else next((layer for layer in layers if layer == active), None)


def real(stand_in: Real) -> Real:
    """A viewer or its list itself: napari gives docks stand-ins, of the list another at each look, which soon die."""
    own: Real = getattr(stand_in, "__wrapped__", stand_in)
    return own
