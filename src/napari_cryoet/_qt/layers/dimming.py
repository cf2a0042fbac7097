"""Makes rejected picks faint in the viewer while they are reviewed. Only opacities change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from napari.layers import Points, Vectors
from numpy.typing import NDArray

#: What is left of the opacity.
DIM: Final = 0.2
_ROUNDING: Final = 1e-6


class Dimming:
    """An array of colours, one row each, of which some are dimmed.

    Parameters
    ----------
    colors
        Gives the array that the layer holds.
    redraw
        Draws the layer again.
    """

    def __init__(self, colors: Callable[[], NDArray[np.float64]], redraw: Callable[[], object]) -> None:
        self._colors, self._redraw = colors, redraw
        self._ids = np.empty(0, dtype=np.int64)  # of picks that are dimmed, in order
        self._opacities = np.empty(0)  # of these before

    def show(self, row_ids: NDArray[np.int64], dimmed: NDArray[np.int64]) -> None:
        """Dim the rows of some picks, and no others.

        Parameters
        ----------
        row_ids
            Which pick each row belongs to.
        dimmed
            The picks whose rows are dim.
        """
        colors = self._colors()
        if len(colors) != len(row_ids):
            return  # the layer is being changed, and tells when that is done
        opacities = colors[:, 3]
        self._restore(opacities, row_ids)
        rows = np.flatnonzero(np.isin(row_ids, dimmed))
        ids, first = np.unique(row_ids[rows], return_index=True)
        is_gone = ~np.isin(self._ids, row_ids)  # such a pick may come back by undo
        known = np.concatenate([ids, self._ids[is_gone]])
        before = np.concatenate([opacities[rows[first]], self._opacities[is_gone]])
        order = np.argsort(known)
        self._ids, self._opacities = known[order], before[order]
        opacities[rows] *= DIM
        self._redraw()

    def _restore(self, opacities: NDArray[np.float64], row_ids: NDArray[np.int64]) -> None:
        """Take the dimming back, except where somebody chose another opacity meanwhile."""
        rows = np.flatnonzero(np.isin(row_ids, self._ids))
        before = self._opacities[np.searchsorted(self._ids, row_ids[rows])]
        is_ours = np.abs(opacities[rows] - before * DIM) <= _ROUNDING
        opacities[rows[is_ours]] = before[is_ours]


def dimmings_of(layer: Points | Vectors) -> list[Dimming]:
    """One for each array of colours of a layer."""
    if isinstance(layer, Vectors):
        return [Dimming(lambda: layer.edge_color, layer.events.edge_color)]
    return [
        Dimming(lambda: layer.face_color, lambda: None),  # drawn with the borders
        Dimming(lambda: layer.border_color, layer.events.border_color),
    ]
