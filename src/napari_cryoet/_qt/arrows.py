"""Arrows whose tips don't lengthen the sliders: one steps through the volume, not through what sticks out of it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from napari.layers import Vectors as NapariVectors
from napari.layers.base.base import Extent, get_extent_world

from napari_cryoet._qt.steps import StepsWithTomograms


class _FromStarts(NapariVectors):  # type: ignore[misc] # napari is not typed
    """As large as the points where the arrows begin."""

    @cached_property
    def extent(self) -> Extent:
        """Where the arrows begin: the range of the sliders, in data and world coordinates."""
        whole = super().extent
        if len(self.data) == 0:
            return whole
        starts = np.asarray(self.data)[:, 0]
        corners = np.stack([starts.min(axis=0), starts.max(axis=0)])
        world = get_extent_world(corners, self._data_to_world)
        return Extent(data=corners, world=world, step=whole.step, units=whole.units)


class Vectors(StepsWithTomograms, _FromStarts):
    """napari's Vectors layer, as large as the points where its arrows begin, stepping with the tomogram.

    It has napari's own name since napari finds icons and writers by it.
    """
