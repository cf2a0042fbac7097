"""Picks as discs in every plane that cuts their particle, and not only in the plane that holds their centre.

napari 0.9 draws a point in a slice by ``projection_mode``: "rescale_spherical" gives the disc that the plane cuts out
of the point's sphere, but only for points within the viewer's slice thickness. That thickness belongs to the whole
viewer: with it, everybody's images would be averaged over the slab and everybody's points would show from afar. So the
slice is widened here for one layer only, in the requests that its slicing state makes. A napari without that seam draws
the picks in their own plane, as it always did.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from napari.layers import Layer, Points, Vectors

_SEAMS = ("make_slice_request_internal", "_make_slice_request_internal")  # of points, of vectors


def show_as_discs(layer: Layer) -> bool:
    """Let points, or arrows, show in all planes within their radius; False where this napari can't do that."""
    state = layer._slicing_state
    name = next((name for name in _SEAMS if hasattr(state, name)), None)
    if name is None or not isinstance(layer, Points | Vectors):
        return False
    if getattr(state, "shows_discs", False):
        return True
    state.shows_discs = True
    make_request = getattr(state, name)

    def make_thick_request(slice_input: Any, data_slice: Any) -> Any:
        return make_request(slice_input, thickened(data_slice, radius_of(layer)))

    setattr(state, name, make_thick_request)
    layer.refresh()
    return True


def radius_of(layer: Points | Vectors) -> float:
    """Of the largest point, or of the particle that an arrow belongs to; in the layer's own units."""
    if isinstance(layer, Points):
        return float(layer.size.max()) / 2 if len(layer.size) else 0.0
    lengths = np.linalg.norm(layer.data[:, 1], axis=1)
    return float(lengths.max()) / 2 if len(lengths) else 0.0


def thickened(data_slice: Any, radius: float) -> Any:
    """A slice that reaches at least this far to both sides."""
    margins = {
        side: tuple(float(np.fmax(margin, radius)) for margin in getattr(data_slice, side))
        for side in ("margin_left", "margin_right")
    }
    return dataclasses.replace(data_slice, **margins)
