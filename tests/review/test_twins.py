"""Two picks at one place, of which one goes: the other has its own decision, in every file that has it."""

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import SessionStore, Subject
from napari_cryoet.review.twins import numbers_at, numbers_left

POINTS = np.array([[1.0, 2, 3], [4, 5, 6], [4, 5, 6], [10, 11, 12]])
ABOUT = {"source_url": "/data/own.ndjson"}
KEPT, REJECTED = Verdict.KEPT, Verdict.REJECTED


@pytest.fixture
def picks():
    """Of which the second and the third are at one place."""
    return Picks(POINTS, 10.0, about=ABOUT)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reviews"


def review_of(picks, folder, **options):
    return Review(picks, Subject.of(picks, name="own"), SessionStore(folder), **options)


def judged(picks, folder, verdicts, left=None):
    """Judge picks, delete all but those that are left, and save."""
    review = review_of(picks, folder)
    for row, verdict in verdicts.items():
        review.judge([row], verdict)
    if left is not None:
        review.set_picks(picks.take(left))
    assert review.save()


def read_again(rows):
    """Some picks as a file that was saved of them has them: with row numbers for ids."""
    return Picks(POINTS[rows], 10.0, about=ABOUT)


@pytest.mark.parametrize("verdict", [KEPT, REJECTED])
def test_one_that_stays_takes_nothing_over_from_one_that_was_deleted(verdict, picks, folder):
    judged(picks, folder, {1: verdict, 3: KEPT}, left=[0, 2, 3])
    saved = review_of(read_again([0, 2, 3]), folder)

    assert dict(saved.decisions.verdicts) == {2: KEPT}
    assert "1 more found no pick" in saved.remark
    assert dict(review_of(picks, folder).decisions.verdicts) == {1: verdict, 3: KEPT}


def test_one_that_stays_keeps_its_own_decision(picks, folder):
    judged(picks, folder, {1: REJECTED, 2: KEPT}, left=[0, 2, 3])

    assert dict(review_of(read_again([0, 2, 3]), folder).decisions.verdicts) == {1: KEPT}
    assert dict(review_of(picks, folder).decisions.verdicts) == {1: REJECTED, 2: KEPT}


@pytest.mark.parametrize("rejected", [1, 2])
@pytest.mark.parametrize("first", [KEPT, REJECTED])
def test_kept_picks_are_kept_where_their_file_opens(first, rejected, picks, folder):
    verdicts = {0: first, 1: KEPT, 2: KEPT, 3: KEPT} | {rejected: REJECTED}
    judged(picks, folder, verdicts)
    kept = [row for row, verdict in verdicts.items() if verdict is KEPT]

    again = review_of(read_again(kept), folder)
    assert dict(again.decisions.verdicts) == dict.fromkeys(range(len(kept)), KEPT)
    assert dict(review_of(picks, folder).decisions.verdicts) == verdicts


def test_one_that_was_rejected_is_rejected_also_in_a_layer_of_rejects(picks, folder):
    judged(picks, folder, {1: REJECTED, 2: KEPT})

    assert dict(review_of(picks.take([1]), folder).decisions.verdicts) == {1: REJECTED}


def test_a_copy_of_the_layer_takes_nothing_over_either(picks, folder):
    judged(picks, folder, {1: REJECTED}, left=[0, 2, 3])

    assert not review_of(picks.take([0, 2, 3]), folder).decisions.verdicts


def test_one_that_comes_back_has_its_decision_again(picks, folder):
    judged(picks, folder, {1: REJECTED}, left=[0, 2, 3])
    review = review_of(picks.take([0, 2, 3]), folder, opened=picks)
    assert not review.decisions.verdicts

    review.set_picks(picks)
    assert dict(review.decisions.verdicts) == {1: REJECTED}


def test_what_was_deleted_stays_known_through_sessions_with_the_saved_file(picks, folder):
    judged(picks, folder, {1: REJECTED}, left=[0, 2, 3])
    for _ in range(3):
        review = review_of(read_again([0, 2, 3]), folder)
        assert review.verdict(1) is Verdict.UNDECIDED
        review.judge([0], KEPT)
        assert review.save()

    assert dict(review_of(picks, folder).decisions.verdicts) == {0: KEPT, 1: REJECTED}


def test_two_that_were_deleted_of_three_say_nothing_of_the_third(folder):
    three = Picks(POINTS[[1, 1, 1, 3]], 10.0, about=ABOUT)
    judged(three, folder, {0: REJECTED, 1: KEPT}, left=[2, 3])

    assert not review_of(read_again([1, 3]), folder).decisions.verdicts
    assert dict(review_of(three, folder).decisions.verdicts) == {0: REJECTED, 1: KEPT}


def test_picks_that_are_nowhere_near_have_no_company():
    places = np.array([[1.0, 1, 1], [1e300, 0, 0], [np.nan, 0, 0]])

    assert numbers_at(places, places, 0.1).tolist() == [1, 0, 0]
    assert numbers_at(places, places[:0], 0.1).tolist() == [0, 0, 0]
    assert numbers_left(None, 2).tolist() == [0, 0]


def test_what_is_no_number_of_picks_is_none():
    noted = np.array([[1e299, 1e299, number] for number in (2, -3.5, 1e298, np.nan, 1e299, -1e299)])

    assert numbers_left(noted, 6).tolist() == [2, 0, 0, 0, 0, 0]
