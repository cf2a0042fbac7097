"""Descriptions of changes to picks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.picks import Picks
from napari_cryoet.picks.picks import same_values, what_changed


@pytest.fixture
def picks():
    return Picks(
        np.arange(12.0).reshape(4, 3),
        rotations_zyx=np.stack([np.eye(3)] * 3 + [np.full((3, 3), np.nan)]),
        scores=[0.1, np.nan, 0.3, 0.4],
        features={"by": np.array(["me", None, "", "you"], dtype=object)},
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p, ""),
        (lambda p: p.take([0, 1]), "deleted 2 picks"),
        (
            lambda p: p.take([1, 2, 3]).added([[0, 0, 0]] * 1200),
            "added 1,200 picks, deleted 1 pick",
        ),
        (
            lambda p: p.changed(points_zyx=np.add(p.points_zyx, [[0], [1], [2], [0]])),
            "moved 2 picks",
        ),
        (lambda p: p.changed(rotations_zyx=None), "turned 3 picks"),
        (lambda p: p.changed(scores=[0.1, np.nan, 0.3, 0.5]), "changed score of 1 pick"),
        (lambda p: p.changed(instance_ids=[1, 1, 2, 2]), "changed instance_id of 4 picks"),
        (lambda p: p.changed(features={"by": ["me", None, "they", "you"]}), "changed by of 1 pick"),
        (lambda p: p.changed(features={}), "changed by of 4 picks"),
        (lambda p: p.take([1, 0, 2, 3]), "put 4 picks in another order"),
    ],
)
def test_changes_are_described(picks, change, words):
    assert what_changed(picks, change(picks)) == words


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_picks_are_compared_by_id_in_any_order(order, moved):
    picks = Picks(np.zeros((6, 3)))
    points = np.zeros((6, 3))
    points[list(moved)] = 1
    words = what_changed(picks, picks.changed(points_zyx=points).take(order))

    assert words.startswith(f"moved {len(moved)} pick") if moved else "moved" not in words


def test_missing_values_equal_each_other():
    assert same_values(np.array([np.nan, 1.0]), np.array([np.nan, 2.0])).tolist() == [True, False]
    mixed = np.array([pd.NA, "a", None, np.nan], dtype=object)
    assert same_values(mixed, mixed.copy()).all()
    assert same_values(mixed, np.array([None, "b", None, 1.0], dtype=object)).tolist() == [
        True,
        False,
        True,
        False,
    ]
