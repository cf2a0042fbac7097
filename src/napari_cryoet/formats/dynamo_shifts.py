"""Where Dynamo has cut out a particle: at x, y, z of its table, beside which the particle lies by dx, dy, dz voxels.

Picks lie at the sum of the two, and have the shifts as columns of their own, so that a table that is written again
names the places that its images were cut out at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHIFT: Final = ("dx", "dy", "dz")
#: In voxels; beside longer ones, places would lose digits, and no particle is so far from its image.
_FAR: Final = 1e5


def shifts_of(features: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """The shifts of picks (n, 3) in x, y, z, 0 where nothing is said; None where their columns say no such thing."""
    columns = [features.get(name) for name in SHIFT]
    if any(column is None or column.dtype.kind not in "iuf" for column in columns):
        return None
    stacked = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    shifts = np.nan_to_num(stacked, nan=0.0, posinf=0.0, neginf=0.0)
    return shifts if np.abs(shifts).max(initial=0.0) < _FAR else None


def shift_columns(shifts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The same as columns; none where nothing is shifted."""
    return dict(zip(SHIFT, shifts.T, strict=True)) if shifts.any() else {}
