"""Pairs that are sorted a portion at a time stand as if they had been sorted at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.comparison import sorting
from napari_cryoet.comparison.sorting import sorted_portions


@pytest.fixture(autouse=True, scope="module")
def small_portions():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PORTION", 8)
        yield


def at_once(keys):
    return np.lexsort(keys[::-1]).tolist()


def in_portions(keys):
    return np.concatenate(list(sorted_portions(keys))).tolist()


@given(st.data(), st.integers(0, 300), st.integers(1, 3))
@settings(deadline=None)
def test_the_order_is_that_of_sorting_all_at_once(data, count, n_keys):
    seed, many = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.sampled_from([1, 2, 5, 1000]))
    random = np.random.default_rng(seed)
    keys = [random.integers(0, many, count) for _ in range(n_keys)]
    keys[0] = keys[0] / 3 if data.draw(st.booleans()) else keys[0]

    assert in_portions(keys) == at_once(keys)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(100),
        np.arange(100.0),
        -np.arange(100.0),
        np.r_[np.zeros(90), np.arange(10.0)],
        np.r_[np.inf, np.ones(99)],
    ],
)
def test_so_it_is_where_most_are_equal_or_stand_in_order(values):
    rows = np.arange(100) % 7

    assert in_portions([values]) == at_once([values])
    assert in_portions([values, rows]) == at_once([values, rows])
    assert in_portions([rows, values]) == at_once([rows, values])


def test_one_may_look_after_each_portion_and_end_it():
    looks = []

    def look():
        looks.append(None)
        if len(looks) == 20:
            raise InterruptedError

    portions = sorted_portions([np.random.default_rng(0).random(400)], look)
    with pytest.raises(InterruptedError):
        list(portions)
    looks.clear()
    first = next(sorted_portions([np.arange(400.0)], look=lambda: looks.append(None)))
    assert len(first) <= sorting.PORTION
    assert len(looks) > 400 // sorting.PORTION
