import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.pick_changes import same_values, tell_of_moves, what_changed
from napari_cryoet.picks import Picks


@pytest.fixture
def picks():
    return Picks(
        np.arange(12.0).reshape(4, 3),
        rotations_zyx=np.stack([np.eye(3)] * 3 + [np.full((3, 3), np.nan)]),
        scores=[0.1, np.nan, 0.3, 0.4],
        features={"by": np.array(["me", None, "", "you"], dtype=object)},
    )


def test_picks_that_are_the_same_have_not_changed(picks):
    assert what_changed(picks, picks) == ""
    assert what_changed(picks, picks.changed("")) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.take([0, 1]), "deleted 2 picks"),
        (lambda p: p.added([[0, 0, 0]]), "added 1 pick"),
        (lambda p: p.take([1, 2, 3]).added([[0, 0, 0]] * 1200), "added 1,200 picks, deleted 1 pick"),
        (lambda p: p.changed(points_zyx=np.add(p.points_zyx, [[0], [1], [2], [0]])), "moved 2 picks"),
        (lambda p: p.changed(rotations_zyx=None), "turned 3 picks"),
        (lambda p: p.changed(scores=[0.1, np.nan, 0.3, 0.5]), "changed score of 1 pick"),
        (lambda p: p.changed(scores=None), "changed score of 4 picks"),
        (lambda p: p.changed(instance_ids=[1, 1, 2, 2]), "changed instance_id of 4 picks"),
        (lambda p: p.changed(features={"by": ["me", None, "they", "you"]}), "changed by of 1 pick"),
        (lambda p: p.changed(features={}), "changed by of 4 picks"),
        (lambda p: p.take([1, 0, 2, 3]), "put 4 picks in another order"),
    ],
)
def test_what_changed_is_said_in_words(picks, change, words):
    assert what_changed(picks, change(picks)) == words


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_picks_are_told_apart_by_their_ids_in_whatever_order(order, moved):
    picks = Picks(np.zeros((6, 3)))
    places = np.zeros((6, 3))
    places[list(moved)] = 1
    words = what_changed(picks, picks.changed(points_zyx=places).take(order))

    assert words.startswith(f"moved {len(moved)} pick") if moved else "moved" not in words


@pytest.mark.parametrize(
    ("edit", "is_move"),
    [
        ("added 2 picks, moved 1 pick", True),
        ("moved with their layer by 1, 0, 0 voxels (z, y, x)", True),
        ("stretched with their layer by 2, 2, 2 (z, y, x)", True),
        ("read anew so that y is flipped", True),
        ("removed 3 picks", False),
        ("deleted 2 picks, turned 1 pick", False),
    ],
)
def test_edits_tell_whether_picks_are_elsewhere(edit, is_move):
    assert tell_of_moves(("kept the 3 of 4 of AL-17", edit)) == is_move


def test_what_is_missing_in_both_is_the_same():
    assert same_values(np.array([np.nan, 1.0]), np.array([np.nan, 2.0])).tolist() == [True, False]
    assert same_values(np.array([1, 2]), np.array([1, 3])).tolist() == [True, False]


def test_what_pandas_calls_missing_is_missing_too():
    column = np.array([pd.NA, "a", None, "b"], dtype=object)

    assert same_values(column, column.copy()).tolist() == [True] * 4
    assert same_values(column, np.array([None, "a", "x", "c"], dtype=object)).tolist() == [True, True, False, False]
