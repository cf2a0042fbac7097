"""Picks whose own voxels don't set how far the sliders step."""

from __future__ import annotations

from napari.layers import Points as NapariPoints

from napari_cryoet._qt.steps import StepsWithTomograms


class Points(StepsWithTomograms, NapariPoints):  # type: ignore[misc] # napari is not typed
    """napari's Points layer, stepping with the tomogram that it lies on.

    It has napari's own name since napari finds icons and writers by it.
    """
