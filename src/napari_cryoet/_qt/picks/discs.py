"""Picks as discs in every plane that cuts their particle, and not only in the plane that holds their centre.

napari 0.9 draws a point in a slice by ``projection_mode``: "rescale_spherical" gives the disc that the plane cuts out
of the point's sphere, but only for points within the viewer's slice thickness. That thickness belongs to the whole
viewer: with it, everybody's images would be averaged over the slab and everybody's points would show from afar. So the
slice is widened here for one layer only, in the requests that its slicing state makes. A napari without that seam draws
the picks in their own plane, as it always did.

A slab of picks works by the same seam. Within the slab, points are drawn as if they lay in the plane, and those outside
as discs that the slab's nearer face cuts out of them; with no thickness, that is the plane itself. napari compares how
far points are from the plane with their size on the screen in numbers of voxels: where these aren't cubes, points are
moved so that this holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt.files.napari_check import Feature, lacks
from napari_cryoet._qt.layers.layer_spacing import widths_in_sight
from napari_cryoet._qt.streaming import napari_internals

#: More arrows in three dimensions would hold up the window for seconds; of more, every n-th pick's are drawn.
MOST_ARROWS_IN_3D: Final = 50_000

_OUR_MODES: Final = frozenset({"rescale_spherical", "fade"})


def show_as_discs(layer: Layer, *, radius: Callable[[], float] | None = None) -> bool:
    """Let points, or arrows, show in all planes within their radius; False where this napari can't do that.

    Parameters
    ----------
    layer
        A Points or Vectors layer; anything else is left alone.
    radius
        Of the particles that arrows belong to, in the layer's own units; by default half of the longest arrow.
    """
    if not isinstance(layer, Points | Vectors) or lacks(Feature.DISCS):
        return False
    state = napari_internals.slicing_state_of(layer)
    if radius is not None:
        state.radius = radius
    if getattr(state, "shows_discs", False):
        return True
    state.shows_discs = napari_internals.change_requests(layer, partial(_thick_request, layer, state))
    layer.refresh()
    return bool(state.shows_discs)


def _thick_request(
    layer: Points | Vectors, state: Any, make_request: napari_internals.Requests, slice_input: Any, data_slice: Any
) -> Any:
    reach = getattr(state, "radius", None) or (lambda: radius_of(layer))
    is_exactly = str(layer.projection_mode) in _OUR_MODES
    request = make_request(slice_input, thickened(data_slice, reach(), is_exactly=is_exactly))
    if not slice_input.not_displayed:
        return thinned(request, getattr(state, "arrows_a_pick", 1)) if isinstance(layer, Vectors) else request
    return in_slab(request, slab_of(layer), widths_in_sight(layer, slice_input.displayed))


def show_as_discs_like(copy: Layer, layer: Layer) -> None:
    """Show a copy as discs, and as thick a slab, where the layer does that."""
    state = napari_internals.slicing_state_of(layer)
    if getattr(state, "shows_discs", False):
        show_as_discs(copy, radius=getattr(state, "radius", None))
        show_slab(copy, slab_of(layer))


def say_arrows_a_pick(vectors: Vectors, count: int) -> None:
    """Say how many arrows each pick has, so that where there are too many to draw, those of a pick stay together."""
    state = napari_internals.slicing_state_of(vectors)
    if state is not None:
        state.arrows_a_pick = count


def show_slab(layer: Points | Vectors, thickness: Sequence[float]) -> bool:
    """Show all points of a slab around the plane, so thick across each axis in the layer's own units; none by default.

    False where this napari can't do that.
    """
    if not show_as_discs(layer):
        return False
    if slab_of(layer) != tuple(thickness):
        napari_internals.slicing_state_of(layer).slab = tuple(thickness)
        layer.refresh(extent=False)
    return True


def slab_of(layer: Layer) -> tuple[float, ...]:
    """How thick the slab is that `show_slab` gave a layer, across each axis; empty where nobody did."""
    slab: tuple[float, ...] = getattr(napari_internals.slicing_state_of(layer), "slab", ())
    return slab


def radius_of(layer: Points | Vectors) -> float:
    """Of the largest point, or of the particle that an arrow belongs to; in the layer's own units."""
    if isinstance(layer, Points):
        return float(layer.size.max()) / 2 if len(layer.size) else 0.0
    lengths = np.linalg.norm(layer.data[:, 1], axis=1)
    return float(lengths.max()) / 2 if len(lengths) else 0.0


def thickened(data_slice: Any, radius: float, *, is_exactly: bool = False) -> Any:
    """A slice that reaches at least this far to both sides, or exactly so far whatever the viewer's thickness is."""
    margins = {
        side: tuple(
            (radius if not np.isnan(margin) else margin) if is_exactly else float(np.fmax(margin, radius))
            for margin in getattr(data_slice, side)
        )
        for side in ("margin_left", "margin_right")
    }
    return dataclasses.replace(data_slice, **margins)


def in_slab(request: Any, thickness: Sequence[float], widths: NDArray[np.float64]) -> Any:
    """A slice request whose points are nearer to the plane by half of a slab, or in it.

    Parameters
    ----------
    thickness
        Of the slab across each axis, in the layer's own units; empty where there is none.
    widths
        Of voxels along each axis, in those that are seen in the plane, which the size of points is counted in.
    """
    halves = np.zeros(len(widths)) if not len(thickness) else np.divide(thickness, 2)
    axes = [axis for axis in request.slice_input.not_displayed if halves[axis] > 0 or not np.isclose(widths[axis], 1)]
    if not axes or not len(request.data):
        return request
    data = np.asarray(request.data)
    points = np.array(
        data[:, :1] if data.ndim == 3 else data, dtype=np.float64
    )  # of vectors, slices ask for the starts
    places: NDArray[np.float64] = points[:, 0] if data.ndim == 3 else points
    for axis in axes:
        beyond = places[:, axis] - request.data_slice.point[axis]
        beyond -= np.clip(beyond, -halves[axis], halves[axis])
        places[:, axis] = request.data_slice.point[axis] + beyond * widths[axis]
    return dataclasses.replace(request, data=points)


def thinned(request: Any, arrows_a_pick: int = 1) -> Any:
    """A request for arrows in three dimensions that gives those of every n-th pick, if there are too many of them."""
    step = thinning(len(request.data))
    if step == 1:
        return request
    kind = type(request)
    thin = dataclasses.replace(request)
    thin_kind = type(f"Thin{kind.__name__}", (_Thin, kind), {"step": step, "arrows_a_pick": arrows_a_pick})
    object.__setattr__(thin, "__class__", thin_kind)
    return thin


def thinning(n_arrows: int) -> int:
    """Of how many picks one has its arrows drawn in three dimensions."""
    return max(1, -(-n_arrows // MOST_ARROWS_IN_3D))


class _Thin:
    """Over a slice request: gives the arrows of every n-th pick."""

    step: int
    arrows_a_pick: int

    def __call__(self) -> Any:
        response = super().__call__()  # type: ignore[misc]
        is_kept = (np.arange(len(response.indices)) // self.arrows_a_pick) % self.step == 0
        return dataclasses.replace(response, indices=response.indices[is_kept], alphas=response.alphas[is_kept])
