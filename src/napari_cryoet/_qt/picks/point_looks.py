"""How each pick of a Points layer looks: its size, colours, border, symbol, and whether it is shown.

napari keeps these by row. Kept by the pick's id they survive whatever happens to the rows, and undoing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_cryoet._qt.widgets.hidden_rows import slice_hidden

#: What napari keeps of each point, and what it gives to a new one.
_CURRENT: Final = {
    "size": "current_size",
    "border_width": "current_border_width",
    "symbol": "current_symbol",
    "border_color": "current_border_color",
    "face_color": "current_face_color",
    "shown": None,
}


@dataclass(frozen=True, slots=True)
class Looks:
    """Values of each of napari's per-point options, by name, for the picks with some ids."""

    ids: NDArray[np.int64]
    values: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, layer: Points, ids: NDArray[np.int64]) -> Looks:
        """How the points of a layer look; ``ids`` are those of its rows. napari makes other arrays for other rows."""
        return cls(ids, {name: np.asarray(getattr(layer, name)) for name in _CURRENT})

    def take(self, which: NDArray[np.bool_]) -> Looks:
        """The looks of some of the picks."""
        return Looks(self.ids[which], {name: column[which] for name, column in self.values.items()})


def give_looks(layer: Points, ids: NDArray[np.int64], known: Sequence[Looks]) -> None:
    """Let the picks with these ids, the rows of a layer, look as they are known to; others as napari's new points.

    Parameters
    ----------
    known
        Those that come first count before the others.
    """
    slice_hidden(layer)
    if not len(ids):
        return  # napari would take no colours for wrong ones
    lacking = np.ones(len(ids), dtype=bool)
    columns = {name: _new(layer, name, len(ids)) for name in _CURRENT}
    for looks in known:
        if not lacking.any():
            break
        order = np.argsort(looks.ids)
        at = np.minimum(np.searchsorted(looks.ids, ids, sorter=order), max(0, len(order) - 1))
        rows = order[at] if len(order) else np.zeros(len(ids), dtype=np.intp)
        found = lacking & (looks.ids[rows] == ids) if len(order) else np.zeros(len(ids), dtype=bool)
        for name, column in columns.items():
            column[found] = looks.values[name][rows[found]]
        lacking &= ~found
    for name, column in columns.items():
        if name.endswith("color") and str(getattr(layer, f"{name}_mode")) != "direct":
            continue  # they come from a column of the table, and will again
        if not np.array_equal(getattr(layer, name), column):  # napari looks at each symbol for a while
            setattr(layer, name, column)


def _new(layer: Points, name: str, count: int) -> NDArray[Any]:
    """What new points get, once for each row."""
    from napari.utils.colormaps.standardize_color import transform_color

    current = _CURRENT[name]
    if current is None:
        return np.ones(count, dtype=bool)
    value = getattr(layer, current)
    if name.endswith("color"):
        return np.tile(transform_color(value), (count, 1))
    # of a symbol, which is a text too, numpy would fill in the bare text
    return np.array([value] * count, dtype=object) if name == "symbol" else np.full(count, value, dtype=np.float64)
