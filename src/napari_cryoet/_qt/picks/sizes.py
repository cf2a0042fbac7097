"""Picks drawn as large as their particle, in all layers of the same object, now and when it is opened again."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points

from napari_cryoet._qt.layers.alignment import ANGSTROM_PER_NM, spacing_angstrom_of
from napari_cryoet.appearance.colors import object_key
from napari_cryoet.appearance.diameters import diameter_angstrom, set_diameter
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks


def show_diameter(viewer: ViewerModel, layer: Points, diameter_nm: float) -> None:
    """Draw the object of a layer's picks with another diameter, in all layers that show it, and remember that.

    Raises
    ------
    ValueError
        If there is no such diameter.
    FormatError
        If it can't be remembered.
    """
    object_id, name = object_of(layer)
    set_diameter(object_id or name, diameter_nm * ANGSTROM_PER_NM)
    keys = _keys(layer)
    for other in viewer.layers:
        if _is_of_particles(other) and not _keys(other).isdisjoint(keys):
            _resize(other, diameter_angstrom(*object_of(other)))


def diameter_nm_of(layer: Points) -> float | None:
    """How large a layer's picks are drawn; None where they have several sizes, or no known spacing."""
    spacing = spacing_angstrom_of(layer)
    sizes = layer.size if len(layer.data) else np.array([layer.current_size])
    if spacing is None or not np.allclose(sizes, sizes[0]):
        return None
    return float(sizes[0]) * spacing / ANGSTROM_PER_NM


def object_of(layer: Points) -> tuple[str | None, str]:
    """The id, if it is known, and the name of what a layer's picks are."""
    about = layer.metadata.get(METADATA_KEY)
    about = about if isinstance(about, dict) else {}
    object_id, name = about.get("object_id"), about.get("object_name")
    return (object_id if isinstance(object_id, str) and object_id else None), str(name or layer.name)


def _is_of_particles(layer: Layer) -> bool:
    picks = layer.metadata.get(PICKS_KEY)
    return isinstance(layer, Points) and isinstance(picks, Picks) and not picks.is_cloud


def _resize(layer: Points, angstrom: float) -> None:
    spacing = spacing_angstrom_of(layer)
    if spacing is None:
        return
    size = angstrom / spacing
    if not np.allclose(layer.size, size):
        layer.size = size
    if not np.isclose(layer.current_size, size):
        selected = set(layer.selected_data)
        layer.selected_data = set()  # else napari gives it to what is selected, too
        layer.current_size = size
        layer.selected_data = selected


def _keys(layer: Points) -> frozenset[str]:
    """Of the object that a layer's picks are: of its id and its name, whichever the table of diameters knows."""
    object_id, name = object_of(layer)
    return frozenset({object_key(object_id), object_key(None, name)} - {""})
