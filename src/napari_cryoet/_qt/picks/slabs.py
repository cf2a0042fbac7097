"""Picks as discs in each plane that cuts their particle, and slabs of picks in the 2D view.

napari draws a point in a slice as the disc that the plane cuts out of its sphere (projection mode
"rescale_spherical"), but only for points within the viewer's slice thickness. That thickness belongs to the whole
viewer: it would average all images and show all points from afar. So here the slice is widened for one layer only, in
the requests that its slicing state makes. A napari without that seam draws picks in their own plane only.

A slab of picks works by the same seam: points in the slab are drawn as if they were in the plane. napari compares how
far points are from the plane with their size on the screen in numbers of voxels. Where voxels aren't cubes, points are
moved so that this holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt.layers.alignment import ANGSTROM_PER_NM, widths_angstrom
from napari_cryoet._qt.streaming import seam
from napari_cryoet.layers.specs import PICKS_KEY

MOST_PICKS_NM: Final = 1000.0

_OUR_MODES: Final = frozenset({"rescale_spherical", "fade"})


def show_slabs(viewer: ViewerModel, *, picks_nm: float) -> None:
    """Let the 2D view show a slab of picks around its plane, in all layers of picks; 0 for what the plane cuts.

    Raises
    ------
    ValueError
        If the thickness is negative, or too large.
    """
    for layer in viewer.layers:
        if isinstance(layer, Points | Vectors) and PICKS_KEY in layer.metadata:
            show_slab(layer, picks_nm)


def show_slab(layer: Points | Vectors, thickness_nm: float) -> None:
    """Show all points of a slab around the plane, where this napari can do that."""
    if not 0 <= thickness_nm <= MOST_PICKS_NM:
        raise ValueError(f"a slab of picks can be 0 to {MOST_PICKS_NM:g} nm thick, not {thickness_nm}")
    if show_as_discs(layer) and slab_nm_of(layer) != thickness_nm:
        seam.slicing_state_of(layer).slab_nm = float(thickness_nm)
        layer.refresh(extent=False)


def slab_nm_of(layer: Layer) -> float:
    """How thick the slab is that a layer shows; 0 for the plane alone."""
    thickness: float = getattr(seam.slicing_state_of(layer), "slab_nm", 0.0)
    return thickness


# discs


def show_as_discs(layer: Layer, *, radius: Callable[[], float] | None = None) -> bool:
    """Let points, or arrows, show in all planes within their radius; False for other layers and an unknown napari.

    The radius of the particles that arrows belong to is in the layer's own units; by default half of the longest arrow.
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
    """Show a copy as discs, and as thick a slab, where the layer does that."""
    state = seam.slicing_state_of(layer)
    if isinstance(copy, Points | Vectors) and getattr(state, "shows_discs", False):
        show_as_discs(copy, radius=getattr(state, "radius", None))
        show_slab(copy, slab_nm_of(layer))


def radius_of(layer: Points | Vectors) -> float:
    """Of the largest point, or of the particle that an arrow belongs to; in the layer's own units."""
    if isinstance(layer, Points):
        return float(layer.size.max()) / 2 if len(layer.size) else 0.0
    lengths = np.linalg.norm(layer.data[:, 1], axis=1)
    return float(lengths.max()) / 2 if len(lengths) else 0.0


def _thick_request(
    layer: Points | Vectors, state: Any, make_request: seam.Requests, slice_input: Any, data_slice: Any
) -> Any:
    radius = (getattr(state, "radius", None) or partial(radius_of, layer))()
    is_exactly = str(layer.projection_mode) in _OUR_MODES
    request = make_request(slice_input, _thickened(data_slice, radius, is_exactly=is_exactly))
    if not slice_input.not_displayed:
        return request
    widths = widths_angstrom(layer)
    halves = np.zeros(layer.ndim) if widths is None else slab_nm_of(layer) * ANGSTROM_PER_NM / 2 / np.abs(widths)
    return _in_slab(request, halves, np.abs(layer.scale / layer.scale[slice_input.displayed[-1]]))


def _thickened(data_slice: Any, radius: float, *, is_exactly: bool) -> Any:
    """A slice that reaches at least this far to both sides, or exactly so far whatever the viewer's thickness is."""
    margins = {
        side: tuple(
            (radius if not np.isnan(margin) else margin) if is_exactly else float(np.fmax(margin, radius))
            for margin in getattr(data_slice, side)
        )
        for side in ("margin_left", "margin_right")
    }
    return dataclasses.replace(data_slice, **margins)


def _in_slab(request: Any, halves: NDArray[np.float64], widths: NDArray[np.float64]) -> Any:
    """A request whose points are nearer to the plane by half of a slab, in the layer's units, or in it.

    The widths are of voxels along each axis, in those that are seen in the plane, by which points are sized.
    """
    axes = [axis for axis in request.slice_input.not_displayed if halves[axis] > 0 or not np.isclose(widths[axis], 1)]
    if not axes or not len(request.data):
        return request
    data = np.asarray(request.data)
    points = np.array(data[:, :1] if data.ndim == 3 else data, dtype=np.float64)  # slices ask for starts of vectors
    places: NDArray[np.float64] = points[:, 0] if data.ndim == 3 else points
    for axis in axes:
        beyond = places[:, axis] - request.data_slice.point[axis]
        beyond -= np.clip(beyond, -halves[axis], halves[axis])
        places[:, axis] = request.data_slice.point[axis] + beyond * widths[axis]
    return dataclasses.replace(request, data=points)
