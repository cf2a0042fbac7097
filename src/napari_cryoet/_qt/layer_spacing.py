"""How wide a layer's voxels are, and where they lie if that is along the axes of the world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray


def spacing_angstrom_of(layer: Layer) -> float | None:
    """The width of a layer's voxels in ångström; None where its unit is no length, or they are no cubes."""
    return spacing_angstrom(layer.scale, layer.units)


def widths_angstrom(layer: Layer) -> NDArray[np.float64] | None:
    """How wide a layer's voxels are along each axis in ångström; None where one of its units is no length."""
    if not all(unit.is_compatible_with("angstrom") for unit in layer.units):
        return None
    return np.array(
        [
            float((float(scale) * unit).to("angstrom").magnitude)
            for scale, unit in zip(layer.scale, layer.units, strict=True)
        ]
    )


def spacing_angstrom(scales: Iterable[float], units: Iterable[Any]) -> float | None:
    """As `spacing_angstrom_of`, of what a layer has for scale and units."""
    widths = set()
    for scale, unit in zip(scales, units, strict=True):
        if not unit.is_compatible_with("angstrom"):
            return None
        widths.add(round(float((float(scale) * unit).to("angstrom").magnitude), 9))
    return widths.pop() if len(widths) == 1 else None


def steps_and_start(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """How far a layer's voxels are apart along each axis and where the first one lies, as the viewer shows them.

    In the layer's own units; below 0 along an axis that is flipped. None where it is rotated or sheared.
    """
    affine = np.asarray(layer.affine.affine_matrix)  # which is how the mouse moves a layer
    widths, offset = np.diag(affine)[:-1], affine[:-1, -1]
    is_straight = (
        np.allclose(affine[:-1, :-1], np.diag(widths))
        and (widths != 0).all()
        and np.allclose(layer.rotate, np.eye(layer.ndim))
        and np.allclose(layer.shear, 0)
    )
    return (widths * layer.scale, widths * layer.translate + offset) if is_straight else None
