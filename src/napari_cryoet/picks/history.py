"""Describe the changes between two versions of picks ("moved 3 picks, deleted 1 pick")."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks.picks import NO_INSTANCE, Picks


def what_changed(before: Picks, after: Picks) -> str:
    """Describe how ``after`` differs from ``before``, matched by id; empty if they are equal."""
    _, rows_before, rows_after = np.intersect1d(
        before.ids, after.ids, assume_unique=True, return_indices=True
    )

    def differing(one: NDArray[Any], other: NDArray[Any]) -> int:
        differs = ~same_values(one[rows_before], other[rows_after])
        return int(differs.reshape(len(differs), -1).any(axis=1).sum()) if differs.size else 0

    counts = {
        "added": len(after) - len(rows_after),
        "deleted": len(before) - len(rows_before),
        "moved": differing(before.points_zyx, after.points_zyx),
        "turned": differing(_rotations(before), _rotations(after)),
    }
    changes = [f"{verb} {_picks(count)}" for verb, count in counts.items() if count]
    one, other = _columns(before), _columns(after)
    for name in dict.fromkeys([*one, *other]):
        count = (
            differing(one[name], other[name]) if name in one and name in other else len(rows_after)
        )
        if count:
            changes.append(f"changed {name} of {_picks(count)}")
    if not changes and not np.array_equal(before.ids, after.ids):
        return f"put {_picks(len(after))} in another order"
    return ", ".join(changes)


def same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Elementwise equality of two columns; missing values equal each other."""
    if "O" in (one.dtype.kind, other.dtype.kind):
        one, other = _without_na(one), _without_na(other)
    with np.errstate(invalid="ignore"):
        are_same = np.asarray(one == other, dtype=bool)
        if are_same.all():
            return are_same
        return np.asarray(are_same | ((one != one) & (other != other)), dtype=bool)  # noqa: PLR0124 - NaN


def _without_na(column: NDArray[Any]) -> NDArray[Any]:
    """Replace pandas' NA, which can't be compared, with None."""
    comparable = np.empty(len(column), dtype=object)
    comparable[:] = [
        None if type(value).__name__ == "NAType" else value for value in column.tolist()
    ]
    return comparable


def _rotations(picks: Picks) -> NDArray[np.float64]:
    return (
        np.full((len(picks), 9), np.nan)
        if picks.rotations_zyx is None
        else picks.rotations_zyx.reshape(-1, 9)
    )


def _columns(picks: Picks) -> dict[str, NDArray[Any]]:
    columns = dict(picks.features)
    if picks.scores is not None:
        columns["score"] = picks.scores
    if picks.instance_ids is not None and (picks.instance_ids != NO_INSTANCE).any():
        columns["instance_id"] = picks.instance_ids
    return columns


def _picks(count: int) -> str:
    return f"{count:,} pick{'' if count == 1 else 's'}"
