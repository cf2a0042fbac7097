"""A small number for each of some picks, by their ids: arrays where dictionaries would take seconds for a million."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _nothing() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ById:
    """Numbers by pick id, as a value; whatever isn't there has 0.

    Attributes
    ----------
    ids
        int64 (n,), rising.
    values
        int64 (n,), none of them 0.
    """

    ids: NDArray[np.int64] = field(default_factory=_nothing)
    values: NDArray[np.int64] = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, pick_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each of some picks."""
        if not len(self.ids):
            return np.zeros(len(pick_ids), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.ids, pick_ids), len(self.ids) - 1)
        return np.where(self.ids[at] == pick_ids, self.values[at], 0)

    def changed(self, pick_ids: NDArray[np.int64], values: ArrayLike) -> ById:
        """With other numbers for some picks, each of which is named once."""
        order = np.argsort(pick_ids, kind="stable")
        ids = pick_ids[order]
        others = np.broadcast_to(np.asarray(values, dtype=np.int64), ids.shape)[order]
        at = np.searchsorted(self.ids, ids)
        is_here = at < len(self.ids)
        is_here[is_here] = self.ids[at[is_here]] == ids[is_here]
        known = self.values.copy()
        known[at[is_here]] = others[is_here]
        is_new = ~is_here & (others != 0)
        all_ids, all_values = np.insert(self.ids, at[is_new], ids[is_new]), np.insert(known, at[is_new], others[is_new])
        is_left = all_values != 0
        return ById(all_ids, all_values) if is_left.all() else ById(all_ids[is_left], all_values[is_left])


def different(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each number once, in order; many times as fast as ``np.unique`` where they rise already."""
    rising = numbers if (numbers[1:] > numbers[:-1]).all() else np.sort(numbers)
    is_first = np.ones(len(rising), dtype=bool)
    is_first[1:] = rising[1:] != rising[:-1]
    return rising[is_first]
