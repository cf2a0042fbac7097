"""How orientations are drawn: an arrow along each particle's z axis, or all three axes of its own frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.picks import Picks


class Orientation(StrEnum):
    """What is drawn of an orientation."""

    ARROWS = "arrows"
    TRIADS = "triads"
    OFF = "off"


AXIS_NAMES: Final = ("x", "y", "z")
#: Okabe and Ito's vermillion, bluish green and sky blue, which the colour-blind tell apart.
AXIS_COLORS: Final[tuple[RGBA, ...]] = ((0.835, 0.369, 0.0, 1.0), (0.0, 0.62, 0.451, 1.0), (0.337, 0.706, 0.914, 1.0))
#: How long each axis of a triad is, against z: so they are told apart in print too.
AXIS_SHARES: Final = (0.5, 0.75, 1.0)
_LINES_A_LENGTH: Final = {Orientation.ARROWS: 12.0, Orientation.TRIADS: 16.0}


@dataclass(frozen=True, slots=True)
class OrientationVectors:
    """What is drawn, one row for each arrow; those of a pick follow each other.

    Attributes
    ----------
    data
        float64 (n, 2, 3), start and direction, z, y, x, in voxels of the picks' grid.
    rows
        Which pick each belongs to, by its place among the picks.
    axes
        Which of the particle's axes each is: 0 for x, 1 for y, 2 for z.
    """

    data: NDArray[np.float64]
    rows: NDArray[np.intp]
    axes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.data)


def orientation_vectors(
    picks: Picks, orientation: Orientation, length_voxels: float, which: NDArray[np.bool_] | None = None
) -> OrientationVectors:
    """The arrows of all picks, or of some, that have a proper rotation; picks without have none.

    Parameters
    ----------
    picks
        What is drawn, in its own voxels.
    orientation
        How.
    length_voxels
        Of the z axis; those of x and y are shorter by `AXIS_SHARES`.
    which
        A mask of the picks to draw.
    """
    is_drawn = picks.are_oriented if which is None else picks.are_oriented & which
    rows = np.flatnonzero(is_drawn)
    axes = {Orientation.OFF: (), Orientation.ARROWS: (2,), Orientation.TRIADS: (0, 1, 2)}[orientation]
    drawn = picks if len(rows) == len(picks) else picks.take(rows)
    data = np.empty((len(rows), len(axes), 2, 3))
    for place, axis in enumerate(axes):
        data[:, place, 0] = drawn.points_zyx
        along = drawn.particle_axes_zyx(axis)
        np.multiply(0.0 if along is None else along, length_voxels * AXIS_SHARES[axis], out=data[:, place, 1])
    return OrientationVectors(
        data.reshape(-1, 2, 3), np.repeat(rows, len(axes)), np.tile(np.array(axes, dtype=np.intp), len(rows))
    )


def line_width(orientation: Orientation, length: float) -> float:
    """How wide arrows of a length are drawn, in the same unit."""
    return length / _LINES_A_LENGTH.get(orientation, 12.0)
