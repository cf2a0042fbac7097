"""Points layers whose table is known to be edited, and picks whose own voxels don't set how far the sliders step."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Points as NapariPoints
from numpy.typing import NDArray

from napari_cryoet._qt.layers.extents import corners_of
from napari_cryoet._qt.layers.steps import StepsWithTomograms
from napari_cryoet._qt.picks.layer_picks import onlookers
from napari_cryoet._qt.streaming.napari_internals import OwnCorners


class _Watched(OwnCorners, NapariPoints):  # type: ignore[misc] # napari is not typed
    """napari's Points layer, which says when its table may be edited and can be copied whatever is in it."""

    @property
    def features(self) -> Any:
        """Napari's table of features; its widget for that edits it in place, and tells nobody."""
        look_again = onlookers.get(self)
        if look_again is not None:
            look_again()
        return super().features

    @features.setter
    def features(self, features: Any) -> None:
        NapariPoints.features.fset(self, features)

    def corners(self) -> NDArray[np.float64]:
        """Where the first and the last point are along each axis."""
        return corners_of(np.asarray(self.data))

    def as_layer_data_tuple(self) -> tuple[Any, Any, str]:
        """What a copy is made of. In a table, napari refuses what is missing in a column of whole numbers."""
        data, state, kind = super().as_layer_data_tuple()
        defaults = state["feature_defaults"].to_dict("records")
        state["feature_defaults"] = defaults[0] if defaults else {}
        return data, state, kind


class Points(StepsWithTomograms, _Watched):
    """napari's Points layer, stepping with the tomogram that it lies on.

    It has napari's own name since napari finds icons and writers by it.
    """


def watch(layer: NapariPoints) -> None:
    """Let a person's own layer say when its table may be edited; otherwise it stays as it is."""
    if type(layer) is NapariPoints:
        layer.__class__ = _OWN_TYPE


_OWN_TYPE = type("Points", (_Watched,), {"__module__": __name__})  # a person's own, under napari's name
