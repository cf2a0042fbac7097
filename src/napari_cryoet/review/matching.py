"""Which pick a decision is about, when picks come back: by id and place, or by place alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import VERDICTS, Decisions, Verdict

_MOVED_VOXELS: Final = 0.5  # a pick that was moved farther is another one


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Decisions with the place of the pick that each is about.

    Attributes
    ----------
    ids, positions_zyx
        Of the picks; positions in ångström, or in voxels where `unit` says so.
    verdicts
        One a row, none of them undecided.
    unit
        ``"angstrom"`` or ``"voxel"``.
    """

    ids: NDArray[np.int64]
    positions_zyx: NDArray[np.float64]
    verdicts: tuple[Verdict, ...]
    unit: str = "angstrom"

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, which: NDArray[Any]) -> Rows:
        """Some of them."""
        rows = np.flatnonzero(which) if which.dtype == bool else which
        return replace(
            self,
            ids=self.ids[rows],
            positions_zyx=self.positions_zyx[rows],
            verdicts=tuple(self.verdicts[row] for row in rows),
        )


def rows_of(decisions: Decisions, picks: Picks) -> Rows:
    """The decisions about picks, with where these are."""
    assert picks.ids is not None  # noqa: S101 - `Picks` makes them
    codes = decisions.codes(picks.ids)
    judged = np.flatnonzero(codes)
    positions, unit = _positions(picks)
    verdicts = tuple(map(VERDICTS.__getitem__, codes[judged].tolist()))
    return Rows(picks.ids[judged], positions[judged], verdicts, unit)


def match(rows: Rows, picks: Picks) -> tuple[Decisions, NDArray[np.bool_]]:
    """Which picks decisions are about, by id and place, or else by place alone; and which rows found theirs.

    Ids of points that were never in a file are only their row numbers, which deleting one shifts. So an id counts only
    if its pick is still within half a voxel of where it was, and whatever finds no pick by its id may find one that
    is at the very same place.
    """
    positions, unit = _positions(picks)
    found = np.full(len(rows), -1)
    if not len(rows) or not len(picks) or unit != rows.unit:
        return Decisions(), found >= 0
    reach = _MOVED_VOXELS * (picks.spacing_angstrom or 1.0)
    assert picks.ids is not None  # noqa: S101 - `Picks` makes them
    order = np.argsort(picks.ids)
    at = order[np.minimum(np.searchsorted(picks.ids, rows.ids, sorter=order), len(order) - 1)]
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.linalg.norm(positions[at] - rows.positions_zyx, axis=1)
    is_same = (picks.ids[at] == rows.ids) & (distance <= reach)
    found[is_same] = at[is_same]
    _match_by_place(rows, positions, found, reach / 100)
    is_found = found >= 0
    ids = picks.ids[found[is_found]].tolist()
    verdicts = (rows.verdicts[row] for row in np.flatnonzero(is_found))
    return Decisions(dict(zip(ids, verdicts, strict=True))), is_found


def match_parts(parts: Iterable[Rows], picks: Picks) -> tuple[Decisions, tuple[Rows, ...]]:
    """The decisions about picks, and those that found none."""
    decided = Decisions()
    elsewhere = []
    for rows in parts:
        decisions, is_found = match(rows, picks)
        decided = decided.with_others(decisions, decisions.judged_ids)
        if not is_found.all():
            elsewhere.append(rows.take(~is_found))
    return decided, tuple(elsewhere)


def join(
    ours: Decisions, ours_elsewhere: Sequence[Rows], touched: NDArray[np.int64], theirs: Sequence[Rows], picks: Picks
) -> tuple[Decisions, tuple[Rows, ...]]:
    """What two windows decided about the same picks, and their decisions that found none.

    Parameters
    ----------
    touched
        The picks that were judged here, by id: ours holds for these, and theirs for all others.
    """
    found, elsewhere = match_parts(theirs, picks)
    not_found = np.intersect1d(_ids(elsewhere), ours.judged_ids)  # as picks that were moved here
    new = [rows.take(~np.isin(rows.ids, _ids(ours_elsewhere))) for rows in elsewhere]
    return found.with_others(ours, np.union1d(touched, not_found)), (*ours_elsewhere, *new)


def _ids(parts: Sequence[Rows]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(rows.ids for rows in parts)])


def _match_by_place(rows: Rows, positions: NDArray[np.float64], found: NDArray[np.intp], reach: float) -> None:
    """Fill in ``found`` where it is -1, with picks that no row has yet."""
    from scipy.spatial import KDTree

    left = np.flatnonzero(found < 0)
    free = np.setdiff1d(np.flatnonzero(np.isfinite(positions).all(axis=1)), found)  # far away, ångström overflow
    if not len(left) or not len(free):
        return
    distances, nearest = KDTree(positions[free]).query(rows.positions_zyx[left])
    near = np.flatnonzero(distances <= reach)
    _, first = np.unique(nearest[near], return_index=True)  # of two rows at one place, one
    found[left[near[first]]] = free[nearest[near[first]]]


def _positions(picks: Picks) -> tuple[NDArray[np.float64], str]:
    if picks.spacing_angstrom is None:
        return picks.points_zyx, "voxel"
    return picks.positions_angstrom_zyx, "angstrom"
