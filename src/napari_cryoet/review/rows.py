"""Decisions as they are kept: each with the places of the pick that it is about, and what tells this from others.

A pick that somebody moved has several places: where it is, where it was when the picks were opened, and where it was in
sessions before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.decisions import VERDICTS, Decisions, Verdict
from napari_cryoet.review.places import (
    Former,
    different_places,
    find,
    former_places,
    numbers_on,
    positions_of,
    same_place,
    states_of,
)
from napari_cryoet.review.spots import NOWHERE, numbers_at
from napari_cryoet.review.twins import (
    best_marks,
    crowded,
    marks_in_company,
    marks_of,
    tell_something,
    with_numbers_left,
)

_MOST_UNDECIDED: Final = 20_000  # moved picks without a decision: of whole layers, each saving would take seconds


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
        each; `NOWHERE` for those that were added since where several others are, or where others were when they were
        deleted, -`NOWHERE` for those that were added where another one is; `NOWHERE` twice, and how many others were
        left there, for those that were deleted of several at one place; NaN for all others. None where there are only
        others.
    marks
        Tells the pick from others that were opened at its place, or are there; with `ALIKE` where nothing does. 0 for
        those that were alone at their places, None if so for all.
    marks_twins
        Whether that is so. Earlier versions of this program marked only some of those that others were with, or none.
    spacing_angstrom
        The width of the voxels that the picks were counted in, where it is known.
    """

    ids: NDArray[np.int64]
    positions_zyx: NDArray[np.float64]
    verdicts: tuple[Verdict, ...]
    unit: str = "angstrom"
    opened_zyx: NDArray[np.float64] | None = None
    marks: NDArray[np.int64] | None = None
    marks_twins: bool = True
    spacing_angstrom: float | None = None

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

    def scaled(self, factor: float, unit: str) -> Rows:
        """The same in another unit; what stands for places that there are none isn't any, and stays."""
        opened = None if self.opened_zyx is None else self.opened_zyx.copy()
        for places in [] if opened is None else [opened[:, at : at + 3] for at in range(0, opened.shape[1], 3)]:
            are_places = (np.abs(places) < NOWHERE).all(axis=1)
            places[are_places] *= factor
        return replace(self, positions_zyx=self.positions_zyx * factor, opened_zyx=opened, unit=unit)

    @property
    def places_zyx(self) -> list[NDArray[np.float64]]:
        """Where each pick is, and where it was."""
        former = np.empty((len(self), 0)) if self.opened_zyx is None else self.opened_zyx
        return [self.positions_zyx, *(former[:, at : at + 3] for at in range(0, former.shape[1], 3))]

    @property
    def are_alone(self) -> NDArray[np.bool_]:
        """Which are about picks that were alone at their places."""
        is_marked = np.zeros(len(self), dtype=bool) if self.marks is None else self.marks != 0
        return ~(is_marked | self.are_added) & self.marks_twins

    @property
    def are_added(self) -> NDArray[np.bool_]:
        """Which are about picks that were added, and are where others are."""
        return self.are_passing | self.are_copies

    @property
    def are_undecided(self) -> NDArray[np.bool_]:
        """Which only say where a pick is."""
        return np.fromiter((each is Verdict.UNDECIDED for each in self.verdicts), dtype=bool, count=len(self))

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


def rows_of(
    decisions: Decisions,
    picks: Picks,
    opened: Former = None,
    *,
    n_there: int | None = None,
    known: ById | None = None,
    beside: Sequence[Rows] = (),
) -> Rows:
    """The decisions about picks, with where these are, and where they were in the picks that were opened.

    Of picks that were moved that is told also where they are undecided: they may be judged in another file of them.

    Parameters
    ----------
    n_there
        How many of the picks are there; those behind them were deleted. By default all are.
    known
        Marks that picks have in other files of them.
    beside
        Decisions that are kept about others, as those at the same places.
    """
    codes = decisions.codes(picks.ids)
    positions, unit = positions_of(picks)
    states = states_of(opened) or (picks,)
    n_there = len(picks) if n_there is None else n_there
    columns = [former for state in states if (former := former_places(picks, state)) is not None]
    judged = np.append(np.flatnonzero(codes), _moved_undecided(codes, columns))
    columns = [_own_places(former[judged], picks, judged, states[0]) for former in columns]
    former_zyx = different_places(columns, len(judged), same_place(picks))
    if states[0] is not picks:
        _note_others(former_zyx, picks, judged, states[0], n_there)
    rows = Rows(
        picks.ids[judged],
        positions[judged],
        tuple(map(VERDICTS.__getitem__, codes[judged].tolist())),
        unit,
        known_places(former_zyx),
        spacing_angstrom=picks.spacing_angstrom,
    )
    elsewhere = (known or ById()).of(rows.ids)
    marks = best_marks(_marks_in_company(picks, states, n_there)[judged], elsewhere)
    marks = np.where(marks == 0, _marks_beside(rows, beside, picks, states), marks)
    marks = np.where(rows.are_added, 0, marks)
    return replace(rows, marks=marks if marks.any() else None)


def _own_places(
    former: NDArray[np.float64], picks: Picks, judged: NDArray[np.intp], opened: Picks
) -> NDArray[np.float64]:
    """Former places, without those of added picks at which one was when picks were opened: it may be there again."""
    added = np.flatnonzero(~np.isin(picks.ids[judged], opened.ids) & ~np.isnan(former[:, 0]))
    is_taken = numbers_on(former[added], picks, opened) > 0
    former[added[is_taken]] = np.nan
    return former


def _note_others(
    former_zyx: NDArray[np.float64], picks: Picks, judged: NDArray[np.intp], opened: Picks, n_there: int
) -> None:
    """Note in former places what was added since picks were opened, and what was deleted of several at one place."""
    positions, _ = positions_of(picks)
    is_added = ~np.isin(picks.ids[judged], opened.ids)
    is_there = judged < n_there
    gone = np.flatnonzero(is_added & ~is_there)
    n_ever = numbers_at(positions[judged[gone]], positions, same_place(picks))
    was_alone = (n_ever == 1) & (numbers_on(positions[judged[gone]], picks, opened) == 0)
    _put_first(former_zyx, gone[~was_alone], NOWHERE)
    copies = np.flatnonzero(is_added & is_there)
    n_on = numbers_on(positions[judged[copies]], picks, opened)
    _put_first(former_zyx, copies[n_on == 1], -NOWHERE)
    _put_first(former_zyx, copies[n_on > 1], NOWHERE)  # nobody could tell by the place which of several it is
    deleted = np.flatnonzero(~is_added & ~is_there & np.isnan(former_zyx).all(axis=1))
    if len(deleted):
        places = positions[judged[deleted]]
        n_left = numbers_at(places, positions[:n_there], same_place(picks))
        with_numbers_left(former_zyx, deleted, n_left, numbers_on(places, picks, opened))


def _marks_in_company(picks: Picks, states: Sequence[Picks], n_there: int) -> NDArray[np.int64]:
    """The mark of each pick that others were with when it was opened, or are with now; else 0."""
    opened = states[0]
    as_opened = np.zeros(len(picks), dtype=np.int64)
    rows = np.flatnonzero(crowded(opened.points_zyx))
    if len(rows):
        marks = marks_in_company(opened.points_zyx[rows], marks_of(opened.take(rows)))
        as_opened = ById().changed(opened.ids[rows], marks).of(picks.ids)
    now = np.zeros(len(picks), dtype=np.int64)
    rows = np.flatnonzero(crowded(picks.points_zyx[:n_there])) if opened is not picks else rows[:0]
    if len(rows):
        now[rows] = marks_in_company(picks.points_zyx[rows], own_marks(picks.take(rows), states))
    return best_marks(as_opened, now)


def _marks_beside(rows: Rows, beside: Sequence[Rows], picks: Picks, states: Sequence[Picks]) -> NDArray[np.int64]:
    """The mark of each pick at whose place others are in another file of these, as other decisions say; else 0."""
    places = [
        theirs[each.marks != 0]
        for each in beside
        if each.marks is not None and each.unit == rows.unit
        for theirs in each.places_zyx
    ]
    marks = np.zeros(len(rows), dtype=np.int64)
    if places:
        is_beside = numbers_at(rows.positions_zyx, np.concatenate(places), same_place(picks)) > 0
        at, _ = find(picks.ids, rows.ids[is_beside])
        own = own_marks(picks.take(at), states)
        marks[is_beside] = np.where(tell_something(own), own, 0)
    return marks


def own_marks(picks: Picks, states: Sequence[Picks]) -> NDArray[np.int64]:
    """The mark of each pick, as it was when it was opened: some keep nothing but their places."""
    marks = marks_of(picks)
    if states and len(states[0]) and states[0] is not picks:
        at, was_there = find(states[0].ids, picks.ids)
        marks[was_there] = marks_of(states[0].take(at[was_there]))
    return marks


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
