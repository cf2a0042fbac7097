"""What happened between two states of the same picks, in words: "moved 3 picks, deleted 1"."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import NO_INSTANCE, Picks


def what_changed(before: Picks, after: Picks) -> str:
    """How some picks became others, told by their ids; empty where they are the same."""
    assert before.ids is not None and after.ids is not None  # noqa: S101, PT018 - `Picks` makes them
    if np.array_equal(before.ids, after.ids):
        rows_before = rows_after = np.arange(len(before))
    else:
        _, rows_before, rows_after = np.intersect1d(before.ids, after.ids, assume_unique=True, return_indices=True)
    counts = {
        "added": len(after) - len(rows_after),
        "deleted": len(before) - len(rows_before),
        "moved": _count(before.points_zyx[rows_before] != after.points_zyx[rows_after]),
        "turned": _turned(before, after, rows_before, rows_after),
    }
    done = [f"{verb} {_picks(count)}" for verb, count in counts.items() if count]
    done += [
        f"changed {name} of {_picks(count)}"
        for name, count in _changed_columns(before, after, rows_before, rows_after).items()
    ]
    if not done and (np.diff(rows_before[np.argsort(rows_after)]) < 0).any():
        return f"put {_picks(len(after))} in another order"
    return ", ".join(done)


def same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Element by element, whether two columns say the same; what is missing in both is the same."""
    if one.dtype.kind in "iub" and other.dtype.kind in "iub":
        return np.asarray(one == other)
    with np.errstate(invalid="ignore"):
        return np.asarray((one == other) | ((one != one) & (other != other)), dtype=bool)  # noqa: PLR0124 - NaN


def _turned(before: Picks, after: Picks, rows_before: NDArray[np.intp], rows_after: NDArray[np.intp]) -> int:
    one, other = before.rotations_zyx, after.rotations_zyx
    if one is other:
        return 0
    empty = np.full((1, 3, 3), np.nan)
    return _count(
        ~same_values(empty if one is None else one[rows_before], empty if other is None else other[rows_after])
    )


def _changed_columns(
    before: Picks, after: Picks, rows_before: NDArray[np.intp], rows_after: NDArray[np.intp]
) -> dict[str, int]:
    """How many picks have another value of each column; of a column that came or went, all."""
    one, other = _columns(before), _columns(after)
    counts = {}
    for name in dict.fromkeys([*one, *other]):
        if name in one and name in other:
            counts[name] = _count(~same_values(one[name][rows_before], other[name][rows_after]))
        else:
            counts[name] = len(rows_after)
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
    return int(differs.reshape(len(differs), -1).any(axis=1).sum()) if differs.size else 0


def _picks(count: int) -> str:
    return f"{count:,} pick{'' if count == 1 else 's'}"
