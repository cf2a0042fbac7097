"""What of a layer a viewer will show first, which is foreseen since napari takes a while to add one, and until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.pyramid import Pyramid


def foresee(display: Display, viewer: ViewerModel | None, layer: Layer | None = None) -> None:
    """Have fetched what will be shown first, as soon as that can be told; not what is to be shown coarse only."""
    view = None if viewer is None or display.pyramid.stays_coarse else first_view(display.pyramid, viewer, layer)
    if view is not None:
        display.foresee(*view)


def first_view(pyramid: Pyramid, viewer: ViewerModel, layer: Layer | None = None) -> tuple[int, Box] | None:
    """The level and box that will be looked at first; None if that lies outside of the layer, or can't be told yet.

    napari shows the middle of the first layer, which can be told before there is a layer, and goes on from where it is
    with any other.
    """
    dims, shape = viewer.dims, pyramid.shapes[0]
    ndim = len(shape)
    order = dims.order if dims.ndim >= ndim else tuple(range(ndim))  # napari adds the axes that it lacks
    displayed = [axis - len(order) + ndim for axis in order[-dims.ndisplay :]]
    if len(displayed) == 3:
        coarsest = len(pyramid.shapes) - 1
        return coarsest, tuple((0, size) for size in pyramid.shapes[coarsest])
    point = [(size - 1) // 2 for size in shape]
    if viewer.layers and dims.ndim >= ndim:
        if layer is None:
            return None
        point = np.round(layer.world_to_data(dims.point[-ndim:])).astype(int).tolist()
    box = tuple((0, size) if axis in displayed else (point[axis], point[axis] + 1) for axis, size in enumerate(shape))
    is_inside = all(0 <= start < stop <= size for (start, stop), size in zip(box, shape, strict=True))
    return (0, box) if is_inside else None


def placeholder_of(layer: Layer, pyramid: Pyramid) -> float:
    """The value in the middle of what is visible: neither black nor white where nothing is known yet.

    The nearest to it that the type has: what is visible may reach beyond that, or lie beside it.
    """
    limits = getattr(layer, "contrast_limits", None)
    if limits is None or pyramid.is_labels:
        value: float = pyramid.fill_value
        return value
    middle, dtype = (limits[0] + limits[1]) / 2, pyramid.dtype
    if dtype.kind not in "iu":
        return float(middle) if dtype.kind == "f" else float(round(middle))
    return int(min(max(round(middle), np.iinfo(dtype).min), np.iinfo(dtype).max))
