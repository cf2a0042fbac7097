"""The voxel spacing and position of layers in the world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

ANGSTROM_PER_NM: Final = 10.0


def spacing_angstrom_of(layer: Layer) -> float | None:
    """A layer's voxel spacing, positive even if flipped.

    None if its units aren't lengths or it is anisotropic.
    """
    return spacing_angstrom(layer.scale, layer.units)


def widths_angstrom(layer: Layer) -> NDArray[np.float64] | None:
    """A layer's voxel spacing along each axis in ångström; None if a unit isn't a length."""
    lengths = lengths_angstrom(layer.units)
    return None if lengths is None else np.multiply(layer.scale, lengths, dtype=np.float64)


def spacing_angstrom(scales: Iterable[float], units: Iterable[Any]) -> float | None:
    """Like `spacing_angstrom_of`, from a layer's scale and units."""
    lengths = lengths_angstrom(units)
    if lengths is None:
        return None
    widths = {
        round(abs(float(scale * length)), 9) for scale, length in zip(scales, lengths, strict=True)
    }
    return widths.pop() if len(widths) == 1 else None


def lengths_angstrom(units: Iterable[Any]) -> NDArray[np.float64] | None:
    """The length of each unit in ångström; None if one isn't a length."""
    lengths = [length_angstrom(unit) for unit in units]
    return None if None in lengths else np.array(lengths, dtype=np.float64)


def length_angstrom(unit: Any) -> float | None:
    """The length of a unit in ångström; None if it isn't a length."""
    return (
        float((1 * unit).to("angstrom").magnitude) if unit.is_compatible_with("angstrom") else None
    )


def steps_and_start(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """A layer's voxel step along each axis and the position of its first voxel, as shown in the viewer.

    In the layer's own units; steps are negative along flipped axes. None if the layer is rotated or
    sheared.
    """
    dragged = dragged_by(layer)
    if dragged is None:
        return None
    widths, offset = dragged
    return widths * layer.scale, widths * layer.translate + offset


def dragged_by(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The stretch and offset along each axis of a layer's affine transform, which dragging the layer changes.

    They apply after the layer's scale and translation; the stretch is negative along flipped axes.
    None if the layer is rotated or sheared.
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
    """A volume layer's name, voxel spacing and size."""

    name: str
    spacing_angstrom: float
    shape_zyx: tuple[int, int, int]


def shown_volumes(layers: Iterable[Layer]) -> list[ShownVolume]:
    """The three-dimensional images and masks with a known, isotropic voxel spacing."""
    volumes = []
    for layer in layers:
        spacing = (
            spacing_angstrom_of(layer)
            if isinstance(layer, Image | Labels) and layer.ndim == 3
            else None
        )
        if spacing is not None and not getattr(layer, "rgb", False):
            z, y, x = (int(size) for size in layer.level_shapes[0])
            volumes.append(ShownVolume(layer.name, spacing, (z, y, x)))
    return volumes
