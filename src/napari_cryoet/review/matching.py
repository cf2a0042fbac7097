"""Which pick a decision is about, when picks come back: by id and place, or by place alone.

A pick that somebody moved has several places: where it is, where it was when the picks were opened, and where it was in
sessions before. Where they come from, it is still there; in a file that is saved of them, it isn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import VERDICTS, Decisions, Verdict
from napari_cryoet.review.twins import (
    NOWHERE,
    comparable_marks,
    marks_of,
    marks_of_twins,
    match_copies,
    match_marked,
    numbers_at,
    numbers_kept,
    numbers_left,
    with_numbers_left,
)

_MOVED_VOXELS: Final = 0.5  # a pick that was moved farther is another one
_SAME_PLACE: Final = 0.01  # of that
_MOST_UNDECIDED: Final = 20_000  # moved picks without a decision: of whole layers, each saving would take seconds
MOST_FORMER: Final = 12  # places that are remembered of a pick, beside the one where it is

#: Picks as they were when they were opened, and as they were in sessions before, the latest first.
Former = Picks | Sequence[Picks] | None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Decisions with the place of the pick that each is about.

    Attributes
    ----------
    ids, positions_zyx
        Of the picks; positions in ångström, or in voxels where `unit` says so.
    verdicts
        One a row; undecided for those of which only the places matter.
    unit
        ``"angstrom"`` or ``"voxel"``.
    opened_zyx
        Where picks that were moved were when they were opened, and behind that where they were before, three columns
        each; `NOWHERE` for those that were added since and deleted, or where several others are, -`NOWHERE` for those
        that were added where another one is; `NOWHERE` twice, and how many others were left there, for those that were
        deleted of several at one place; NaN for all others. None where there are only others.
    marks
        Tells the pick from others that were opened at its place; 0 where nothing does, None if so for all.
    """

    ids: NDArray[np.int64]
    positions_zyx: NDArray[np.float64]
    verdicts: tuple[Verdict, ...]
    unit: str = "angstrom"
    opened_zyx: NDArray[np.float64] | None = None
    marks: NDArray[np.int64] | None = None

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
            opened_zyx=None if self.opened_zyx is None else self.opened_zyx[rows],
            marks=None if self.marks is None else self.marks[rows],
        )

    @property
    def places_zyx(self) -> list[NDArray[np.float64]]:
        """Where each pick is, and where it was."""
        former = np.empty((len(self), 0)) if self.opened_zyx is None else self.opened_zyx
        return [self.positions_zyx, *(former[:, at : at + 3] for at in range(0, former.shape[1], 3))]

    @property
    def are_passing(self) -> NDArray[np.bool_]:
        """Which are about picks that were added after the others were opened, and are known by their ids alone."""
        if self.opened_zyx is None:
            return np.zeros(len(self), dtype=bool)
        return np.asarray((self.opened_zyx[:, :3] >= NOWHERE).all(axis=1))

    @property
    def are_copies(self) -> NDArray[np.bool_]:
        """Which are about picks that were added where one of those is that were opened, and are there."""
        if self.opened_zyx is None:
            return np.zeros(len(self), dtype=bool)
        return np.asarray((self.opened_zyx[:, :3] <= -NOWHERE).all(axis=1))


def rows_of(decisions: Decisions, picks: Picks, opened: Former = None, *, n_there: int | None = None) -> Rows:
    """The decisions about picks, with where these are, and where they were in the picks that were opened.

    Of picks that were moved that is told also where they are undecided: they may be judged in another file of them.

    Parameters
    ----------
    n_there
        How many of the picks are there; those behind them were deleted. By default all are.
    """
    codes = decisions.codes(picks.ids)
    positions, unit = _positions(picks)
    states = states_of(opened)
    columns = [former for state in states if (former := _former(picks, state)) is not None]
    judged = np.append(np.flatnonzero(codes), _moved_undecided(codes, columns))
    verdicts = tuple(map(VERDICTS.__getitem__, codes[judged].tolist()))
    columns = [former[judged] for former in columns]
    former_zyx = _different(columns, len(judged), _MOVED_VOXELS * _SAME_PLACE * (picks.spacing_angstrom or 1.0))
    if states and states[0] is not picks:
        is_added = ~np.isin(picks.ids[judged], states[0].ids)
        is_there = judged < (len(picks) if n_there is None else n_there)
        _put_first(former_zyx, np.flatnonzero(is_added & ~is_there), NOWHERE)
        copies = np.flatnonzero(is_added & is_there)
        n_on = _numbers_on(positions[judged[copies]], picks, states[0])
        _put_first(former_zyx, copies[n_on == 1], -NOWHERE)
        _put_first(former_zyx, copies[n_on > 1], NOWHERE)  # nobody could tell by the place which of several it is
        deleted = np.flatnonzero(~is_added & ~is_there & np.isnan(former_zyx).all(axis=1))
        if len(deleted):
            places = positions[judged[deleted]]
            n_left = numbers_at(places, positions[:n_there], _same(picks))
            with_numbers_left(former_zyx, deleted, n_left, _numbers_on(places, picks, states[0]))
    marks = marks_of_twins(states[0] if states else picks, picks.ids[judged])
    known = known_places(former_zyx), marks if marks.any() else None
    return Rows(picks.ids[judged], positions[judged], verdicts, unit, *known)


def _put_first(former_zyx: NDArray[np.float64], rows: NDArray[np.intp], mark: float) -> None:
    """Mark some rows in front of the places that are known of them."""
    former_zyx[rows, 3:] = former_zyx[rows, :-3]
    former_zyx[rows, :3] = mark


def _moved_undecided(codes: NDArray[np.int64], columns: Sequence[NDArray[np.float64]]) -> NDArray[np.intp]:
    """The undecided picks that were moved; none where these are more than a person moves."""
    are_moved = np.any([~np.isnan(former[:, 0]) for former in columns], axis=0)
    rows = np.flatnonzero((codes == 0) & are_moved)
    return rows if len(rows) <= _MOST_UNDECIDED else rows[:0]


def known_places(former_zyx: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Former places without columns that hold none; None where there are none at all."""
    last = np.flatnonzero(~np.isnan(former_zyx).all(axis=0))
    return former_zyx[:, : last[-1] + 1] if len(last) else None


def match(
    rows: Rows, picks: Picks, opened: Former = None, gone: Picks | None = None
) -> tuple[Decisions, NDArray[np.bool_]]:
    """Which picks decisions are about, by id and place, or else by place alone; and which rows found theirs.

    Ids of points that were never in a file are only their row numbers, which deleting one shifts. So an id counts only
    if its pick is still within half a voxel of where it was, and whatever finds no pick by its id may find one that
    is at the very same place. Of a pick that was moved, where it was when it was opened counts, too. Who stands just
    where a pick was comes before who has its id and is near: of two that mark one particle, one may be gone. What is
    known to be about one that was deleted since the picks were opened, also one that was added since, is about no
    other one; nor is what is about a reject of several at one place of which fewer are there now. One that was added
    where another one is finds only the last of several there.
    """
    found = _picks_of(rows, picks, opened, gone)
    is_found = found >= 0
    ids = picks.ids[found[is_found]].tolist()
    verdicts = (rows.verdicts[row] for row in np.flatnonzero(is_found))
    return Decisions(dict(zip(ids, verdicts, strict=True))), is_found


def states_before(parts: Iterable[Rows], picks: Picks, opened: Picks) -> tuple[Picks, ...]:
    """The picks as they were opened, and where decisions say that they were else, as in other files."""
    places: dict[int, NDArray[np.float64]] = {}
    for rows in parts:
        if rows.opened_zyx is None and _are_all_there(rows, picks):
            continue
        found = _picks_of(rows, picks, opened)
        is_known = (found >= 0) & ~rows.are_passing & ~rows.are_copies & (numbers_left(rows.opened_zyx, len(rows)) == 0)
        if not len(opened) or not is_known.any():
            continue
        at, was_there = _find(opened.ids, picks.ids[found[is_known]])
        for number, theirs in enumerate(rows.places_zyx):
            with np.errstate(over="ignore", invalid="ignore"):
                former = theirs[is_known] / _width_when_opened(picks, opened)
                beyond = np.abs(former - opened.points_zyx[at]).max(axis=1)
            is_other = was_there & (beyond > _MOVED_VOXELS * _SAME_PLACE) & np.isfinite(beyond)
            if is_other.any():
                place = places.setdefault(number, opened.points_zyx.copy())
                place[at[is_other]] = former[is_other]
    return opened, *(opened.changed(points_zyx=place) for place in places.values())


def _are_all_there(rows: Rows, picks: Picks) -> bool:
    """Whether the pick of each row, by its id, is where it was; as most often, and soon found out."""
    positions, unit = _positions(picks)
    if not len(rows) or not len(picks) or unit != rows.unit:
        return not len(rows)
    at, has_pick = _find(picks.ids, rows.ids)
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = np.abs(positions[at] - rows.positions_zyx).max(axis=1)
    return bool((has_pick & (beyond <= _MOVED_VOXELS * _SAME_PLACE * (picks.spacing_angstrom or 1.0))).all())


def _picks_of(rows: Rows, picks: Picks, opened: Former, gone: Picks | None = None) -> NDArray[np.intp]:
    """For each row the pick that it is about; -1 where there is none."""
    positions, unit = _positions(picks)
    found = np.full(len(rows), -1)
    if not len(rows) or not len(picks) or unit != rows.unit:
        return found
    reach, same = _MOVED_VOXELS * (picks.spacing_angstrom or 1.0), _same(picks)
    at, has_pick = _find(picks.ids, rows.ids)
    states = states_of(opened)
    is_other = _are_of_others(rows, picks, states[0] if states else picks)
    are_row_numbers = np.array_equal(picks.ids, np.arange(len(picks)))  # which say nothing once some went
    by_id = np.where(has_pick & ~(is_other & are_row_numbers), at, -1)
    former = [places for state in states if (places := _former(picks, state)) is not None]
    pairs = [(ours, theirs) for ours in (positions, *former) for theirs in rows.places_zyx]
    is_marked = np.zeros(len(rows), dtype=bool)
    if rows.marks is not None:
        own = _marks(picks, states)
        marks = comparable_marks(rows.marks, own)
        for ours, theirs in pairs:
            match_marked(marks, theirs, ours, own, by_id=by_id, found=found, reach=same)
        is_marked = marks != 0
        by_id = np.where(is_marked & (own[by_id] != marks), -1, by_id)
    for ours, theirs in pairs:
        _match_by_id(theirs, ours, found, by_id, same)
    match_copies(rows.are_copies, rows.positions_zyx, positions, found, same)
    is_gone = rows.are_passing | rows.are_copies | is_other | is_marked
    for before in (*states, gone):
        is_gone |= _are_gone(rows, picks, before, same)
    left = np.flatnonzero((found < 0) & ~is_gone)
    if len(left):  # nobody could tell by the place which of several that differ it is
        is_gone[left] = numbers_at(rows.positions_zyx[left], _twins(picks, states), same) > 0
    for ours, theirs in pairs:
        _match_by_place(np.where(is_gone[:, None], np.nan, theirs), ours, found, same)
    for ours, theirs in pairs:
        _match_by_id(theirs, ours, found, np.where(np.isin(by_id, found), -1, by_id), reach)
    return found


def _marks(picks: Picks, states: Sequence[Picks]) -> NDArray[np.int64]:
    """The mark of each pick, as it was when it was opened: some keep nothing but their places."""
    marks = marks_of(picks)
    if states and len(states[0]):
        at, was_there = _find(states[0].ids, picks.ids)
        marks = np.where(was_there, marks_of(states[0])[at], marks)
    return marks


def _twins(picks: Picks, states: Sequence[Picks]) -> NDArray[np.float64]:
    """Where there were several that differ, as they were opened: some picks keep nothing but their places."""
    opened = states[0] if states else picks
    with np.errstate(over="ignore"):
        places = opened.points_zyx * _width_when_opened(picks, opened)
    return np.asarray(places[marks_of_twins(opened, opened.ids) != 0])


def _are_gone(rows: Rows, picks: Picks, before: Picks | None, reach: float) -> NDArray[np.bool_]:
    """Which rows are about picks that were there before, and aren't any more."""
    if before is None or before is picks or not len(before):
        return np.zeros(len(rows), dtype=bool)
    at, was_there = _find(before.ids, rows.ids)
    with np.errstate(over="ignore", invalid="ignore"):
        places = before.points_zyx[at] * _width_when_opened(picks, before)
        is_it = [np.linalg.norm(places - theirs, axis=1) <= reach for theirs in rows.places_zyx]  # NaN is near nothing
    return np.asarray(was_there & np.any(is_it, axis=0) & ~np.isin(rows.ids, picks.ids))


def match_parts(
    parts: Iterable[Rows], picks: Picks, opened: Former = None, gone: Picks | None = None
) -> tuple[Decisions, tuple[Rows, ...]]:
    """The decisions about picks, and those that found none."""
    decided = Decisions()
    elsewhere = []
    for rows in parts:
        decisions, is_found = match(rows, picks, opened, gone)
        decided = decided.with_others(decisions, decisions.judged_ids)
        if not is_found.all():
            elsewhere.append(rows.take(~is_found))
    return decided, tuple(elsewhere)


def join(
    ours: Decisions,
    ours_elsewhere: Sequence[Rows],
    touched: NDArray[np.int64],
    theirs: Sequence[Rows],
    picks: Picks,
    *,
    opened: Former = None,
    gone: Picks | None = None,
) -> tuple[Decisions, tuple[Rows, ...]]:
    """What two windows, or versions of this program, decided about the same picks, and their decisions that found none.

    Parameters
    ----------
    ours_elsewhere
        Those of ours that theirs can't know yet; what they know of others' picks is newer than what we do.
    touched
        The picks that were judged here, by id: ours holds for these, and theirs for all others.
    """
    found, elsewhere = match_parts(theirs, picks, opened, gone)
    new = [rows.take(~np.isin(rows.ids, _ids(ours_elsewhere))) for rows in elsewhere]
    return found.with_others(ours, touched), (*ours_elsewhere, *new)


def _ids(parts: Sequence[Rows]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(rows.ids for rows in parts)])


def _find(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each wanted id stands among others, and whether it does."""
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(order) - 1)]
    return at, np.asarray(ids[at] == wanted)


def states_of(opened: Former) -> tuple[Picks, ...]:
    """The picks as they were when they were opened, and as they were before."""
    return () if opened is None else (opened,) if isinstance(opened, Picks) else tuple(opened)


def _different(columns: Sequence[NDArray[np.float64]], count: int, reach: float) -> NDArray[np.float64]:
    """Former places of some picks, each once, the latest first, and NaN behind them; a new array."""
    if not columns:
        return np.full((count, 3), np.nan)
    stacked = np.full((count, len(columns), 3), np.nan)
    for number, column in enumerate(columns):
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.abs(stacked[:, :number] - column[:, None]).max(axis=2)
        is_known = (beyond <= reach).any(axis=1)
        stacked[~is_known, number] = column[~is_known]
    order = np.argsort(np.isnan(stacked[:, :, 0]), axis=1, kind="stable")
    ordered = np.take_along_axis(stacked, order[:, :, None], axis=1)[:, :MOST_FORMER]
    return ordered.reshape(count, 3 * ordered.shape[1])


def _former(picks: Picks, opened: Picks) -> NDArray[np.float64] | None:
    """Where picks were when they were opened, NaN for those that weren't moved since; None where none was."""
    if opened is picks or not len(opened) or not len(picks):
        return None
    if picks.points_zyx is opened.points_zyx and picks.spacing_angstrom == opened.spacing_angstrom:
        return None  # states of the same picks share what they have in common
    at, was_there = _find(opened.ids, picks.ids)
    width = picks.spacing_angstrom or 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        places = opened.points_zyx[at] * _width_when_opened(picks, opened)
        beyond = np.abs(picks.points_zyx * width - places).max(axis=1)
        is_moved = was_there & (beyond > _MOVED_VOXELS * _SAME_PLACE * width)
    return np.where(is_moved[:, None], places, np.nan) if is_moved.any() else None


def _width_when_opened(picks: Picks, opened: Picks) -> float:
    """Of the voxels that opened picks are counted in; that of picks now where nobody knew it then."""
    if picks.spacing_angstrom is None:
        return 1.0  # as places are kept then
    return opened.spacing_angstrom or picks.spacing_angstrom


def _match_by_id(
    places: NDArray[np.float64],
    positions: NDArray[np.float64],
    found: NDArray[np.intp],
    by_id: NDArray[np.intp],
    reach: float,
) -> None:
    """Fill in ``found`` where it is -1, with the pick that each row has by its id, or -1, if that is near."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.linalg.norm(positions[by_id] - places, axis=1)
    is_same = (found < 0) & (by_id >= 0) & (distance <= reach)
    found[is_same] = by_id[is_same]


def _numbers_on(places: NDArray[np.float64], picks: Picks, opened: Picks) -> NDArray[np.intp]:
    """On how many of the picks that were opened each of some others is."""
    with np.errstate(over="ignore"):
        return numbers_at(places, opened.points_zyx * _width_when_opened(picks, opened), _same(picks))


def _are_of_others(rows: Rows, picks: Picks, opened: Picks) -> NDArray[np.bool_]:
    """Which rows are about one of several at a place that is gone: all that are there now are others."""
    is_kept = np.fromiter((verdict is Verdict.KEPT for verdict in rows.verdicts), dtype=bool, count=len(rows))
    is_unmoved = np.ones(len(rows), dtype=bool)
    if rows.opened_zyx is not None:
        is_unmoved[:] = np.isnan(rows.opened_zyx).all(axis=1)
    n_kept = numbers_kept(rows.positions_zyx, is_kept, is_unmoved, _same(picks))
    n_others = np.maximum(n_kept, numbers_left(rows.opened_zyx, len(rows)))
    several = np.flatnonzero(n_others > 0)
    n_there = _numbers_on(rows.positions_zyx[several], picks, opened)
    is_other = np.zeros(len(rows), dtype=bool)
    is_other[several] = (n_there > 0) & (n_there <= n_others[several])
    return is_other


def _same(picks: Picks) -> float:
    """How far from a place something may be that is there."""
    return _MOVED_VOXELS * _SAME_PLACE * (picks.spacing_angstrom or 1.0)


def _match_by_place(
    places: NDArray[np.float64], positions: NDArray[np.float64], found: NDArray[np.intp], reach: float
) -> None:
    """Fill in ``found`` where it is -1, with picks that no row has yet."""
    from scipy.spatial import KDTree

    left = np.flatnonzero((found < 0) & np.isfinite(places).all(axis=1))
    free = np.setdiff1d(np.flatnonzero(np.isfinite(positions).all(axis=1)), found)  # far away, ångström overflow
    if not len(left) or not len(free):
        return
    distances, nearest = KDTree(positions[free]).query(places[left])
    near = np.flatnonzero(distances <= reach)
    _, first = np.unique(nearest[near], return_index=True)  # of two rows at one place, one
    found[left[near[first]]] = free[nearest[near[first]]]


def _positions(picks: Picks) -> tuple[NDArray[np.float64], str]:
    if picks.spacing_angstrom is None:
        return picks.points_zyx, "voxel"
    return picks.positions_angstrom_zyx, "angstrom"
