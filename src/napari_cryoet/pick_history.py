"""What picks were before: states to come back to, as many as memory allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from napari_cryoet.pick_changes import same_values
from napari_cryoet.picks import Picks

UNDO_STEPS: Final = 100
#: States of a million picks are large: the oldest are forgotten before all of them take more than this.
UNDO_BYTES: Final = 512 * 2**20


class PickHistory:
    """States of the same picks before what they are now, and after it where something was taken back."""

    def __init__(self) -> None:
        self._undo: list[Picks] = []
        self._redo: list[Picks] = []

    def states(self, now: Picks) -> tuple[Picks, ...]:
        """All that is remembered, in its order, with what the picks are now."""
        return *self._undo, now, *reversed(self._redo)

    def remember(self, now: Picks) -> None:
        """Make what the picks are now the state that `back` comes to; there is nothing to do again any more."""
        self._redo.clear()
        self._undo.append(now)
        sizes = np.cumsum([_bytes(state) for state in reversed(self._undo)])
        kept = min(UNDO_STEPS, max(1, int((sizes <= UNDO_BYTES).sum())))
        del self._undo[:-kept]

    def back(self, now: Picks) -> Picks | None:
        """What the picks were before what was done last; None where there is nothing to take back."""
        if not self._undo:
            return None
        self._redo.append(now)
        return self._undo.pop()

    def forth(self, now: Picks) -> Picks | None:
        """What the picks were before something was taken back; None where nothing was."""
        if not self._redo:
            return None
        self._undo.append(now)
        return self._redo.pop()

    def turned_as_before(self, picks: Picks, now: Picks, next_id: int) -> Picks:
        """Picks of which some were gone, as those are that a person cut and pasted, with the rotations that they had.

        Parameters
        ----------
        now
            Those without what was gone; no pick had an id from ``next_id`` on.
        """
        ids = picks.ids
        rows = np.flatnonzero((ids < next_id) & ~np.isin(ids, now.ids))
        if not len(rows):
            return picks
        rotations = np.full((len(picks), 3, 3), np.nan) if picks.rotations_zyx is None else picks.rotations_zyx.copy()
        for state in self._undo:  # the latest last, so that it counts
            _, here, there = np.intersect1d(ids[rows], state.ids, assume_unique=True, return_indices=True)
            if state.rotations_zyx is not None:
                rotations[rows[here]] = state.rotations_zyx[there]
        return picks if np.isnan(rotations[rows]).all() else picks.changed(rotations_zyx=rotations)

    def undo_text(self, now: Picks) -> str:
        """What `back` would take back; empty where there is nothing."""
        return _difference(self._undo[-1], now) if self._undo else ""

    def redo_text(self, now: Picks) -> str:
        """What `forth` would do again; empty where there is nothing."""
        return _difference(now, self._redo[-1]) if self._redo else ""

    def change(self, change: Callable[[Picks], Picks]) -> None:
        """Let every state be another, as where something is learnt that was always so."""
        self._undo, self._redo = ([change(state) for state in states] for states in (self._undo, self._redo))


def sharing(picks: Picks, before: Picks, edit: str) -> Picks:
    """The same picks after an edit, holding the arrays of a state before wherever they say the same."""
    columns: dict[str, Any] = {}
    for name in ("points_zyx", "instance_ids", "scores", "ids"):
        one, other = getattr(picks, name), getattr(before, name)
        if one is not None and other is not None and one.shape == other.shape and same_values(one, other).all():
            columns[name] = other
    features = {
        name: old
        if (old := before.features.get(name)) is not None and len(old) == len(column) and same_values(column, old).all()
        else column
        for name, column in picks.features.items()
    }
    return picks.changed(edit, **columns, features=features)  # once, since each time all is looked at anew


def _difference(before: Picks, after: Picks) -> str:
    """What made one state of another, in the words that came with it."""
    return after.edits[-1] if after.edits and len(after.edits) > len(before.edits) else "the last change"


def _bytes(picks: Picks) -> int:
    columns = [picks.points_zyx, picks.rotations_zyx, picks.instance_ids, picks.scores, picks.ids]
    return sum(column.nbytes for column in [*columns, *picks.features.values()] if column is not None)
