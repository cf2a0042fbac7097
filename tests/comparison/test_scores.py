from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.comparison.scores import scores_of


def test_hand_made_numbers_come_out():
    scores = scores_of(6, n_a=8, n_b=12, beta=2)

    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (6, 2, 6)
    assert (scores.precision, scores.recall) == (0.75, 0.5)
    assert scores.f_beta == pytest.approx(5 * 0.75 * 0.5 / (4 * 0.75 + 0.5))
    assert scores.why_undefined == {}


def test_the_measure_of_the_czii_challenge_weighs_recall_sixteen_times():
    assert scores_of(50, 100, 50, beta=4).f_beta == pytest.approx(17 * 0.5 / (16 * 0.5 + 1))
    assert scores_of(50, 50, 100, beta=4).f_beta == pytest.approx(17 * 0.5 / (16 + 0.5))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 8))
def test_f_beta_is_the_weighted_harmonic_mean_wherever_that_exists(matched, lost, missed, beta):
    scores = scores_of(matched, matched + lost, matched + missed, beta)

    if matched:
        precision, recall = Fraction(matched, matched + lost), Fraction(matched, matched + missed)
        mean = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
        assert scores.f_beta == pytest.approx(float(mean))
    elif lost or missed:
        assert scores.f_beta == 0
    else:
        assert scores.f_beta is None


def test_what_is_undefined_says_why():
    empty_a, empty_b, empty = scores_of(0, 0, 3), scores_of(0, 3, 0), scores_of(0, 0, 0)

    assert (empty_a.precision, empty_a.recall, empty_a.f_beta) == (None, 0, 0)
    assert set(empty_a.why_undefined) == {"precision"}
    assert "A holds no picks" in empty_a.why_undefined["precision"]
    assert (empty_b.precision, empty_b.recall, empty_b.f_beta) == (0, None, 0)
    assert "reference" in empty_b.why_undefined["recall"]
    assert (empty.precision, empty.recall, empty.f_beta) == (None, None, None)
    assert set(empty.why_undefined) == {"precision", "recall", "f_beta"}


@pytest.mark.parametrize("beta", [0, -1, float("nan"), float("inf")])
def test_what_can_be_no_beta_is_refused(beta):
    with pytest.raises(ValueError, match="beta"):
        scores_of(1, 1, 1, beta)
