import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.fitness.neighbours import at_edge, duplicates, share_at_edge_by_chance

LINE = np.array([[0.0, 0, 0], [0, 0, 4], [0, 0, 8], [0, 0, 100]])


def test_of_picks_that_are_too_near_the_first_or_the_best_stays():
    assert duplicates(LINE, None, 5.0).tolist() == [1]
    assert duplicates(LINE, np.array([0.0, 1.0, 0.5, 0.0]), 5.0).tolist() == [0, 2]
    assert duplicates(LINE, np.array([np.nan, 1.0, np.nan, 0.0]), 5.0).tolist() == [0, 2]


def test_exactly_that_far_is_not_too_near():
    assert duplicates(LINE, None, 4.0).tolist() == []
    assert duplicates(LINE[:1], None, 5.0).tolist() == []


def test_any_number_in_one_place_leaves_one():
    assert duplicates(np.zeros((500, 3)), None, 1.0).tolist() == list(range(1, 500))


def test_very_many_in_few_places_are_as_quick_as_any_others():
    places = np.repeat([[0.0, 0, 0], [0, 0, 9], [50, 0, 0]], 30_000, axis=0)
    scores = np.zeros(len(places))
    scores[[29_999, 45_000]] = 1.0, 0.5
    scattered = np.random.default_rng(0).uniform(0, 500, places.shape)

    started = time.thread_time()
    duplicates(scattered, scores, 10.0)
    middle = time.thread_time()
    stays = np.delete(np.arange(len(places)), duplicates(places, scores, 10.0))

    assert stays.tolist() == [29_999, 60_000]
    assert time.thread_time() - middle < 2 * (middle - started)  # pair by pair, it would be twenty times


@given(arrays(np.float64, st.tuples(st.integers(0, 25), st.just(3)), elements=st.integers(0, 12).map(float)))
def test_those_that_stay_are_apart_and_each_that_goes_is_near_one_that_stays(points):
    out = duplicates(points, None, 3.0)
    stays = np.delete(points, out, axis=0)
    apart = np.linalg.norm(stays[:, None] - stays[None], axis=-1) + 99 * np.eye(len(stays))

    assert not len(stays) or apart.min() >= 3.0
    for row in out:
        assert np.linalg.norm(stays - points[row], axis=1).min() < 3.0


def test_it_stops_when_nobody_wants_it_any_more():
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        duplicates(LINE, None, 5.0, stop=stop)
    with pytest.raises(StoppedError):  # also while nothing was found to be too near yet
        duplicates(10 * LINE, None, 5.0, stop=stop)


def test_the_edge_is_as_wide_as_is_said_and_what_is_beyond_isnt_at_it():
    shape, reach = (20, 20, 40), np.full(3, 5.0)
    points = np.array([[4.4, 10, 20], [4.6, 10, 20], [10, 15, 20], [-3, 10, 10]])

    assert at_edge(points, shape, reach).tolist() == [True, False, True, False]
    assert share_at_edge_by_chance(shape, reach) == pytest.approx(1 - 0.5 * 0.5 * 0.75)
    assert share_at_edge_by_chance((8, 20, 40), reach) == 1.0
