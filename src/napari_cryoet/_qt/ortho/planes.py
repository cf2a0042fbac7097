"""The planes of a tomogram beside its own XY, and what their numbers are counted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from napari.components import ViewerModel


@dataclass(frozen=True, slots=True)
class Plane:
    """Which of the last three axes (z, y, x as -3, -2, -1) a view shows down and across, and which it lies across."""

    name: str
    down: int
    right: int
    across: int


XZ: Final = Plane("XZ", down=-3, right=-1, across=-2)
YZ: Final = Plane("YZ", down=-3, right=-2, across=-1)
AXIS_NAMES: Final = {-3: "z", -2: "y", -1: "x"}


def unit_of(viewer: ViewerModel) -> str:
    """What a viewer's world is counted in, where that is ångström; else nothing."""
    units = viewer.layers.extent.units if viewer.layers else None
    return "Å" if units and str(units[-1]) == "angstrom" else ""
