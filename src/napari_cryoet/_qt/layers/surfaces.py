"""Meshes whose own scale doesn't set how far the sliders step."""

from __future__ import annotations

from napari.layers import Surface as NapariSurface

from napari_cryoet._qt.layers.steps import StepsWithTomograms


class Surface(StepsWithTomograms, NapariSurface):  # type: ignore[misc] # napari is not typed
    """napari's Surface layer, stepping with the tomogram that it lies on.

    It has napari's own name since napari finds icons and writers by it.
    """
