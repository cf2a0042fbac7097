import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_cryoet.comparison.spread import spread_of


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1))
@example([-5e-324])
@example([5e-324, -1.0])
def test_every_number_is_in_the_histogram(values):
    spread = spread_of(np.array(values), "Å")

    assert spread.counts.sum() == spread.count == len(values)
    assert spread.edges[0] <= min(values)
    assert max(values) <= spread.edges[-1]


@pytest.mark.parametrize(("largest", "end"), [(0.0, 1), (0.7, 0.9), (7.76, 9), (100, 100), (101, 200), (179.9, 200)])
def test_a_histogram_ends_at_a_round_number(largest, end):
    assert spread_of(np.array([0.0, largest]), "°").edges[-1] == pytest.approx(end)


def test_no_histogram_is_of_what_rounding_leaves():
    for values in ([1e-14, 3e-14], [-2e-14, 1e-14]):
        spread = spread_of(np.array(values), "°")
        assert spread.edges[-1] - spread.edges[0] >= 0.1
        assert spread.counts.sum() == 2
    assert np.flatnonzero(spread_of(np.array([1e-14, 3e-14]), "°").counts).tolist() == [0]


def test_numbers_are_summed_up():
    spread = spread_of(np.array([1.0, 2.0, 6.0]), "Å", top=10)

    assert (spread.mean, spread.median, spread.largest) == (3, 2, 6)
    assert spread.edges.tolist() == np.linspace(0, 10, 21).tolist()
    assert np.flatnonzero(spread.counts).tolist() == [2, 4, 12]


def test_nothing_has_no_spread():
    assert spread_of(np.empty(0), "Å") is None
