"""Our types of points and arrows layers: large ones stay fast to step through, and both step with the tomogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Points as NapariPoints
from napari.layers import Vectors as NapariVectors
from numpy.typing import NDArray

from napari_cryoet._qt.layers.types import StepsWithTomograms, corners_of
from napari_cryoet._qt.streaming.seam import OwnCorners, SparseThumbnail


class _FastCorners(OwnCorners, NapariPoints):  # type: ignore[misc] # napari is not typed
    def corners(self) -> NDArray[np.float64]:
        """Where the first and the last point are along each axis."""
        return corners_of(np.asarray(self.data))

    def as_layer_data_tuple(self) -> tuple[Any, Any, str]:
        """What a copy is made of. In a table, napari refuses missing values of columns of whole numbers."""
        data, state, kind = super().as_layer_data_tuple()
        defaults = state["feature_defaults"].to_dict("records")
        state["feature_defaults"] = defaults[0] if defaults else {}
        return data, state, kind


class Points(StepsWithTomograms, _FastCorners):
    """napari's Points layer. It keeps napari's name, by which napari finds icons and writers."""


class _CornersOfStarts(SparseThumbnail, OwnCorners, NapariVectors):  # type: ignore[misc]
    """As large as the points where the arrows begin: sliders step through the volume, not through its tips."""

    _measured: tuple[Any, NDArray[np.float64]] | None = None

    def corners(self) -> NDArray[np.float64]:
        """Where the arrows begin, at least and at most; napari asks several times a step."""
        data = self.data
        if self._measured is None or self._measured[0] is not data:
            rows = np.asarray(data)
            n_axes = rows.shape[2]
            self._measured = (data, corners_of(rows.reshape(-1, 2 * n_axes))[:, :n_axes])
        return self._measured[1].copy()


class Vectors(StepsWithTomograms, _CornersOfStarts):
    """napari's Vectors layer, with the extent of the points where its arrows begin."""
