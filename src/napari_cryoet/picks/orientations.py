"""Draw orientations as an arrow along each particle's z axis, or as a triad of its three axes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks.picks import Picks


class Orientation(StrEnum):
    """How to draw an orientation."""

    ARROWS = "arrows"
    TRIADS = "triads"
    OFF = "off"


#: RGBA; Okabe and Ito's vermilion, bluish green and sky blue, which colour-blind people can tell
#: apart.
AXIS_COLORS: Final = ((0.835, 0.369, 0.0, 1.0), (0.0, 0.62, 0.451, 1.0), (0.337, 0.706, 0.914, 1.0))
#: The length of each axis of a triad relative to z, so that they differ in print too.
AXIS_SHARES: Final = (0.5, 0.75, 1.0)
_AXES_DRAWN: Final = {Orientation.OFF: (), Orientation.ARROWS: (2,), Orientation.TRIADS: (0, 1, 2)}


@dataclass(frozen=True, slots=True)
class OrientationVectors:
    """Arrows to draw, grouped by pick."""

    data: NDArray[
        np.float64
    ]  # (n, 2, 3), start and direction, z, y, x, in voxels of the picks' grid
    rows: NDArray[np.intp]  # of the arrows' picks
    axes: NDArray[np.intp]  # of the particle: 0 for x, 1 for y, 2 for z

    def __len__(self) -> int:
        return len(self.data)


def orientation_vectors(
    picks: Picks,
    orientation: Orientation,
    length_voxels: float,
    which: NDArray[np.bool_] | None = None,
) -> OrientationVectors:
    """Arrows for picks with a proper rotation, optionally limited to a mask.

    ``length_voxels`` is the length of z.
    """
    is_drawn = picks.are_oriented if which is None else picks.are_oriented & which
    rows = np.flatnonzero(is_drawn)
    axes = _AXES_DRAWN[orientation]
    data = np.zeros((len(rows), len(axes), 2, 3))
    data[:, :, 0] = picks.points_zyx[rows, None]
    for column, axis in enumerate(axes):
        directions = picks.particle_axes_zyx(axis)
        if directions is not None:
            data[:, column, 1] = directions[rows] * (length_voxels * AXIS_SHARES[axis])
    return OrientationVectors(
        data.reshape(-1, 2, 3),
        np.repeat(rows, len(axes)),
        np.tile(np.array(axes, dtype=np.intp), len(rows)),
    )


def line_width(orientation: Orientation, length: float) -> float:
    """The line width for arrows of a length, in the same unit."""
    return length / (16.0 if orientation == Orientation.TRIADS else 12.0)
