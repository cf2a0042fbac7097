"""How far two orientations of a particle are apart, also where the particle looks the same after a part of a turn."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.expecting import expect

MAX_FOLD: Final = 1000


def fold_of(symmetry: str) -> int:
    """How often a particle of a rotational symmetry looks the same in one turn about its z axis.

    >>> fold_of("C1"), fold_of("c13")
    (1, 13)

    Raises
    ------
    ValueError
        If it isn't written C1, C2, C3...
    """
    expect(symmetry, str, "symmetry", "Say 'C1', 'C2', 'C3', …")
    match = re.fullmatch(r"[Cc]([1-9][0-9]{0,3})", symmetry.strip())
    if match is None or int(match[1]) > MAX_FOLD:
        raise ValueError(f"{symmetry!r} is no symmetry that is known here; say C1, C2, C3, …")
    return int(match[1])


def angular_errors(
    rotations_a_xyz: NDArray[np.float64], rotations_b_xyz: NDArray[np.float64], fold: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The angle of the rotation between orientations, and how far the z axes are tilted to each other, in degrees.

    With the quaternion (x, y, z, w) of the rotation from A to B in the particle's frame, it is a turn by
    2 atan2(z, w) about z, then a tilt of z by 2 atan2(√(x² + y²), √(z² + w²)). An n-fold axis leaves of the turn what
    is beyond the nearest multiple of 360°/n, and the tilt as it is. Formulas in atan2 stay exact for small angles.

    Parameters
    ----------
    rotations_a_xyz, rotations_b_xyz
        (n, 3, 3) proper rotations, active, particle to volume, in x, y, z.
    fold
        As `fold_of` gives it; the axis is the particle's z.

    Returns
    -------
    rotation_errors_degree, tilt_errors_degree
        (n,) from 0 to 180 each; the first is never smaller than the second.
    """
    from scipy.spatial.transform import Rotation

    if len(rotations_a_xyz) == 0:
        return np.empty(0), np.empty(0)
    x, y, z, w = (Rotation.from_matrix(rotations_a_xyz).inv() * Rotation.from_matrix(rotations_b_xyz)).as_quat().T
    half_tilt = np.arctan2(np.hypot(x, y), np.hypot(z, w))
    turn = 2 * np.arctan2(z, w)
    period = 2 * np.pi / fold
    half_turn = (turn - period * np.rint(turn / period)) / 2
    sine = np.hypot(np.sin(half_tilt), np.cos(half_tilt) * np.sin(half_turn))
    half_angle = np.arctan2(sine, np.abs(np.cos(half_tilt) * np.cos(half_turn)))
    return np.degrees(2 * half_angle), np.degrees(2 * half_tilt)
