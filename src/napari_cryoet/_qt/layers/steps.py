"""Sliders that step by the tomogram's planes, however fine the grid was in which picks or masks were counted.

napari lets each slider step by the smallest voxel of all layers. Picks counted at 4.99 Å over a tomogram of 13.48 Å
would so show every plane two or three times. Positions have nothing to do with it: they stay where they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Layer
from napari.layers.base.base import Extent

from napari_cryoet.layers.specs import METADATA_KEY

if TYPE_CHECKING:
    from napari.components.layerlist import LayerList
    from numpy.typing import NDArray


class StepsWithTomograms:
    """Over a layer that lies on tomograms: where there is one beside it, it steps as that does."""

    _beside: weakref.ReferenceType[LayerList] | None = None

    def lie_beside(self, layers: LayerList) -> None:
        """Say in which viewer's list the layer is."""
        self._beside = weakref.ref(layers)

    @property
    def extent(self) -> Extent:
        """Where the layer is, in data and world coordinates, and how far apart its planes are."""
        own: Extent = super().extent  # type: ignore[misc] # napari keeps it until the layer changes
        layers = self._beside() if self._beside is not None else None
        step = None if layers is None else step_of_tomograms(layers, own)
        return own if step is None else own._replace(step=step)

    @extent.deleter
    def extent(self) -> None:
        self.__dict__.pop("extent", None)  # what napari keeps


def step_of_tomograms(layers: Iterable[Layer], like: Extent) -> NDArray[np.float64] | None:
    """The smallest voxel of our tomograms along each axis, if they have a layer's units; None where there is none."""
    units = [str(unit) for unit in like.units]
    extents = [layer.extent for layer in layers if isinstance(layer, Image) and METADATA_KEY in layer.metadata]
    steps = [extent.step for extent in extents if [str(unit) for unit in extent.units] == units]
    return np.min(steps, axis=0) if steps else None
