"""What happened between two states of the same picks, in words: "moved 3 picks, deleted 1"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.table_rows import rows_among

_MOST_STRETCHES: Final = 64
#: How edits speak of picks that are elsewhere than they were read: by hand, with their layer, or by `check_picks`.
_MOVING: Final = re.compile(r"\b(moved|stretched|read anew)\b")

_Stretch = tuple[slice, slice] | tuple[NDArray[np.intp], NDArray[np.intp]]


def what_changed(before: Picks, after: Picks) -> str:
    """How some picks became others, told by their ids; empty where they are the same."""
    rows_before, rows_after = common_rows(before.ids, after.ids)
    stretches = _stretches(rows_before, rows_after)
    counts = {
        "added": len(after) - len(rows_after),
        "deleted": len(before) - len(rows_before),
        "moved": _changed(before.points_zyx, after.points_zyx, stretches),
        "turned": _turned(before, after, stretches),
    }
    done = [f"{verb} {_picks(count)}" for verb, count in counts.items() if count]
    done += [
        f"changed {name} of {_picks(count)}"
        for name, count in _changed_columns(before, after, stretches, len(rows_after)).items()
    ]
    if not done and (np.diff(rows_before[np.argsort(rows_after)]) < 0).any():
        return f"put {_picks(len(after))} in another order"
    return ", ".join(done)


def tell_of_moves(edits: Iterable[str]) -> bool:
    """Whether some of the picks are elsewhere than where they were read, as far as their edits say it."""
    return any(_MOVING.search(edit) for edit in edits)


def same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Element by element, whether two columns say the same; what is missing in both is the same."""
    if one.dtype.kind in "iub" and other.dtype.kind in "iub":
        return np.asarray(one == other)
    try:
        return _same_values(one, other)
    except TypeError:  # pandas' NA, which is neither the same as anything nor something else
        return _same_values(_without_na(one), _without_na(other))


def _same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        are_same = np.asarray(one == other, dtype=bool)
        if are_same.all():
            return are_same
        return np.asarray(are_same | ((one != one) & (other != other)), dtype=bool)  # noqa: PLR0124 - NaN


def _without_na(column: NDArray[Any]) -> NDArray[Any]:
    found = np.empty(len(column), dtype=object)
    found[:] = [None if type(value).__name__ == "NAType" else value for value in column.tolist()]
    return found


def common_rows(before: NDArray[np.int64], after: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where those ids that are in both stand in each."""
    left = rows_among(before, after)  # most often some were deleted, or added
    if left is not None:
        return left, np.arange(len(after))
    left = rows_among(after, before)
    if left is not None:
        return np.arange(len(before)), left
    _, rows_before, rows_after = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return rows_before, rows_after


def _stretches(rows_before: NDArray[np.intp], rows_after: NDArray[np.intp]) -> list[_Stretch]:
    """The same rows as stretches that are the same picks in both, which can be compared where they are."""
    breaks = np.flatnonzero((np.diff(rows_before) != 1) | (np.diff(rows_after) != 1)) + 1
    if len(breaks) > _MOST_STRETCHES:
        return [(rows_before, rows_after)]
    starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(rows_before)]
    return [
        (_slice(rows_before[start:end]), _slice(rows_after[start:end]))
        for start, end in zip(starts, ends, strict=True)
        if start < end
    ]


def _slice(rows: NDArray[np.intp]) -> slice:
    return slice(int(rows[0]), int(rows[-1]) + 1)


def _changed(before: NDArray[Any], after: NDArray[Any], stretches: list[_Stretch]) -> int:
    """How many picks have another value."""
    return sum(_count(~same_values(before[rows_before], after[rows_after])) for rows_before, rows_after in stretches)


def _turned(before: Picks, after: Picks, stretches: list[_Stretch]) -> int:
    one, other = before.rotations_zyx, after.rotations_zyx
    if one is other:
        return 0
    none = np.full(3, np.nan)
    one = np.broadcast_to(none, (len(before), 3, 3)) if one is None else one
    other = np.broadcast_to(none, (len(after), 3, 3)) if other is None else other
    return _changed(one, other, stretches)


def _changed_columns(before: Picks, after: Picks, stretches: list[_Stretch], n_common: int) -> dict[str, int]:
    """How many picks have another value of each column; of a column that came or went, all."""
    one, other = _columns(before), _columns(after)
    counts = {}
    for name in dict.fromkeys([*one, *other]):
        has_both = name in one and name in other
        counts[name] = _changed(one[name], other[name], stretches) if has_both else n_common
    return {name: count for name, count in counts.items() if count}


def _columns(picks: Picks) -> dict[str, NDArray[Any]]:
    columns = dict(picks.features)
    if picks.scores is not None:
        columns["score"] = picks.scores
    if picks.instance_ids is not None and (picks.instance_ids != NO_INSTANCE).any():
        columns["instance_id"] = picks.instance_ids
    return columns


def _count(differs: NDArray[np.bool_]) -> int:
    """How many rows differ anywhere."""
    if not differs.any():
        return 0
    return int(differs.reshape(len(differs), -1).any(axis=1).sum()) if differs.size else 0


def _picks(count: int) -> str:
    return f"{count:,} pick{'' if count == 1 else 's'}"
