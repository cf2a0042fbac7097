"""Who matches whom, against trying all ways and against a library's solver."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from comparison.reference import best_matching, greedy_matching
from napari_cryoet.comparison import matching, sorting
from napari_cryoet.comparison.assignment import cheapest_matches
from napari_cryoet.comparison.matching import match_pairs, match_points
from napari_cryoet.exceptions import ComparisonError, StoppedError

NOBODY = np.empty((0, 3))


def points(most, values):
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, 3), elements=values))


whole_numbers = st.integers(0, 3).map(float)  # many ties, many duplicates
any_numbers = st.floats(0, 4, allow_nan=False, width=32)


@settings(max_examples=60)
@given(points(4, whole_numbers | any_numbers), points(4, whole_numbers | any_numbers), st.sampled_from([0.5, 1.0, 2.5]))
def test_the_optimal_matching_is_the_best_of_all_ways(a, b, radius):
    matches = match_points(a, b, radius)

    count, total = best_matching(a, b, radius)
    assert len(matches) == count
    assert matches.distances.sum() == pytest.approx(total)


@settings(max_examples=60)
@given(points(30, whole_numbers | any_numbers), points(30, whole_numbers | any_numbers), st.sampled_from([0.7, 1.5, 9]))
def test_the_optimal_matching_is_as_good_as_that_of_a_dense_solver(a, b, radius):
    matches = match_points(a, b, radius)

    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    costs = np.where(distances <= radius, distances, 1e4)
    rows_a, rows_b = linear_sum_assignment(costs)
    is_match = costs[rows_a, rows_b] < 1e4
    assert len(matches) == is_match.sum()
    assert matches.distances.sum() == pytest.approx(costs[rows_a, rows_b][is_match].sum())


@settings(max_examples=60)
@given(points(12, whole_numbers | any_numbers), points(12, whole_numbers | any_numbers), st.sampled_from([0.7, 1.5, 9]))
def test_the_greedy_matching_takes_the_nearest_first(a, b, radius):
    matches = match_points(a, b, radius, "greedy")

    pairs = list(zip(matches.rows_a.tolist(), matches.rows_b.tolist(), strict=True))
    assert pairs == greedy_matching(a, b, radius)


@given(points(20, whole_numbers), points(20, whole_numbers), st.sampled_from(["optimal", "greedy"]))
def test_nobody_is_matched_twice_and_distances_are_true(a, b, method):
    matches = match_points(a, b, 1.5, method)

    assert len(set(matches.rows_a.tolist())) == len(set(matches.rows_b.tolist())) == len(matches)
    np.testing.assert_array_equal(matches.distances, np.linalg.norm(a[matches.rows_a] - b[matches.rows_b], axis=1))
    assert (matches.distances <= 1.5).all()
    assert np.all(np.diff(matches.rows_a) > 0)


@given(points(15, any_numbers), points(15, any_numbers))
def test_both_directions_agree(a, b):
    there, back = match_points(a, b, 1.2), match_points(b, a, 1.2)

    assert len(there) == len(back)
    assert there.distances.sum() == pytest.approx(back.distances.sum())


def on_a_line(*places):
    return np.array([[0.0, 0.0, place] for place in places])


def test_greedy_takes_the_nearest_pair_and_optimal_leaves_it_for_two():
    a, b = on_a_line(0, 10), on_a_line(9, 20)

    greedy, optimal = match_points(a, b, 10, "greedy"), match_points(a, b, 10, "optimal")

    assert (greedy.rows_a.tolist(), greedy.rows_b.tolist()) == ([1], [0])
    assert (optimal.rows_a.tolist(), optimal.rows_b.tolist()) == ([0, 1], [0, 1])
    assert optimal.distances.tolist() == [9, 10]


def test_a_long_chain_shifts_by_one_so_that_everybody_has_a_partner():
    n = 2000
    a = on_a_line(*range(0, 10 * n, 10))
    b = on_a_line(*(place + 6 for place in range(-10, 10 * (n - 1), 10)))  # each is 4 from the next, 6 from its own

    assert len(match_points(a, b, 4.5)) == n
    assert match_points(a, b, 7).distances.tolist() == [4.0] * n


def test_as_far_as_the_radius_is_within():
    rng = np.random.default_rng(0)
    for a, b in rng.uniform(0, 1, (200, 2, 1, 3)):
        assert len(match_points(a, b, float(np.linalg.norm(a - b, axis=1)[0]))) == 1
    assert len(match_points(on_a_line(0), on_a_line(0.1 + 0.2), 0.1 + 0.2)) == 1
    assert len(match_points(on_a_line(0), on_a_line(np.nextafter(5, 6)), 5)) == 0


def test_duplicates_need_partners_of_their_own():
    assert len(match_points(on_a_line(1, 1, 1), on_a_line(1, 1), 1)) == 2


@pytest.mark.parametrize(("a", "b"), [(NOBODY, NOBODY), (on_a_line(1), NOBODY), (NOBODY, on_a_line(1))])
@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_nobody_matches_nobody(a, b, method):
    assert len(match_points(a, b, 1, method)) == 0


def test_many_points_are_taken_in_portions(monkeypatch):
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 10, (200, 3)), rng.uniform(0, 10, (180, 3))
    at_once = match_points(a, b, 1)
    monkeypatch.setattr(matching, "_POINTS_AT_ONCE", 7)

    np.testing.assert_array_equal(match_points(a, b, 1).rows_b, at_once.rows_b)


def test_a_radius_that_is_far_too_large_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(matching, "MAX_PAIRS", 1000)

    with pytest.raises(ComparisonError, match="More than 1,000 pairs"):
        match_points(np.zeros((50, 3)), np.zeros((50, 3)), 1)


def test_one_search_through_all_nodes_can_be_stopped():
    count = 3000  # each is matched with its own, until the last one wants the first one's: then all have to move on
    rows_a = np.array([*np.repeat(np.arange(count), 2), count])
    rows_b = np.array([*(np.arange(2 * count) + 1) // 2, 0])
    costs = np.array([*np.tile([0.0, 1.0], count), 0.0])
    looks = []
    found = cheapest_matches(rows_a, rows_b, costs, count + 1, count + 1, progress=looks.append)
    assert len(found) == count + 1
    stop, n_looks = threading.Event(), len(looks) - 1  # the last two are in the middle of that search
    looks.clear()

    def look(share):
        looks.append(share)
        if len(looks) == n_looks:
            stop.set()

    with pytest.raises(StoppedError):
        cheapest_matches(rows_a, rows_b, costs, count + 1, count + 1, progress=look, stop=stop)
    assert looks == [0] * n_looks


def test_matching_says_how_far_it_is_and_can_be_stopped():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 10, (300, 3)), rng.uniform(0, 10, (300, 3))
    shares = []
    match_points(a, b, 2, progress=shares.append)
    stop = threading.Event()
    stop.set()

    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    with pytest.raises(StoppedError):
        match_points(a, b, 2, stop=stop)
    stop_later = threading.Event()
    with pytest.raises(StoppedError):
        match_points(a, b, 2, stop=stop_later, progress=lambda share: stop_later.set())


@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_what_comes_before_the_matching_of_many_pairs_can_be_stopped_too(monkeypatch, method):
    monkeypatch.setattr(sorting, "PORTION", 64)
    rng = np.random.default_rng(2)
    pairs = matching.Matches(rng.integers(0, 50, 2000), rng.integers(0, 50, 2000), rng.random(2000))
    whole = match_pairs(pairs, 50, 50, method)
    stop, sorts, lexsort = threading.Event(), [], np.lexsort

    def sort(keys):
        sorts.append(len(keys[0]))
        stop.set()
        return lexsort(keys)

    monkeypatch.setattr(np, "lexsort", sort)
    with pytest.raises(StoppedError):
        match_pairs(pairs, 50, 50, method, stop=stop)
    assert len(sorts) == 1
    monkeypatch.undo()
    at_once = match_pairs(pairs, 50, 50, method)
    np.testing.assert_array_equal(whole.rows_a, at_once.rows_a)
    np.testing.assert_array_equal(whole.rows_b, at_once.rows_b)


@pytest.mark.parametrize("method", ["optimal", "greedy"])
@pytest.mark.parametrize("far", [1e300, np.inf])
def test_a_position_that_is_nowhere_is_named(method, far):
    near, damaged = np.zeros((3, 3)), np.array([[0.0, 0.0, 0.0], [0.0, -far, 1.0]])

    with pytest.raises(ComparisonError, match=r"Pick 2 of A can't be compared: it is (1e\+300|inf) Å from"):
        match_points(damaged, near, 10.0, method)
    with pytest.raises(ComparisonError, match="Pick 2 of B"):
        match_points(near, damaged, 10.0, method)
