"""Arrows whose tips don't lengthen the sliders: one steps through the volume, not through what sticks out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Vectors as NapariVectors
from numpy.typing import NDArray

from napari_cryoet._qt.layers.extents import corners_of
from napari_cryoet._qt.layers.steps import StepsWithTomograms
from napari_cryoet._qt.streaming.napari_internals import OwnCorners, SparseThumbnail


class _FromStarts(SparseThumbnail, OwnCorners, NapariVectors):  # type: ignore[misc] # napari is not typed
    """As large as the points where the arrows begin."""

    _measured: tuple[Any, NDArray[np.float64]] | None = None

    def corners(self) -> NDArray[np.float64]:
        """Where the arrows begin, at least and at most; napari asks for it several times a step."""
        data = self.data
        if self._measured is None or self._measured[0] is not data:
            rows = np.asarray(data)
            n_axes = rows.shape[2]
            self._measured = (data, corners_of(rows.reshape(-1, 2 * n_axes))[:, :n_axes])  # tips cost no more
        return self._measured[1].copy()


class Vectors(StepsWithTomograms, _FromStarts):
    """napari's Vectors layer, as large as the points where its arrows begin, stepping with the tomogram.

    It has napari's own name since napari finds icons and writers by it.
    """
