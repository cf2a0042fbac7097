"""How numbers are spread: a few that sum them up, and a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BINS: Final = 20
_NARROWEST: Final = 0.1  # Å or degrees: what is less is said as 0.0, and at last is but what rounding leaves
_STEPS: Final = (1.0, 2.0, 3.0, 5.0, 6.0, 9.0, 10.0)  # times a power of ten


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Numbers of one kind, summed up.

    Attributes
    ----------
    unit
        ``"Å"`` or ``"°"``.
    edges, counts
        Of the histogram's bins: one edge more than counts. A number on an edge counts in the bin above, the largest
        one in the last bin.
    """

    unit: str
    count: int
    mean: float
    median: float
    largest: float
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "unit": self.unit,
            "count": self.count,
            "mean": self.mean,
            "median": self.median,
            "largest": self.largest,
            "histogram": {"edges": self.edges.tolist(), "counts": self.counts.tolist()},
        }


def spread_of(values: NDArray[np.float64], unit: str, *, top: float | None = None) -> Spread | None:
    """The spread of finite values; None of no values.

    Parameters
    ----------
    top
        Where the histogram ends, and more counts in its last bin; else at a round number that holds all values. It
        begins at 0, or at a round number below the smallest value where some are negative.
    """
    if len(values) == 0:
        return None
    smallest, largest = float(values.min()), float(values.max())
    bottom = -_round_up(-smallest) if smallest < 0 else 0.0
    end = top if top is not None else _round_up(largest) if largest > 0 or bottom == 0 else 0.0
    counts, edges = np.histogram(np.minimum(values, end), bins=_BINS, range=(bottom, end))
    return Spread(
        unit=unit,
        count=len(values),
        mean=float(values.mean()),
        median=float(np.median(values)),
        largest=largest,
        edges=edges,
        counts=counts.astype(np.int64),
    )


def _round_up(value: float) -> float:
    """The smallest round number that isn't below a value, from a tenth on; 1 for zero."""
    if value <= 0:
        return 1.0
    value = max(value, _NARROWEST)
    power = float(10.0 ** np.floor(np.log10(value)))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)
