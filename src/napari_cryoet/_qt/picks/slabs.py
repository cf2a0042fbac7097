"""Picks as discs in every plane that cuts their particle, and slabs of picks in the 2D view.

With the projection mode "rescale_spherical", napari draws a point in a slice as the disc that the
plane cuts out of its sphere, but only within the viewer's slice thickness. A thicker slice for the
whole viewer would also average images and show distant points. So this module widens the slice of
single layers, by changing the requests of their slicing state. If this napari doesn't allow that,
picks show only in the plane of their centre.

Slabs use the same requests: points in the slab are moved into the plane. napari compares a point's
distance from the plane with its size on screen, both in voxels. If voxels aren't cubes, points are
moved to correct for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import Dims, ViewerModel
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt import seam
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM, widths_angstrom
from napari_cryoet.layers.specs import PICKS_KEY

MOST_PICKS_NM: Final = 1000.0

_OUR_MODES: Final = frozenset({"rescale_spherical", "fade"})


def show_slabs(viewer: ViewerModel, *, picks_nm: float) -> None:
    """Show a slab of picks around the plane of the 2D view, in all layers of picks; 0 turns it off.

    Raises
    ------
    ValueError
        If the thickness is negative or too large.
    """
    for layer in viewer.layers:
        if isinstance(layer, Points | Vectors) and PICKS_KEY in layer.metadata:
            show_slab(layer, picks_nm)


def show_slab(layer: Points | Vectors, thickness_nm: float) -> None:
    """Show all points of a slab around the plane, if this napari supports it."""
    if not 0 <= thickness_nm <= MOST_PICKS_NM:
        raise ValueError(
            f"a slab of picks can be 0 to {MOST_PICKS_NM:g} nm thick, not {thickness_nm}"
        )
    if show_as_discs(layer) and slab_nm_of(layer) != thickness_nm:
        seam.slicing_state_of(layer).slab_nm = float(thickness_nm)
        layer.refresh(extent=False)


def slab_nm_of(layer: Layer) -> float:
    """The thickness of a layer's slab; 0 if it shows only the plane."""
    thickness: float = getattr(seam.slicing_state_of(layer), "slab_nm", 0.0)
    return thickness


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the points of a layer lie that the plane of the 2D view doesn't show."""

    axis: int  # of the viewer's sliders
    axis_name: str
    first: float  # in world coordinates, like the next two
    last: float
    middle: float  # of a point


def elsewhere(layer: Points, dims: Dims) -> Elsewhere | None:
    """Where a layer's points lie along the slider, if the view's plane shows none; else None."""
    if len(dims.not_displayed) != 1 or layer.ndim != dims.ndim or not len(layer.data):
        return None
    (axis,) = dims.not_displayed
    width = float(layer.scale[axis])
    positions = np.sort(layer.data[:, axis] * width + float(layer.translate[axis]))
    reach = radius_of(layer) * width + slab_nm_of(layer) * ANGSTROM_PER_NM / 2
    if np.abs(positions - dims.point[axis]).min() <= reach:
        return None
    name = dims.axis_labels[axis]
    middle = float(positions[len(positions) // 2])
    return Elsewhere(axis, name, float(positions[0]), float(positions[-1]), middle)


# discs


def show_as_discs(layer: Layer, *, radius: Callable[[], float] | None = None) -> bool:
    """Show points or arrows in all planes within their radius; False if this layer or napari doesn't support it.

    Parameters
    ----------
    radius
        The radius of the particles in the layer's own units; by default that of the largest point, or half of the
        longest arrow.
    """
    if not isinstance(layer, Points | Vectors) or not seam.can_slice_picks():
        return False
    state = seam.slicing_state_of(layer)
    if radius is not None:
        state.radius = radius
    if not getattr(state, "shows_discs", False):
        state.shows_discs = seam.change_requests(layer, partial(_thick_request, layer, state))
        layer.refresh()
    return bool(state.shows_discs)


def show_as_discs_like(copy: Layer, layer: Layer) -> None:
    """Copy the disc and slab settings of a layer to its copy."""
    state = seam.slicing_state_of(layer)
    if isinstance(copy, Points | Vectors) and getattr(state, "shows_discs", False):
        show_as_discs(copy, radius=getattr(state, "radius", None))
        show_slab(copy, slab_nm_of(layer))


def radius_of(layer: Points | Vectors) -> float:
    """The radius of the largest point, or half of the longest arrow, in the layer's own units."""
    if isinstance(layer, Points):
        return float(layer.size.max()) / 2 if len(layer.size) else 0.0
    lengths = np.linalg.norm(layer.data[:, 1], axis=1)
    return float(lengths.max()) / 2 if len(lengths) else 0.0


def _thick_request(
    layer: Points | Vectors,
    state: Any,
    make_request: seam.Requests,
    slice_input: Any,
    data_slice: Any,
) -> Any:
    radius = (getattr(state, "radius", None) or partial(radius_of, layer))()
    is_exactly = str(layer.projection_mode) in _OUR_MODES
    request = make_request(slice_input, _thickened(data_slice, radius, is_exactly=is_exactly))
    if not slice_input.not_displayed:
        return request
    widths = widths_angstrom(layer)
    halves = (
        np.zeros(layer.ndim)
        if widths is None
        else slab_nm_of(layer) * ANGSTROM_PER_NM / 2 / np.abs(widths)
    )
    return _in_slab(request, halves, np.abs(layer.scale / layer.scale[slice_input.displayed[-1]]))


def _thickened(data_slice: Any, radius: float, *, is_exactly: bool) -> Any:
    """Widen a slice to at least ``radius`` on both sides, or to exactly ``radius`` with ``is_exactly``."""
    margins = {
        side: tuple(
            (radius if not np.isnan(margin) else margin)
            if is_exactly
            else float(np.fmax(margin, radius))
            for margin in getattr(data_slice, side)
        )
        for side in ("margin_left", "margin_right")
    }
    return dataclasses.replace(data_slice, **margins)


def _in_slab(request: Any, halves: NDArray[np.float64], widths: NDArray[np.float64]) -> Any:
    """Move a request's points towards the plane by up to half of the slab.

    Parameters
    ----------
    halves
        Half of the slab along each axis, in the layer's units.
    widths
        Voxel widths along each axis, relative to those in the plane, which determine point sizes.
    """
    axes = [
        axis
        for axis in request.slice_input.not_displayed
        if halves[axis] > 0 or not np.isclose(widths[axis], 1)
    ]
    if not axes or not len(request.data):
        return request
    data = np.asarray(request.data)
    points = np.array(
        data[:, :1] if data.ndim == 3 else data, dtype=np.float64
    )  # only the starts of vectors matter
    positions: NDArray[np.float64] = points[:, 0] if data.ndim == 3 else points
    for axis in axes:
        beyond = positions[:, axis] - request.data_slice.point[axis]
        beyond -= np.clip(beyond, -halves[axis], halves[axis])
        positions[:, axis] = request.data_slice.point[axis] + beyond * widths[axis]
    return dataclasses.replace(request, data=points)
