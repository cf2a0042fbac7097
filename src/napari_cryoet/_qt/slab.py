"""How thick the viewer's slice is: thick enough that a pick shows as a disc in every plane that cuts its particle.

napari 0.9 draws a point in a slice by ``projection_mode``: "rescale_spherical" gives the disc that the plane cuts out
of the point's sphere, but only for points within the viewer's slice thickness. Images and masks ignore the thickness
as long as their own projection mode is "none".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points, Vectors


class Slab:
    """Keeps the slice as thick as our largest particle, unless that would change how somebody else's layers look."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._given: tuple[float, ...] | None = None

    def fit(self, own: Iterable[Layer], strangers: Iterable[Layer]) -> None:
        """Fit the thickness to our layers; a thickness that the person has chosen stays."""
        dims = self._viewer.dims
        is_chosen = any(dims.thickness) and dims.thickness != self._given
        if dims.ndim < 3 or is_chosen or any(isinstance(layer, Points | Vectors) for layer in strangers):
            return
        wanted = max((_diameter(layer) for layer in own if isinstance(layer, Points)), default=0.0)
        thickness = (0.0,) * (dims.ndim - 3) + (wanted,) * 3
        if dims.thickness != thickness:
            dims.thickness = thickness
        self._given = dims.thickness


def _diameter(layer: Points) -> float:
    """Of the largest point, in world units."""
    return float(layer.size.max() * np.max(layer.scale)) if len(layer.size) else 0.0
