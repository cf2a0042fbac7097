"""How wide a layer's voxels are and where they lie in the world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

ANGSTROM_PER_NM: Final = 10.0


def spacing_angstrom_of(layer: Layer) -> float | None:
    """How wide its voxels are in ångström, also if flipped; None where that is no length, or they are no cubes."""
    return spacing_angstrom(layer.scale, layer.units)


def widths_angstrom(layer: Layer) -> NDArray[np.float64] | None:
    """How wide a layer's voxels are along each axis in ångström; None where one of its units is no length."""
    lengths = lengths_angstrom(layer.units)
    return None if lengths is None else np.multiply(layer.scale, lengths, dtype=np.float64)


def spacing_angstrom(scales: Iterable[float], units: Iterable[Any]) -> float | None:
    """As `spacing_angstrom_of`, of what a layer has for scale and units."""
    lengths = lengths_angstrom(units)
    if lengths is None:
        return None
    widths = {round(abs(float(scale * length)), 9) for scale, length in zip(scales, lengths, strict=True)}
    return widths.pop() if len(widths) == 1 else None


def lengths_angstrom(units: Iterable[Any]) -> NDArray[np.float64] | None:
    """How long one of each of some units is in ångström; None where one of them is no length."""
    lengths = [length_angstrom(unit) for unit in units]
    return None if None in lengths else np.array(lengths, dtype=np.float64)


def length_angstrom(unit: Any) -> float | None:
    """How long one of a unit is in ångström; None where it is no length."""
    return float((1 * unit).to("angstrom").magnitude) if unit.is_compatible_with("angstrom") else None


def steps_and_start(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """How far a layer's voxels are apart along each axis and where the first one lies, as the viewer shows them.

    In the layer's own units; below 0 along an axis that is flipped. None where it is rotated or sheared.
    """
    dragged = dragged_by(layer)
    if dragged is None:
        return None
    widths, offset = dragged
    return widths * layer.scale, widths * layer.translate + offset


def dragged_by(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """How many times wider, and how much farther on in the world, the mouse or a script has put a layer.

    That is beside the layer's scale and place; below 0 where it is flipped. None where it is rotated or sheared.
    """
    affine = np.asarray(layer.affine.affine_matrix, dtype=np.float64)
    widths, offset = np.diag(affine)[:-1], affine[:-1, -1]
    is_along_axes = (
        np.allclose(affine[:-1, :-1], np.diag(widths))
        and (widths != 0).all()
        and np.allclose(layer.rotate, np.eye(layer.ndim))
        and np.allclose(layer.shear, 0)
    )
    return (widths, offset) if is_along_axes else None


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
            z, y, x = (int(size) for size in layer.level_shapes[0])
            found.append(ShownVolume(layer.name, spacing, (z, y, x)))
    return found
