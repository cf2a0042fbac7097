"""Moves a viewer's sliders to places in the world, each to the step that is nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from napari.components import Dims

_ALMOST_A_STEP: Final = 1e-6  # what is short of the last one by rounding


def move_sliders(dims: Dims, places: Mapping[int, float]) -> bool:
    """Show what is nearest to some places, by axis; False where that is shown already.

    A slider stands at steps only. Told to go between two, napari slices all layers there, moves the slider to the
    nearest step, and slices them all once more.
    """
    point = dims.point
    wanted = {axis: _nearest(dims, axis, place) for axis, place in places.items()}
    moved = {axis: place for axis, place in wanted.items() if place != point[axis]}
    if moved:
        dims.set_point(tuple(moved), tuple(moved.values()))
    return bool(moved)


def _nearest(dims: Dims, axis: int, place: float) -> float:
    """As napari's own sliders compute it, to the last digit, or it would be another place."""
    start, stop, step = dims.range[axis]
    within = min(max(place, start), stop)
    last = int((stop - start) / step + _ALMOST_A_STEP)  # volumes of several spacings end between two steps
    return float(min(start + min(round((within - start) / step), last) * step, stop))
