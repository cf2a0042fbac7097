"""Matching against trying all ways and against a dense table; angles, scores and spreads against their formulas."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from napari_cryoet.comparison import match
from napari_cryoet.comparison.match import (
    angular_errors,
    fold_of,
    match_pairs,
    pairs_within,
    scores_of,
    spread_of,
    stoppable,
)
from napari_cryoet.exceptions import ComparisonError, StoppedError

NOBODY = np.empty((0, 3))
coordinates = st.integers(0, 3).map(float) | st.floats(0, 4, allow_nan=False, width=32)  # many ties and duplicates
radii = st.sampled_from([0.5, 1.0, 2.5])


def points(most):
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, 3), elements=coordinates))


def matched(a, b, radius, method="optimal", **options):
    return match_pairs(pairs_within(a, b, radius), method, **options)


def on_a_line(*places):
    return np.array([[0.0, 0.0, place] for place in places])


@settings(max_examples=60, deadline=None)
@given(points(30), points(30), radii)
def test_clusters_add_up_to_the_solution_of_the_whole_table(a, b, radius):
    matches = matched(a, b, radius)

    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    costs = np.where(distances <= radius, distances, 1e4)
    rows_a, rows_b = linear_sum_assignment(costs)
    is_match = costs[rows_a, rows_b] < 1e4
    assert len(matches) == is_match.sum()
    assert matches.costs.sum() == pytest.approx(costs[rows_a, rows_b][is_match].sum())


@settings(deadline=None)
@given(points(20), points(20), radii, st.sampled_from(["optimal", "greedy"]))
def test_no_row_is_matched_twice_and_distances_are_true(a, b, radius, method):
    matches = matched(a, b, radius, method)

    assert len(set(matches.rows_a.tolist())) == len(set(matches.rows_b.tolist())) == len(matches)
    np.testing.assert_array_equal(matches.costs, np.linalg.norm(a[matches.rows_a] - b[matches.rows_b], axis=1))
    assert (matches.costs <= radius).all()
    assert (np.diff(matches.rows_a) > 0).all()


def test_a_long_chain_shifts_by_one_so_that_each_point_has_a_partner():
    a, b = on_a_line(*range(0, 10_000, 10)), on_a_line(*range(-4, 9_996, 10))  # 4 from its own, 6 from the next

    assert matched(a, b, 7).costs.tolist() == [4.0] * 1000


def test_a_radius_that_is_far_too_large_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(match, "MAX_PAIRS", 1000)
    with pytest.raises(ComparisonError, match="radius"):
        pairs_within(np.zeros((50, 3)), np.zeros((50, 3)), 1)
    monkeypatch.setattr(match, "MAX_TABLE", 999)
    with pytest.raises(ComparisonError, match="cluster"):
        matched(np.zeros((50, 3)), np.arange(60.0).reshape(20, 3) / 60, 2)


@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_matching_shows_progress_and_can_be_stopped(method):
    a, b = np.random.default_rng(1).uniform(0, 10, (2, 300, 3))
    shares, stop = [], threading.Event()
    matched(a, b, 1, method, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1

    with pytest.raises(StoppedError):
        matched(a, b, 1, method, progress=lambda _share: stop.set(), stop=stop) and matched(a, b, 1, method, stop=stop)


def test_a_call_that_takes_long_is_abandoned():
    stop, is_started, may_end = threading.Event(), threading.Event(), threading.Event()
    threading.Thread(target=lambda: is_started.wait(30) and stop.set()).start()

    with pytest.raises(StoppedError):
        stoppable(lambda: is_started.set() or may_end.wait(30), stop)
    may_end.set()


@pytest.mark.parametrize(
    ("axis", "degree", "fold", "rotation", "tilt"),
    [
        ("z", 30, 1, 30, 0),
        ("z", 90, 4, 0, 0),
        ("z", 100, 3, 20, 0),
        ("z", 1e-5, 1, 1e-5, 0),
        ("x", 30, 7, 30, 30),
        ("y", 180, 5, 180, 180),
    ],
)
def test_known_turns_have_known_errors(axis, degree, fold, rotation, tilt):
    start = Rotation.random(1, rng=3)
    end = start * Rotation.from_euler(axis, degree, degrees=True)

    np.testing.assert_allclose(
        np.ravel(angular_errors(start.as_matrix(), end.as_matrix(), fold)), [rotation, tilt], atol=1e-7
    )


def test_symmetries_are_rotational():
    assert (fold_of("C1"), fold_of(" c13 ")) == (1, 13)
    for text in ("", "C", "C0", "D2", "O", "C-1", "C1.5", "4", "C2000", "C٣"):
        with pytest.raises(ValueError, match="symmetry"):
            fold_of(text)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 8))
def test_f_beta_is_the_weighted_harmonic_mean_of_precision_and_recall(n_matched, only_a, only_b, beta):
    scores = scores_of(n_matched, n_matched + only_a, n_matched + only_b, beta)

    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (n_matched, only_a, only_b)
    if n_matched:
        precision, recall = Fraction(n_matched, n_matched + only_a), Fraction(n_matched, n_matched + only_b)
        mean = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
        numbers = (scores.precision, scores.recall, scores.f_beta)
        assert numbers == pytest.approx((float(precision), float(recall), float(mean)))
    else:
        assert scores.precision == (0 if only_a else None)
        assert scores.recall == (0 if only_b else None)
        assert scores.f_beta == (0 if only_a or only_b else None)


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1))
def test_each_number_is_in_the_histogram_of_a_spread(values):
    spread = spread_of(np.array([*values, np.nan]), "Å")

    assert spread.counts.sum() == spread.count == len(values)
    assert (spread.mean, spread.median, spread.largest) == (np.mean(values), np.median(values), max(values))
    assert spread.edges[0] <= min(values)
    assert max(values) <= spread.edges[-1]


def test_a_spread_is_told_in_nm_or_degrees():
    spread = spread_of(np.array([1.0, 2.0, 6.0]), "Å", top=10)

    assert np.flatnonzero(spread.counts).tolist() == [2, 4, 12]
    assert spread.text(spread.largest) == "0.6 nm"
    assert spread_of(np.array([12.34]), "°").text(12.34) == "12.3°"
    assert spread_of(np.empty(0), "Å") is None
