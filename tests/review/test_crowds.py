"""Many picks at one place are given their decisions as few are, and in no more memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree

from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, SessionStore, Subject, Verdict, spots
from napari_cryoet.review.crowds import match_copies, match_marked
from napari_cryoet.review.spots import NOWHERE, numbers_at

REACH = 0.05
MANY = 60_000  # whose pairs would take more memory than there is


def plainly_marked(marks, places, positions, own, *, by_id, found, reach):
    """What `match_marked` does, pair by pair."""
    finite = np.flatnonzero(np.isfinite(positions).all(axis=1))
    left = np.flatnonzero((marks != 0) & (found < 0) & (np.abs(places) < NOWHERE).all(axis=1))
    for row in left.tolist() if len(finite) else []:
        near = finite[sorted(KDTree(positions[finite]).query_ball_point(places[row], reach))].tolist()
        free = [pick for pick in near if own[pick] == marks[row] and pick not in found.tolist()]
        if free:
            found[row] = by_id[row] if by_id[row] in free else free[0]


def plainly_copies(are_copies, places, positions, found, reach):
    """What `match_copies` does, pair by pair."""
    finite = np.flatnonzero(np.isfinite(positions).all(axis=1))
    for row in np.flatnonzero((found < 0) & are_copies)[::-1].tolist() if len(finite) else []:
        near = finite[KDTree(positions[finite]).query_ball_point(places[row], reach)].tolist()
        free = [pick for pick in near if pick not in found.tolist()]
        if len(near) > 1 and free:
            found[row] = max(free)


@st.composite
def crowded(draw):
    """Decisions and picks at few places, some of which are nearly the same, some nowhere."""
    n_rows, n_picks = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    axis = st.sampled_from([0.0, 1.0, 1.0 + REACH / 3, np.nan])

    def places(count):
        z = draw(st.lists(axis, min_size=count, max_size=count))
        return np.array([[each, 2.0, 3.0] for each in z]).reshape(-1, 3)

    def numbers(count, least, most):
        return np.array(draw(st.lists(st.integers(least, most), min_size=count, max_size=count)), dtype=np.int64)

    found = numbers(n_rows, -1, n_picks - 1)
    _, first = np.unique(found, return_index=True)
    found[np.setdiff1d(np.arange(n_rows), first)] = -1  # a pick has one decision
    by_id = numbers(n_rows, -1, n_picks - 1)
    return numbers(n_rows, 0, 3), places(n_rows), places(n_picks), numbers(n_picks, 1, 3), by_id, found


@given(crowded(), st.integers(1, 9))
def test_marked_decisions_find_the_same_picks_as_pair_by_pair(some, at_once):
    marks, places, positions, own, by_id, found = some
    plainly = found.copy()
    plainly_marked(marks, places, positions, own, by_id=by_id, found=plainly, reach=REACH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spots, "_FOUND_AT_ONCE", at_once)
        match_marked(marks, places, positions, own, by_id=by_id, found=found, reach=REACH)

    assert found.tolist() == plainly.tolist()


@given(crowded(), st.integers(1, 9))
def test_copies_find_the_same_picks_as_pair_by_pair(some, at_once):
    marks, places, positions, _, _, found = some
    are_copies, places = marks > 1, np.nan_to_num(places, nan=7)
    plainly = found.copy()
    plainly_copies(are_copies, places, positions, plainly, REACH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spots, "_FOUND_AT_ONCE", at_once)
        match_copies(are_copies, places, positions, found, REACH)

    assert found.tolist() == plainly.tolist()


def test_very_many_at_one_place_are_all_found():
    places, own = np.ones((MANY, 3)), np.arange(MANY) % 2 + 1
    found = np.full(MANY, -1)
    match_marked(own[::-1], places, places, own, by_id=np.full(MANY, -1), found=found, reach=REACH)
    assert sorted(found.tolist()) == list(range(MANY))
    assert (own[found] == own[::-1]).all()

    found[:] = -1
    found[:] = -1
    match_copies(np.ones(MANY, dtype=bool), places, places, found, REACH)
    assert found.tolist() == list(range(MANY))


def test_a_review_of_very_many_at_one_place_opens_again(tmp_path):
    picks = Picks(np.ones((MANY, 3)), 10.0, scores=np.arange(MANY) % 3)
    subject = Subject.of(picks, name="many")
    review = Review(picks, subject, SessionStore(tmp_path))
    review.judge(np.arange(0, MANY, 2), Verdict.KEPT)
    assert review.save()

    again = Review(picks.take(np.arange(MANY)[::-1]), subject, SessionStore(tmp_path))
    assert again.counts.kept == MANY // 2


@given(crowded())
def test_picks_at_places_are_counted_as_pair_by_pair(some):
    _, places, positions, *_ = some
    near = np.linalg.norm(places[:, None] - positions[None], axis=2) <= REACH  # NaN is near nothing

    assert numbers_at(places, positions, REACH).tolist() == near.sum(axis=1).tolist()
