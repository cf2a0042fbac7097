"""Contrast limits at first sight: what most voxels are between, whatever a few outliers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PERCENTILES = (0.5, 99.5)
_MAX_VALUES = 2**20


def robust_limits(values: NDArray[Any]) -> tuple[float, float] | None:
    """Limits that let background noise fill the greys, so that protein reads dark (or bright) on grey.

    Exact zeros don't count where there are other values: reconstructions are padded with them. NaN and infinite values
    don't count either.

    Parameters
    ----------
    values
        Of the level that is looked at: averaging shrinks the noise, so limits from a coarse level saturate a fine one.

    Returns
    -------
    tuple or None
        None where all values are the same, so that no limits make sense.
    """
    flat = values.ravel()
    flat = flat[:: max(1, flat.size // _MAX_VALUES)].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if np.any(flat):
        flat = flat[flat != 0] if values.dtype.kind == "f" else flat
    if flat.size == 0:
        return None
    low, high = (float(limit) for limit in np.percentile(flat, _PERCENTILES))
    if low == high:
        low, high = float(flat.min()), float(flat.max())
    return (low, high) if low < high else None
