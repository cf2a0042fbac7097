"""Volumes whose padding doesn't lengthen the sliders: one steps through what was stored, and sees no empty plane.

The levels of a pyramid are padded so that each is exactly half of the one before. The classes have napari's own names
since napari finds icons and writers by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as NapariImage
from napari.layers import Labels as NapariLabels

from napari_cryoet.streaming.pyramid import pyramid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Unpadded:
    """Over a layer of levels: as large as the volume without its padding."""

    data: Any

    @property
    def _extent_data(self) -> NDArray[Any]:
        extent: NDArray[Any] = super()._extent_data  # type: ignore[misc]
        pyramid = pyramid_of(self.data)
        if pyramid is not None:
            extent[1] = np.minimum(extent[1], np.array(pyramid.shapes[0]) - 1)
        return extent


class Image(_Unpadded, NapariImage):  # type: ignore[misc] # napari is not typed
    """napari's Image layer, as large as what was stored."""


class Labels(_Unpadded, NapariLabels):  # type: ignore[misc]
    """napari's Labels layer, as large as what was stored."""
