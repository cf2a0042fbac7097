"""How wide a layer's voxels are, and whether they lie along the axes of the world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Layer


def spacing_angstrom_of(layer: Layer) -> float | None:
    """The width of a layer's voxels in ångström; None where its unit is no length, or they are no cubes."""
    return spacing_angstrom(layer.scale, layer.units)


def spacing_angstrom(scales: Iterable[float], units: Iterable[Any]) -> float | None:
    """As `spacing_angstrom_of`, of what a layer has for scale and units."""
    widths = set()
    for scale, unit in zip(scales, units, strict=True):
        if not unit.is_compatible_with("angstrom"):
            return None
        widths.add(round(float((float(scale) * unit).to("angstrom").magnitude), 9))
    return widths.pop() if len(widths) == 1 else None


def is_straight(layer: Layer) -> bool:
    """Whether a layer is neither rotated nor sheared, nor transformed beside its scale and place."""
    return (
        np.allclose(np.asarray(layer.affine.affine_matrix), np.eye(layer.ndim + 1))
        and np.allclose(layer.rotate, np.eye(layer.ndim))
        and np.allclose(layer.shear, 0)
    )
