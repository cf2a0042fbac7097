"""Picks whose own voxels don't set how far the sliders step, and whose table is known to be edited."""

from __future__ import annotations

from typing import Any

from napari.layers import Points as NapariPoints

from napari_cryoet._qt.layer_picks import onlookers
from napari_cryoet._qt.steps import StepsWithTomograms


class Points(StepsWithTomograms, NapariPoints):  # type: ignore[misc] # napari is not typed
    """napari's Points layer, stepping with the tomogram that it lies on.

    It has napari's own name since napari finds icons and writers by it.
    """

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
