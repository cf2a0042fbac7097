"""The volumes that a viewer shows, with the grid in which each is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from napari.layers import Image, Labels, Layer

from napari_cryoet._qt.layers.layer_spacing import spacing_angstrom_of
from napari_cryoet.streaming import pyramid_of


class ShownVolume(NamedTuple):
    """A volume in a viewer."""

    name: str
    spacing_angstrom: float
    shape_zyx: tuple[int, int, int]


def shown_volumes(layers: Iterable[Layer]) -> list[ShownVolume]:
    """Images and masks with three axes whose voxels are cubes of a known width."""
    found = []
    for layer in layers:
        spacing = spacing_angstrom_of(layer) if isinstance(layer, Image | Labels) and layer.ndim == 3 else None
        if spacing is not None and not getattr(layer, "rgb", False):
            found.append(ShownVolume(layer.name, spacing, _shape_zyx(layer)))
    return found


def _shape_zyx(layer: Image | Labels) -> tuple[int, int, int]:
    pyramid = pyramid_of(layer.data)
    shape = pyramid.shapes[0] if pyramid is not None else (layer.data[0] if layer.multiscale else layer.data).shape
    return int(shape[0]), int(shape[1]), int(shape[2])
