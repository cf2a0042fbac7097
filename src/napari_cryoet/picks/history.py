"""Edits of picks: what changed between two states, in words ("moved 3 picks, deleted 1"), and undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks.picks import NO_INSTANCE, Picks

UNDO_STEPS: Final = 100
#: The oldest states are forgotten before all of them take more memory than this.
UNDO_BYTES: Final = 512 * 2**20


class PickHistory:
    """The states of the same picks before now, and those after now that were undone."""

    def __init__(self) -> None:
        self._undo: list[Picks] = []
        self._redo: list[Picks] = []

    def remember(self, now: Picks) -> None:
        """Make the present state the one that `back` returns; nothing can be redone after that."""
        self._redo.clear()
        self._undo.append(now)
        counted: set[int] = set()
        size_bytes, kept = 0, 0
        for state in reversed(self._undo[-UNDO_STEPS:]):
            size_bytes += _bytes_beside(state, counted)
            if kept and size_bytes > UNDO_BYTES:
                break
            kept += 1
        del self._undo[:-kept]

    def back(self, now: Picks) -> Picks | None:
        """The state before the last change; None if there is none."""
        if not self._undo:
            return None
        self._redo.append(now)
        return self._undo.pop()

    def forth(self, now: Picks) -> Picks | None:
        """The state before the last `back`; None if there is none."""
        if not self._redo:
            return None
        self._undo.append(now)
        return self._redo.pop()

    def undo_text(self, now: Picks) -> str:
        """What `back` would take back; empty if there is nothing."""
        return _last_edit(self._undo[-1], now) if self._undo else ""

    def redo_text(self, now: Picks) -> str:
        """What `forth` would do again; empty if there is nothing."""
        return _last_edit(now, self._redo[-1]) if self._redo else ""

    def change(self, change: Callable[[Picks], Picks]) -> None:
        """Change every state, for what was always true and is learnt only now."""
        self._undo, self._redo = ([change(state) for state in states] for states in (self._undo, self._redo))

    def with_former_rotations(self, picks: Picks, now: Picks, next_id: int) -> Picks:
        """Picks that were cut and pasted, with the rotations that they had before; ids from ``next_id`` on are new."""
        ids = picks.ids
        rows = np.flatnonzero((ids < next_id) & ~np.isin(ids, now.ids))
        if not len(rows):
            return picks
        rotations = np.full((len(picks), 3, 3), np.nan) if picks.rotations_zyx is None else picks.rotations_zyx.copy()
        for state in self._undo:
            if state.rotations_zyx is not None:
                _, here, there = np.intersect1d(ids[rows], state.ids, assume_unique=True, return_indices=True)
                rotations[rows[here]] = state.rotations_zyx[there]
        return picks if np.isnan(rotations[rows]).all() else picks.changed(rotations_zyx=rotations)


def sharing(picks: Picks, before: Picks, edit: str) -> Picks:
    """Picks after an edit, holding the arrays of the state before wherever these are equal."""
    columns = {
        name: getattr(before, name)
        for name in ("points_zyx", "instance_ids", "scores", "ids")
        if _are_equal(getattr(picks, name), getattr(before, name))
    }
    features = {
        name: before.features[name] if _are_equal(column, before.features.get(name)) else column
        for name, column in picks.features.items()
    }
    return picks.changed(edit, **columns, features=features)


def what_changed(before: Picks, after: Picks) -> str:
    """How some picks became others, compared by their ids; empty if they are equal."""
    _, rows_before, rows_after = np.intersect1d(before.ids, after.ids, assume_unique=True, return_indices=True)

    def differing(one: NDArray[Any], other: NDArray[Any]) -> int:
        differs = ~same_values(one[rows_before], other[rows_after])
        return int(differs.reshape(len(differs), -1).any(axis=1).sum()) if differs.size else 0

    counts = {
        "added": len(after) - len(rows_after),
        "deleted": len(before) - len(rows_before),
        "moved": differing(before.points_zyx, after.points_zyx),
        "turned": differing(_rotations(before), _rotations(after)),
    }
    done = [f"{verb} {_picks(count)}" for verb, count in counts.items() if count]
    one, other = _columns(before), _columns(after)
    for name in dict.fromkeys([*one, *other]):
        count = differing(one[name], other[name]) if name in one and name in other else len(rows_after)
        if count:
            done.append(f"changed {name} of {_picks(count)}")
    if not done and not np.array_equal(before.ids, after.ids):
        return f"put {_picks(len(after))} in another order"
    return ", ".join(done)


def same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Element by element, whether two columns are equal; missing values equal each other."""
    if "O" in (one.dtype.kind, other.dtype.kind):
        one, other = _without_na(one), _without_na(other)
    with np.errstate(invalid="ignore"):
        are_same = np.asarray(one == other, dtype=bool)
        if are_same.all():
            return are_same
        return np.asarray(are_same | ((one != one) & (other != other)), dtype=bool)  # noqa: PLR0124 - NaN


def _without_na(column: NDArray[Any]) -> NDArray[Any]:
    """A column with None for pandas' NA, which can't be compared."""
    found = np.empty(len(column), dtype=object)
    found[:] = [None if type(value).__name__ == "NAType" else value for value in column.tolist()]
    return found


def _are_equal(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    return one is other or bool(same_values(one, other).all())


def _rotations(picks: Picks) -> NDArray[np.float64]:
    return np.full((len(picks), 9), np.nan) if picks.rotations_zyx is None else picks.rotations_zyx.reshape(-1, 9)


def _columns(picks: Picks) -> dict[str, NDArray[Any]]:
    columns = dict(picks.features)
    if picks.scores is not None:
        columns["score"] = picks.scores
    if picks.instance_ids is not None and (picks.instance_ids != NO_INSTANCE).any():
        columns["instance_id"] = picks.instance_ids
    return columns


def _last_edit(before: Picks, after: Picks) -> str:
    return after.edits[-1] if len(after.edits) > len(before.edits) else "the last change"


def _bytes_beside(picks: Picks, counted: set[int]) -> int:
    """The memory of the arrays that aren't among those counted before, which are noted by address."""
    columns = [picks.points_zyx, picks.rotations_zyx, picks.instance_ids, picks.scores, picks.ids]
    fresh = {id(each): each.nbytes for each in [*columns, *picks.features.values()] if each is not None}
    size_bytes = sum(fresh[key] for key in fresh.keys() - counted)
    counted.update(fresh)
    return size_bytes


def _picks(count: int) -> str:
    return f"{count:,} pick{'' if count == 1 else 's'}"
