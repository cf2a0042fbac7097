"""The volumes that a viewer shows, with the grid in which each is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from napari.layers import Image, Labels, Layer

from napari_cryoet.streaming.pyramid import pyramid_of


class ShownVolume(NamedTuple):
    """A volume in a viewer."""

    name: str
    spacing_angstrom: float
    shape_zyx: tuple[int, int, int]


def shown_volumes(layers: Iterable[Layer]) -> list[ShownVolume]:
    """Images and masks with three axes whose voxels are cubes of a known width."""
    found = []
    for layer in layers:
        spacing = spacing_of_layer(layer) if isinstance(layer, Image | Labels) and layer.ndim == 3 else None
        if spacing is not None and not getattr(layer, "rgb", False):
            found.append(ShownVolume(layer.name, spacing, _shape_zyx(layer)))
    return found


def spacing_of_layer(layer: Layer) -> float | None:
    """The width of a voxel in ångström; None where the layer says no length, or several."""
    return spacing_of(layer.scale, layer.units)


def spacing_of(scales: Iterable[float], units: Iterable[Any]) -> float | None:
    """As `spacing_of_layer`, of what a layer has for scale and units."""
    widths = set()
    for scale, unit in zip(scales, units, strict=True):
        if not unit.is_compatible_with("angstrom"):
            return None
        widths.add(round(float((float(scale) * unit).to("angstrom").magnitude), 9))
    return widths.pop() if len(widths) == 1 else None


def _shape_zyx(layer: Image | Labels) -> tuple[int, int, int]:
    pyramid = pyramid_of(layer.data)
    shape = pyramid.shapes[0] if pyramid is not None else (layer.data[0] if layer.multiscale else layer.data).shape
    return int(shape[0]), int(shape[1]), int(shape[2])
