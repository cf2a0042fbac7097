"""Rejected picks, faint in the viewer as long as they are reviewed, and afterwards exactly as they were.

Only opacities are changed, in the colours that a layer holds, so its colour mode and everything else stay as a person
chose them. What somebody recolours meanwhile keeps its new colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Points, Vectors
from numpy.typing import NDArray

#: What is left of the opacity.
DIM: Final = 0.2
_ROUNDING: Final = 1e-6

Ids = NDArray[np.int64]
#: Colours that a layer has but for what is dim just now, by napari's name for them: a copy of it shall have these.
undimmed_colors: WeakKeyDictionary[Points, Callable[[], dict[str, NDArray[np.float64]]]] = WeakKeyDictionary()


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
        self._row_ids = np.empty(0, np.int64)
        self._rows = np.empty(0, np.intp)
        self._base = self._shown = np.empty((0, 4))
        self._gone = _Dimmed(self._row_ids, self._rows, self._base, self._shown)

    def show(self, row_ids: Ids, dimmed: Ids) -> None:
        """Dim the rows of some picks, and no others.

        Parameters
        ----------
        row_ids
            Which pick each row belongs to; rows of one pick follow each other.
        dimmed
            The picks whose rows are dim.
        """
        colors = self._colors()
        if len(colors) != len(row_ids):
            return  # the layer is in the middle of a change, and tells of its end
        if row_ids is self._row_ids or np.array_equal(row_ids, self._row_ids):
            colors[self._rows] = _undimmed(colors[self._rows], self._shown, self._base)
        else:
            self._follow(colors, row_ids)
        self._row_ids, self._rows = row_ids, np.flatnonzero(np.isin(row_ids, dimmed))
        self._base = colors[self._rows]
        colors[self._rows, 3] *= DIM
        self._shown = colors[self._rows]
        self._changed()

    @property
    def is_touched(self) -> bool:
        """Whether somebody recoloured what is dim."""
        colors = self._colors()
        is_known = len(colors) == len(self._row_ids)  # else the layer is in the middle of a change
        return is_known and bool((np.abs(colors[self._rows] - self._shown) > _ROUNDING).any())

    def undimmed(self, row_ids: Ids, colors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colours of rows as they were before they were dimmed."""
        rows, which = self._rows, np.arange(len(self._rows))
        if not np.array_equal(row_ids, self._row_ids):
            ids, numbers = self._row_ids[self._rows], _numbers(self._row_ids)[self._rows]
            rows, which = _same(row_ids, _numbers(row_ids), ids, numbers)
        found = np.array(colors)
        found[rows] = _undimmed(found[rows], self._shown[which], self._base[which])
        return found

    def brightened(self, colors: NDArray[np.float64], atol: float = _ROUNDING) -> NDArray[np.float64]:
        """Colours, of whatever it is, with what dim picks have replaced by what these had before."""
        shown, first = self._shown, np.arange(len(self._shown))
        if len(colors) > 1:  # else to sort them takes longer than to look at all
            shown, first = np.unique(shown, axis=0, return_index=True)
        found = np.array(colors)
        for row, color in enumerate(found):
            alike = np.flatnonzero((np.abs(shown - color) <= atol).all(axis=1))
            if len(alike):
                found[row] = self._base[first[alike[0]]]
        return found

    def _follow(self, colors: NDArray[np.float64], row_ids: Ids) -> None:
        """Undo the dimming in rows that stand elsewhere now.

        A pick that was deleted while it was dim comes back dim, if that is undone.
        """
        number = _numbers(self._row_ids)[self._rows]
        left = self._gone.and_also(_Dimmed(self._row_ids[self._rows], number, self._base, self._shown))
        rows = np.flatnonzero(np.isin(row_ids, left.ids))
        ours, which = _same(row_ids[rows], _numbers(row_ids)[rows], left.ids, left.numbers)
        rows = rows[ours]
        colors[rows] = _undimmed(colors[rows], left.shown[which], left.base[which])
        self._gone = left.without(which)
        self._brighten_copies(colors, row_ids)

    def _brighten_copies(self, colors: NDArray[np.float64], row_ids: Ids) -> None:
        """What a person adds or pastes has the colour of what is selected: of a dim pick, that which it had before."""
        fresh = np.flatnonzero(~np.isin(row_ids, self._row_ids))
        if len(fresh) and len(self._rows):
            colors[fresh] = self.brightened(colors[fresh])


@dataclass(frozen=True, slots=True, eq=False)
class _Dimmed:
    """Rows that are dim, by the pick and by which of its rows each is; their colours before and since."""

    ids: Ids
    numbers: NDArray[np.intp]
    base: NDArray[np.float64]
    shown: NDArray[np.float64]

    def and_also(self, other: _Dimmed) -> _Dimmed:
        """Those of both."""
        columns = zip(self._columns, other._columns, strict=True)
        return _Dimmed(*(np.concatenate(parts) for parts in columns))

    def without(self, rows: NDArray[np.intp]) -> _Dimmed:
        """The others."""
        return _Dimmed(*(np.delete(column, rows, axis=0) for column in self._columns))

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.ids, self.numbers, self.base, self.shown


def _numbers(row_ids: Ids) -> NDArray[np.intp]:
    """Which of its pick's rows each row is: triads have three."""
    starts = np.flatnonzero(np.diff(row_ids, prepend=row_ids[:1] - 1))
    return np.arange(len(row_ids)) - np.repeat(starts, np.diff(starts, append=len(row_ids)))


def _same(
    ids: Ids, numbers: NDArray[np.intp], other_ids: Ids, other_numbers: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of those that are in both."""
    ranks = np.unique(np.concatenate([ids, other_ids]), return_inverse=True)[1]
    every = np.concatenate([numbers, other_numbers])
    keys = ranks * (every.max(initial=0) + 1) + every
    _, places, others = np.intersect1d(keys[: len(ids)], keys[len(ids) :], assume_unique=True, return_indices=True)
    return places, others


def _undimmed(now: NDArray[np.float64], shown: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Channels as they were, where they are as we left them, but for what napari rounds off."""
    return np.where(np.abs(now - shown) <= _ROUNDING, base, now)


def dimmed_parts(layer: Points | Vectors) -> list[DimmedColors]:
    """All colours of a layer that opacity is changed in."""
    if isinstance(layer, Vectors):
        return [DimmedColors(lambda: layer.edge_color, layer.events.edge_color)]
    return [
        DimmedColors(lambda: layer.face_color, lambda: None),  # drawn with the borders, since drawing costs most
        DimmedColors(lambda: layer.border_color, layer.events.border_color),
    ]
