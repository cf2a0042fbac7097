"""Rejected picks, faint in the viewer as long as they are reviewed, and afterwards exactly as they were.

Only opacities are changed, in the colours that a layer holds, so its colour mode and everything else stay as a person
chose them. What somebody recolours meanwhile keeps its new colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from napari.layers import Points, Vectors
from numpy.typing import NDArray

#: What is left of the opacity.
DIM: Final = 0.2

Ids = NDArray[np.int64]


class DimmedColors:
    """One array of colours, one row each, of which some are dimmed.

    Parameters
    ----------
    colors
        Gives the array that the layer holds.
    changed
        Lets the layer be drawn anew.
    """

    def __init__(self, colors: Callable[[], NDArray[np.float64]], changed: Callable[[], None]) -> None:
        self._colors, self._changed = colors, changed
        self._row_ids = self._ids = np.empty(0, np.int64)
        self._rows = np.empty(0, np.intp)
        self._base = self._shown = np.empty((0, 4))
        self._gone: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def show(self, row_ids: Ids, dimmed: Ids) -> None:
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
            return  # the layer is in the middle of a change, and tells of its end
        self._give_back(colors, row_ids)
        self._row_ids, self._rows = row_ids, np.flatnonzero(np.isin(row_ids, dimmed))
        self._ids, self._base = row_ids[self._rows], colors[self._rows]
        colors[self._rows, 3] *= DIM
        self._shown = colors[self._rows]
        self._changed()

    def undimmed(self, row_ids: Ids, colors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colours of rows as they were before they were dimmed."""
        if not len(self._ids):
            return colors
        _, rows, which = np.intersect1d(row_ids, self._ids, return_indices=True)
        found = np.array(colors)
        found[rows] = _undimmed(found[rows], self._shown[which], self._base[which])
        return found

    def brightened(self, colors: NDArray[np.float64], atol: float = 1e-6) -> NDArray[np.float64]:
        """Colours, of whatever it is, with what dim picks have replaced by what these had before."""
        shown, first = np.unique(self._shown, axis=0, return_index=True)
        found = np.array(colors)
        for row, color in enumerate(found):
            alike = np.flatnonzero(np.isclose(shown, color, rtol=0, atol=atol).all(axis=1))
            if len(alike):
                found[row] = self._base[first[alike[0]]]
        return found

    def _give_back(self, colors: NDArray[np.float64], row_ids: Ids) -> None:
        """Undo the dimming in whatever is as we left it, channel by channel."""
        rows, which = self._rows, np.arange(len(self._rows))
        if not np.array_equal(row_ids, self._row_ids):
            _, rows, which = np.intersect1d(row_ids, self._ids, return_indices=True)
            self._recall(colors, row_ids)
            self._brighten_copies(colors, row_ids)
        colors[rows] = _undimmed(colors[rows], self._shown[which], self._base[which])

    def _recall(self, colors: NDArray[np.float64], row_ids: Ids) -> None:
        """A pick that was deleted while it was dim comes back dim, if that is undone."""
        for place in np.flatnonzero(~np.isin(self._ids, row_ids)):
            self._gone[int(self._ids[place])] = self._base[place], self._shown[place]
        for row in np.flatnonzero(np.isin(row_ids, list(self._gone))):
            base, shown = self._gone.pop(int(row_ids[row]))
            colors[row] = _undimmed(colors[row], shown, base)

    def _brighten_copies(self, colors: NDArray[np.float64], row_ids: Ids) -> None:
        """What a person adds or pastes has the colour of what is selected: of a dim pick, that which it had before."""
        fresh = np.flatnonzero(~np.isin(row_ids, self._row_ids))
        if len(fresh) and len(self._ids):
            colors[fresh] = self.brightened(colors[fresh])


def _undimmed(now: NDArray[np.float64], shown: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Channels as they were, where they are as we left them, but for what napari rounds off."""
    return np.where(np.isclose(now, shown, rtol=0, atol=1e-6), base, now)


def dimmed_parts(layer: Points | Vectors) -> list[DimmedColors]:
    """All colours of a layer that opacity is changed in."""
    if isinstance(layer, Vectors):
        return [DimmedColors(lambda: layer.edge_color, layer.events.edge_color)]
    return [
        DimmedColors(lambda: layer.face_color, lambda: None),  # drawn with the borders, since drawing costs most
        DimmedColors(lambda: layer.border_color, layer.events.border_color),
    ]
