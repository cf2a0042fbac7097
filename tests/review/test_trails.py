"""Where picks were before they were moved, and what says nothing of it."""

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review.trails import LONGEST, trail_of, with_step


@pytest.fixture
def picks():
    return Picks(np.arange(30.0).reshape(10, 3), 10.0)


def moved(picks, row, to):
    places = np.array(picks.points_zyx)
    places[row] = to
    return picks.changed(points_zyx=places)


def known(trail):
    return [dict(zip(state.ids.tolist(), state.points_zyx[:, 0].tolist(), strict=True)) for state in trail]


def test_a_trail_has_the_places_that_picks_left_the_latest_first(picks):
    once = moved(picks, 2, 50)
    twice = moved(moved(once, 2, 60), 4, 70)
    assert known(trail_of([picks, once, twice])) == [{2: 50, 4: 12}, {2: 6}]


def test_picks_that_were_put_in_another_order_or_deleted_left_no_place(picks):
    assert trail_of([picks, picks.take([3, 1, 0]), picks.take([0])]) == ()


def test_a_trail_has_no_more_than_the_latest_places(picks):
    states = [moved(picks, 1, 100 + number) for number in range(LONGEST + 4)]
    trail = trail_of(states)
    assert known(trail) == [{1: 100 + number} for number in reversed(range(3, LONGEST + 3))]
    assert known(with_step(trail, states[-1], moved(states[-1], 2, 9)))[0] == {2: 6, 1: 102 + LONGEST}


def test_a_copy_that_left_its_original_has_not_been_in_that_place(picks):
    pasted = picks.added([picks.points_zyx[3]])
    assert trail_of([picks, pasted, moved(pasted, 10, 80)]) == ()


def test_a_place_that_a_pick_came_back_to_counts_once_as_the_latest(picks):
    there = moved(picks, 2, 50)
    assert known(trail_of([picks, there, picks, there, picks])) == [{2: 50}, {2: 6}]
