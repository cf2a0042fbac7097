"""Picks that were added, saved, and went: what was decided about them is there in the files that have them."""

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, SessionStore, Subject, Verdict

POINTS = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
HERE, THERE = [20.0, 21, 22], [30.0, 31, 32]
KEPT, REJECTED, UNDECIDED = Verdict.KEPT, Verdict.REJECTED, Verdict.UNDECIDED


@pytest.fixture
def picks():
    return Picks(POINTS, 10.0, about={"source_url": "/data/own.ndjson"})


@pytest.fixture
def reviewed(tmp_path):
    """Opens picks as a review of theirs does."""
    return lambda picks: Review(picks, Subject.of(picks, name="own"), SessionStore(tmp_path))


def saved(picks):
    """Picks as a file has them that was saved of them, whose ids are row numbers."""
    return Picks(picks.points_zyx, 10.0, about=picks.about)


def moved(picks, row, place):
    places = picks.points_zyx.copy()
    places[row] = place
    return picks.changed(points_zyx=places)


@pytest.mark.parametrize("where", [HERE, THERE], ids=["not moved", "moved"])
def test_one_that_was_added_saved_moved_and_deleted_is_found_in_the_file_that_was_saved(where, picks, reviewed):
    review = reviewed(picks)
    less = picks.take([1, 2, 3])  # one went, so that files count anew
    review.set_picks(less.added([HERE]))
    review.judge([3], REJECTED)
    in_file = saved(review.picks)
    review.set_picks(moved(review.picks, 3, where))
    review.set_picks(less)
    assert review.save()

    assert dict(reviewed(in_file).decisions.verdicts) == {3: REJECTED}
    assert not reviewed(picks).decisions.verdicts


@pytest.mark.parametrize("judged", [KEPT, UNDECIDED])
def test_it_is_not_taken_for_another_one_that_is_where_it_was(judged, picks, reviewed):
    """A pick went away, one was added in its place and went, too; then the first one came back."""
    review = reviewed(picks)
    away = moved(picks, 0, THERE)
    review.set_picks(away)
    review.set_picks(away.added([POINTS[0]]))
    review.judge([4], REJECTED)
    review.set_picks(moved(review.picks, 4, HERE))
    review.set_picks(picks)
    review.judge([0], judged)
    assert review.save()

    assert dict(reviewed(picks).decisions.verdicts) == ({} if judged is UNDECIDED else {0: judged})


def test_a_copy_that_was_moved_off_its_original_and_deleted_is_found_where_it_was_saved(picks, reviewed):
    review = reviewed(picks)
    review.set_picks(picks.added([POINTS[0]]))
    review.judge([4], REJECTED)
    review.set_picks(moved(review.picks, 4, HERE))
    in_file = saved(review.picks.take([4, 0, 1]))
    review.set_picks(moved(review.picks, 4, THERE))
    review.set_picks(picks)
    assert review.save()

    assert dict(reviewed(in_file).decisions.verdicts) == {0: REJECTED}
    assert not reviewed(picks).decisions.verdicts


def test_one_that_was_deleted_where_another_one_was_added_is_known_by_its_id_alone(picks, reviewed):
    review = reviewed(picks)
    review.set_picks(picks.added([HERE, HERE]))
    review.judge([4], REJECTED)
    review.set_picks(review.picks.take([0, 1, 2, 3, 5]))
    assert review.save()

    assert not reviewed(saved(review.picks.take([4, 0, 1, 2, 3]))).decisions.verdicts


def test_two_that_were_added_are_no_trouble_when_another_window_saved(picks, reviewed):
    here, there = reviewed(picks), reviewed(picks)
    there.judge([0], KEPT)
    assert there.save()
    here.set_picks(picks.added([HERE, THERE]))
    here.judge([4, 5], REJECTED)
    assert here.save()

    assert dict(reviewed(here.picks).decisions.verdicts) == {0: KEPT, 4: REJECTED, 5: REJECTED}
