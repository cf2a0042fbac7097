"""Which pick a decision is about, when picks come back: by id and place, or by place alone.

A pick that somebody moved has several places. Where they come from, it is still there; in a file that is saved of them,
it isn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.crowds import match_copies, match_marked
from napari_cryoet.review.decisions import Decisions, Verdict
from napari_cryoet.review.places import (
    MOVED_VOXELS,
    SAME_VOXELS,
    Former,
    find,
    former_places,
    numbers_on,
    positions_of,
    same_place,
    states_of,
    width_when_opened,
)
from napari_cryoet.review.rows import Rows, own_marks
from napari_cryoet.review.spots import mixed, numbers_at
from napari_cryoet.review.twins import (
    ALIKE,
    best_marks,
    comparable_marks,
    crowded,
    marks_in_company,
    marks_of,
    numbers_kept,
    numbers_left,
    tell_something,
)


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
    return _decisions(rows, picks, found), found >= 0


def _decisions(rows: Rows, picks: Picks, found: NDArray[np.intp]) -> Decisions:
    """What rows say of the picks that they found."""
    is_found = found >= 0
    ids = picks.ids[found[is_found]].tolist()
    verdicts = (rows.verdicts[row] for row in np.flatnonzero(is_found))
    return Decisions(dict(zip(ids, verdicts, strict=True)))


def states_before(parts: Iterable[Rows], picks: Picks, opened: Picks) -> tuple[Picks, ...]:
    """The picks as they were opened, and where decisions say that they were else, as in other files."""
    places: dict[int, NDArray[np.float64]] = {}
    for kept in parts:
        rows = _in_unit_of(picks, opened, kept)
        if rows.opened_zyx is None and _are_all_there(rows, picks):
            continue
        found = _picks_of(rows, picks, opened)
        is_known = (found >= 0) & ~rows.are_passing & ~rows.are_copies & (numbers_left(rows.opened_zyx, len(rows)) == 0)
        if not len(opened) or not is_known.any():
            continue
        at, was_there = find(opened.ids, picks.ids[found[is_known]])
        for number, theirs in enumerate(rows.places_zyx):
            with np.errstate(over="ignore", invalid="ignore"):
                former = theirs[is_known] / width_when_opened(picks, opened)
                beyond = np.abs(former - opened.points_zyx[at]).max(axis=1)
            is_other = was_there & (beyond > SAME_VOXELS) & np.isfinite(beyond)
            if is_other.any():
                place = places.setdefault(number, opened.points_zyx.copy())
                place[at[is_other]] = former[is_other]
    return opened, *(opened.changed(points_zyx=place) for place in places.values())


def marks_before(parts: Iterable[Rows], picks: Picks, opened: Former) -> ById:
    """The marks that decisions say of picks, by id: in other files these are with others."""
    known = ById()
    for rows in parts:
        if rows.marks is not None:
            found = _picks_of(rows, picks, opened)
            is_known = (found >= 0) & (rows.marks != 0)
            ids, marks = picks.ids[found[is_known]], rows.marks[is_known]
            known = known.changed(ids, best_marks(known.of(ids), marks))
    return known


def _are_all_there(rows: Rows, picks: Picks) -> bool:
    """Whether the pick of each row, by its id, is where it was; as most often, and soon found out."""
    positions, unit = positions_of(picks)
    if not len(rows) or not len(picks) or unit != rows.unit:
        return not len(rows)
    at, has_pick = find(picks.ids, rows.ids)
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = np.abs(positions[at] - rows.positions_zyx).max(axis=1)
    return bool((has_pick & (beyond <= same_place(picks))).all())


def _picks_of(rows: Rows, picks: Picks, opened: Former, gone: Picks | None = None) -> NDArray[np.intp]:
    """For each row the pick that it is about; -1 where there is none."""
    positions, unit = positions_of(picks)
    found = np.full(len(rows), -1)
    states = states_of(opened) or (picks,)
    rows = _in_unit_of(picks, states[0], rows)
    if not len(rows) or not len(picks) or unit != rows.unit:
        return found
    reach, same = MOVED_VOXELS * (picks.spacing_angstrom or 1.0), same_place(picks)
    own = np.zeros(len(picks), np.int64) if rows.marks is None else own_marks(picks, states)
    is_other = _are_of_others(rows, picks, states[0])
    known = _what_is_known(rows, picks, states[0], own)
    by_id = _by_id(rows, picks, is_other, known, own)
    former = [places for state in states if (places := former_places(picks, state)) is not None]
    pairs = [(ours, theirs) for ours in (positions, *former) for theirs in known.places_zyx]
    for ours, theirs in pairs:
        match_marked(known.marks * ~known.are_alike, theirs, ours, own, by_id=by_id, found=found, reach=same)
    for ours, theirs in pairs:
        _match_by_id(theirs, ours, found, by_id, same)
    match_copies(rows.are_copies, rows.positions_zyx, positions, found, same)
    is_gone = is_other | ((known.marks != 0) & ~known.are_alike)
    for before in (*states, gone):
        is_gone |= _are_gone(rows, picks, before, same)
    left = np.flatnonzero((found < 0) & ~is_gone)
    is_gone[left] = numbers_at(rows.positions_zyx[left], known.differing_zyx, same) > 0
    is_alike = known.are_alike & ~is_gone
    for ours, theirs in pairs:  # of several that are alike, each is as good
        match_marked(known.marks * is_alike, theirs, ours, own, by_id=by_id, found=found, reach=same)
        marks = np.where(is_alike & (known.marks == 0), 1, 0)  # or whoever is there, where nothing is known of them
        match_marked(marks, theirs, ours, np.ones_like(own), by_id=by_id, found=found, reach=same)
    is_gone |= known.marks != 0
    is_added = rows.are_added  # where others are: only places where they were alone say something
    for number, (ours, theirs) in enumerate(pairs):
        is_shared = is_added & (number % len(known.places_zyx) == 0 or not rows.marks_twins)
        _match_by_place(np.where((is_gone | is_shared)[:, None], np.nan, theirs), ours, found, same)
    for ours, theirs in pairs:
        _match_by_id(theirs, ours, found, by_id, reach)
    return found


def _in_unit_of(picks: Picks, opened: Picks, rows: Rows) -> Rows:
    """Decisions in the unit of picks, if these are of the same voxels; else as they are.

    Nobody knows how wide voxels are of a file that doesn't say it, until somebody does. Where most decisions are at
    the very voxels where the picks were opened, these are the same voxels: in others, next to none is.
    """
    voxels, width = rows, width_when_opened(picks, opened)
    if (picks.spacing_angstrom is None) == (rows.unit == "voxel") or not len(rows):
        return rows
    if rows.unit == "angstrom":
        if rows.spacing_angstrom is None:
            return rows
        voxels = rows.scaled(1 / rows.spacing_angstrom, "voxel")
    are_there = [numbers_at(theirs, opened.points_zyx, SAME_VOXELS) > 0 for theirs in voxels.places_zyx]
    if 2 * np.any(are_there, axis=0).sum() <= len(rows):
        return rows
    return voxels if picks.spacing_angstrom is None else voxels.scaled(width, "angstrom")


def _by_id(
    rows: Rows, picks: Picks, is_other: NDArray[np.bool_], known: _Known, own: NDArray[np.int64]
) -> NDArray[np.intp]:
    """The pick that has the id of each row; -1 where there is none, or it is known to be another one."""
    at, has_pick = find(picks.ids, rows.ids)
    are_row_numbers = np.array_equal(picks.ids, np.arange(len(picks)))  # which say nothing once some went
    is_another = (is_other & are_row_numbers) | ((known.marks != 0) & (own[at] != known.marks))
    return np.where(has_pick & ~is_another, at, -1)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What tells which of several picks at one place decisions are about.

    Attributes
    ----------
    marks
        Of the rows whose pick must have this mark; else 0.
    are_alike
        Which rows are about any of several that were the same in all that is known, where no others are now.
    places_zyx
        Those of the rows; NaN where several are of which nobody knows which one is meant.
    differing_zyx
        Where there are several picks that differ.
    """

    marks: NDArray[np.int64]
    are_alike: NDArray[np.bool_]
    places_zyx: list[NDArray[np.float64]]
    differing_zyx: NDArray[np.float64]


def _what_is_known(rows: Rows, picks: Picks, opened: Picks, own: NDArray[np.int64]) -> _Known:
    crowd = opened.take(np.flatnonzero(crowded(opened.points_zyx)))  # as they were opened: a copy is known as one
    with np.errstate(over="ignore"):
        crowd_zyx = crowd.points_zyx * width_when_opened(picks, opened)
    differing_zyx = crowd_zyx[marks_in_company(crowd.points_zyx, marks_of(crowd)) < ALIKE]
    marks = np.zeros(len(rows), dtype=np.int64) if rows.marks is None else rows.marks
    are_alike, marks = marks >= ALIKE, comparable_marks(marks % ALIKE, own)
    marks = np.where(tell_something(marks), marks, 0)
    places, is_at_differing = [], np.zeros(len(rows), dtype=bool)
    for number, theirs in enumerate(rows.places_zyx):
        was_alone = rows.are_alone | (number > 0 and rows.are_added)
        is_crowd = numbers_at(theirs, crowd_zyx, same_place(picks)) > 0
        differ = numbers_at(theirs, differing_zyx, same_place(picks)) > 0
        is_at_differing |= differ
        is_unknown = (was_alone & is_crowd) | (are_alike & (marks == 0) & differ)
        places.append(np.where(is_unknown[:, None], np.nan, theirs))
    return _Known(marks, are_alike & ~((marks != 0) & is_at_differing), places, differing_zyx)


def _are_gone(rows: Rows, picks: Picks, before: Picks | None, reach: float) -> NDArray[np.bool_]:
    """Which rows are about picks that were there before, and aren't any more."""
    if before is None or before is picks or not len(before):
        return np.zeros(len(rows), dtype=bool)
    at, was_there = find(before.ids, rows.ids)
    with np.errstate(over="ignore", invalid="ignore"):
        places = before.points_zyx[at] * width_when_opened(picks, before)
        is_it = [np.linalg.norm(places - theirs, axis=1) <= reach for theirs in rows.places_zyx]  # NaN is near nothing
    return np.asarray(was_there & np.any(is_it, axis=0) & ~np.isin(rows.ids, picks.ids))


def match_parts(
    parts: Iterable[Rows], picks: Picks, opened: Former = None, gone: Picks | None = None
) -> tuple[Decisions, tuple[Rows, ...]]:
    """The decisions about picks, and those that found none, or only one that those before are about."""
    decided = Decisions()
    elsewhere = []
    for rows in parts:
        found = _picks_of(rows, picks, opened, gone)
        is_found = found >= 0
        is_found[is_found] = decided.codes(picks.ids[found[is_found]]) == 0
        is_found |= (found >= 0) & rows.are_undecided
        found[~is_found] = -1
        decisions = _decisions(rows, picks, found)
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
    known = np.concatenate([np.empty(0, np.uint64), *map(_names, ours_elsewhere)])
    new = [rows.take(~np.isin(_names(rows), known)) for rows in elsewhere]
    return found.with_others(ours, touched), (*ours_elsewhere, *new)


def _names(rows: Rows) -> NDArray[np.uint64]:
    """A number for each pick by its id and place as files round it: in other files another pick may have its id."""
    return mixed([rows.ids, *np.round(rows.positions_zyx, 4).T])


def _match_by_id(
    places: NDArray[np.float64],
    positions: NDArray[np.float64],
    found: NDArray[np.intp],
    by_id: NDArray[np.intp],
    reach: float,
) -> None:
    """Fill in ``found`` where it is -1, with the pick that each row has by its id, or -1, if that is near and free."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.linalg.norm(positions[by_id] - places, axis=1)
    is_taken = np.zeros(len(positions), dtype=bool)
    is_taken[found[found >= 0]] = True
    same = np.flatnonzero((found < 0) & (by_id >= 0) & (distance <= reach) & ~is_taken[by_id])
    _, first = np.unique(by_id[same], return_index=True)  # of two rows, as of two versions of a file, the newer one
    found[same[first]] = by_id[same[first]]


def _are_of_others(rows: Rows, picks: Picks, opened: Picks) -> NDArray[np.bool_]:
    """Which rows are about one of several at a place that is gone: all that are there now are others."""
    is_kept = np.fromiter((verdict is Verdict.KEPT for verdict in rows.verdicts), dtype=bool, count=len(rows))
    is_unmoved = ~rows.are_alone  # and were one of several
    if rows.opened_zyx is not None:
        is_unmoved &= np.isnan(rows.opened_zyx).all(axis=1)
    n_kept = numbers_kept(rows.positions_zyx, is_kept, is_unmoved, same_place(picks))
    n_others = np.maximum(n_kept, numbers_left(rows.opened_zyx, len(rows)))
    several = np.flatnonzero(n_others > 0)
    n_there = numbers_on(rows.positions_zyx[several], picks, opened)
    is_other = np.zeros(len(rows), dtype=bool)
    is_other[several] = (n_there > 0) & (n_there <= n_others[several])
    return is_other


def _match_by_place(
    places: NDArray[np.float64], positions: NDArray[np.float64], found: NDArray[np.intp], reach: float
) -> None:
    """Fill in ``found`` where it is -1, with picks that no row has yet."""
    from scipy.spatial import KDTree

    left = np.flatnonzero((found < 0) & np.isfinite(places).all(axis=1))
    free = np.setdiff1d(np.flatnonzero(np.isfinite(positions).all(axis=1)), found)  # far away, ångström overflow
    if not len(left) or not len(free):
        return
    _, of_spots = np.unique(mixed(positions[free].T), return_index=True)
    free = free[np.sort(of_spots)]  # the first of all at one place: a search among thousands there would take long
    distances, nearest = KDTree(positions[free]).query(places[left])
    near = np.flatnonzero(distances <= reach)
    _, first = np.unique(nearest[near], return_index=True)  # of two rows at one place, one
    found[left[near[first]]] = free[nearest[near[first]]]
