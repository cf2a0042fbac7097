"""The columns of Dynamo tables: what they are called, and what stands in them where nobody said anything.

What they mean is told in `napari_cryoet.formats.dynamo`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.dynamo_shifts import SHIFT

ANGLES: Final = ("tdrot", "tilt", "narot")
POSITION: Final = ("x", "y", "z")
FIRST_VOXEL: Final = 1.0
OWN: Final = frozenset({*ANGLES, *POSITION, *SHIFT, "tag", "cc", "tomo", "reg", "apix"})
#: What a table says where nobody said anything; 0 in all other columns.
UNSAID: Final = {"aligned_value": 1.0}
#: Under this name `Picks.about` has Dynamo's number of the tomogram.
TOMOGRAM_NUMBER: Final = "tomogram_number"


def all_columns() -> tuple[str, ...]:
    """The names of the 42 columns, in their order."""
    from dynamotable.constants import COLUMN_NAME_TO_COLUMN_NUMBER

    return tuple(COLUMN_NAME_TO_COLUMN_NUMBER)


def is_said(name: str, column: NDArray[Any]) -> NDArray[np.bool_]:
    """In which rows a column has something else than where nobody said anything."""
    return np.asarray(np.isfinite(column) & (column != UNSAID.get(name, 0.0)))


def are_whole(column: NDArray[np.float64]) -> bool:
    """Whether all are whole numbers that integers of 64 bits can be."""
    return bool((column == np.round(column)).all() and ((column >= -(2**63)) & (column < 2**63)).all())
