"""Picks drawn as large as their particle: of all layers that show the same object, now and when it is opened again."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from napari.components import LayerList
from napari.layers import Layer, Points

from napari_cryoet._qt.layers.layer_spacing import ANGSTROM_PER_NM, length_angstrom, spacing_angstrom_of
from napari_cryoet.appearance.colors import object_key
from napari_cryoet.appearance.diameters import diameter_angstrom, set_diameter
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.wording import plain


def object_of(layer: Points) -> tuple[str | None, str]:
    """The id, if it is known, and the name of what a layer's picks are."""
    about = layer.metadata.get(METADATA_KEY)
    about = about if isinstance(about, dict) else {}
    object_id, name = about.get("object_id"), about.get("object_name")
    return (object_id if isinstance(object_id, str) and object_id else None), str(name or layer.name)


def object_text(layer: Points) -> str:
    """What a layer's picks are, in words: ``cytosolic ribosome (GO:0022626)``."""
    object_id, name = object_of(layer)
    return plain(f"{name} ({object_id})" if object_id else name)


def diameter_nm(layer: Points) -> float | None:
    """How large a layer's picks are drawn; None where they have several sizes, or no known spacing."""
    spacing = spacing_angstrom_of(layer)
    sizes = layer.size if len(layer.data) else np.array([layer.current_size])
    if spacing is None or not np.allclose(sizes, sizes[0]):
        return None
    return float(sizes[0]) * spacing / ANGSTROM_PER_NM


def remark_on_size(layers: LayerList, layer: Points) -> str:
    """Why a layer's picks look smaller than they are; empty where they don't.

    napari draws sizes without converting them from the layer's unit into the viewer's, which is the smallest of any.
    """
    units = layers.extent.units  # by which napari draws; `layers.units` are those of its sliders
    own, drawn = length_angstrom(layer.units[-1]), length_angstrom(units[-1]) if units else None
    if own is None or drawn is None or np.isclose(own, drawn):
        return ""
    return (
        f"napari draws them {own / drawn:g} times too small: this layer is in {layer.units[-1]} beside others in "
        f"{units[-1]}."
    )


def show_diameter(layers: Iterable[Layer], layer: Points, nm: float) -> None:
    """Draw the object of a layer's picks with another diameter, in all layers that show it, and remember that.

    Parameters
    ----------
    layers
        Of the viewer.
    layer
        Whose object it is.
    nm
        The particle's diameter.

    Raises
    ------
    ValueError
        If there is no such diameter.
    FormatError
        If it can't be remembered.
    """
    object_id, name = object_of(layer)
    set_diameter(object_id or name, nm * ANGSTROM_PER_NM)
    resize(layers, _keys(layer))


def resize(layers: Iterable[Layer], objects: Collection[str]) -> None:
    """Draw the picks of some objects with the diameters that the table has now.

    Parameters
    ----------
    layers
        Of the viewer.
    objects
        As `object_key` makes them.
    """
    for layer in layers:
        if not isinstance(layer, Points) or _keys(layer).isdisjoint(objects):
            continue
        picks, spacing = layer.metadata.get(PICKS_KEY), spacing_angstrom_of(layer)
        if not isinstance(picks, Picks) or picks.is_cloud or spacing is None:
            continue
        size = diameter_angstrom(*object_of(layer)) / spacing
        if not np.allclose(layer.size, size):
            layer.size = size
        if not np.isclose(layer.current_size, size):
            selected = set(layer.selected_data)
            layer.selected_data = set()  # else napari gives it to what is selected, too
            layer.current_size = size
            layer.selected_data = selected


def _keys(layer: Points) -> frozenset[str]:
    """Of the object that a layer's picks are: its id's and its name's, whichever of them the table knows."""
    object_id, name = object_of(layer)
    return frozenset({object_key(object_id), object_key(None, name)} - {""})
