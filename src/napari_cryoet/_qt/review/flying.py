"""Takes a viewer to a place: its slice and the middle of its canvas, in 2D and in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer

from napari_cryoet._qt.widgets.sliders import move_sliders


def place_in(viewer: ViewerModel, layer: Layer, data: Sequence[float]) -> list[float]:
    """Where a place of a layer's data is in a viewer's world, whose units may be others than the layer's."""
    world = [float(part) for part in layer.data_to_world(data)]
    units = viewer.layers.units
    if not units:
        return world
    pairs = zip(layer.units, units[-len(world) :], strict=True)
    factors = [_factor(own, theirs) for own, theirs in pairs]
    return [part * factor for part, factor in zip(world, factors, strict=True)]


def _factor(own: Any, theirs: Any) -> float:
    return float((1 * own).to(theirs).magnitude) if own.is_compatible_with(theirs) else 1.0


def fly_to(viewer: ViewerModel, world: Sequence[float]) -> None:
    """Show a place in the middle, at the zoom that there is.

    In 2D all sliders go there, also those along the plane: whatever shows other planes follows them.

    Parameters
    ----------
    world
        In world coordinates, of the viewer's last axes.
    """
    dims = viewer.dims
    first = dims.ndim - len(world)
    point = list(dims.point)
    point[first:] = [float(part) for part in world]
    if any(axis >= first for axis in dims.not_displayed):
        move_sliders(dims, {axis: point[axis] for axis in range(first, dims.ndim)})
    center = [point[axis] for axis in dims.displayed]
    viewer.scene.camera.center = (*(0.0,) * (3 - len(center)), *center)
