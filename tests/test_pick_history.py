"""Steps back and forth through what picks were."""

import numpy as np
import pytest

from napari_cryoet.pick_history import UNDO_STEPS, PickHistory, sharing
from napari_cryoet.picks import Picks


@pytest.fixture
def states():
    first = Picks(np.arange(12.0).reshape(4, 3), 10.0, scores=[1, 2, np.nan, 4], features={"class": [1, 1, 2, 2]})
    second = first.changed("moved 4 picks", points_zyx=first.points_zyx + 1)
    return first, second, second.take([0, 1], "deleted 2 picks")


@pytest.fixture
def history(states):
    history = PickHistory()
    history.remember(states[0])
    history.remember(states[1])
    return history


def test_what_was_done_is_taken_back_and_done_again(history, states):
    first, second, third = states
    assert (history.undo_text(third), history.redo_text(third)) == ("deleted 2 picks", "")
    assert history.back(third) is second
    assert (history.undo_text(second), history.redo_text(second)) == ("moved 4 picks", "deleted 2 picks")
    assert history.back(second) is first
    assert history.back(first) is None
    assert history.forth(first) is second
    assert history.forth(second) is third
    assert history.forth(third) is None


def test_whoever_does_something_else_can_do_nothing_again(history, states):
    history.back(states[2])
    history.remember(states[1])
    assert history.redo_text(states[1]) == ""
    assert history.forth(states[1]) is None


def test_what_is_learnt_late_holds_for_all_states(history, states):
    history.back(states[2])
    history.change(lambda picks: picks.changed(spacing_angstrom=7.0))
    before, after = history.back(states[1]), history.forth(states[0])
    assert (before.spacing_angstrom, after.edits) == (7.0, states[1].edits)


def test_the_oldest_states_are_forgotten(states):
    history = PickHistory()
    for _ in range(UNDO_STEPS + 5):
        history.remember(states[0])
    steps = 0
    while history.back(states[0]) is not None:
        steps += 1
    assert steps == UNDO_STEPS


def test_one_state_is_remembered_however_large_it_is(states, monkeypatch):
    monkeypatch.setattr("napari_cryoet.pick_history.UNDO_BYTES", 1)
    history = PickHistory()
    history.remember(states[0])
    history.remember(states[1])
    assert history.back(states[2]) is states[1]
    assert history.back(states[1]) is None


def test_columns_that_say_the_same_are_held_once(states):
    first = states[0]
    copy = Picks(first.points_zyx + 1, 10.0, scores=first.scores.copy(), features={"class": [1, 1, 2, 3]})
    shared = sharing(copy, first, "moved 4 picks")
    assert shared.scores is first.scores
    assert shared.ids is first.ids
    assert shared.points_zyx is not first.points_zyx
    assert shared.features["class"].tolist() == [1, 1, 2, 3]
    assert shared.edits == ("moved 4 picks",)
