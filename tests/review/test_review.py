import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.review import Order, Review, Subject, Verdict, kept_picks
from napari_cryoet.review.review import rejected_picks
from napari_cryoet.review.session import Decisions

PICKS = Picks(
    np.arange(18.0).reshape(6, 3),
    10.0,
    scores=[0.5, 0.2, np.nan, 0.4, 0.9, 0.2],
    ids=[5, 6, 7, 8, 9, 10],
    about={"source_url": "https://files.example.invalid/a.ndjson"},
    edits=("moved 1",),
)
SUBJECT = Subject("ribosomes", "ribosomes")


@pytest.fixture
def review(tmp_path):
    return Review(PICKS, SUBJECT, tmp_path)


def letters(review):
    return "".join(review.verdict(row).letter or "-" for row in range(len(review.picks)))


def test_judging_several_picks_is_one_undo_step(review):
    assert review.judge([1, 2, 3], Verdict.KEPT).tolist() == [6, 7, 8]
    assert review.judge([3, 4], Verdict.REJECTED).tolist() == [8, 9]
    assert review.judge([4], Verdict.REJECTED).tolist() == []
    assert letters(review) == "-KKXX-"
    assert str(review.counts) == "4 of 6 judged"
    assert (review.counts.kept, review.counts.rejected) == (2, 2)
    assert review.rows_with(Verdict.REJECTED).tolist() == [3, 4]

    assert review.undo().tolist() == [8, 9]
    assert letters(review) == "-KKK--"
    assert review.redo().tolist() == [8, 9]
    assert letters(review) == "-KKXX-"


def test_picks_are_sorted_and_filtered_by_any_column(review):
    review.look_at(Order("score"), "")
    assert review.rows.tolist() == [1, 5, 3, 0, 4, 2]
    review.set_measured({"edge_distance_nm": [1, 2, 3, 4, 5, 6]})
    review.look_at(
        Order("edge_distance_nm", is_descending=True), "edge_distance_nm > 2 and score > 0.3"
    )
    assert review.rows.tolist() == [4, 3]
    review.judge([0, 4], Verdict.REJECTED)
    review.look_at(Order(is_descending=True), "verdict = rejected")
    assert review.rows.tolist() == [4, 0]

    with pytest.raises(FormatError, match="beauty"):
        review.look_at(Order("score"), "beauty > 3")
    assert (review.rows.tolist(), review.filter_text) == ([4, 0], "verdict = rejected")
    review.forget_measured()
    review.look_at(Order("edge_distance_nm"), "")
    assert (review.order.column, review.rows.tolist()) == ("", [0, 1, 2, 3, 4, 5])


@given(st.frozensets(st.integers(0, 39)), st.integers(-1, 39), st.sampled_from([1, -1]))
def test_next_undecided_matches_a_sequential_search(tmp_path_factory, undecided, after, step):
    points = np.random.default_rng(0).permutation(120).reshape(40, 3).astype(float)
    review = Review(Picks(points, scores=points[:, 0]), SUBJECT, tmp_path_factory.mktemp("none"))
    review.look_at(Order("score"), "")
    review.judge(np.setdiff1d(np.arange(40), list(undecided)), Verdict.KEPT)
    positions = [(after + step * distance) % 40 for distance in range(1, 41)]

    expected = next(
        (position for position in positions if int(review.rows[position]) in undecided), None
    )
    assert review.next_undecided(after, step) == expected
    review.look_at(Order(), "score < -1")
    assert review.next_undecided(-1) is None


def test_verdicts_follow_moved_deleted_and_restored_picks(review):
    review.judge([1], Verdict.KEPT)
    review.judge([3], Verdict.REJECTED)
    review.set_measured({"edge_distance_nm": np.arange(6)})
    review.look_at(Order("score"), "edge_distance_nm >= 0")
    moved = PICKS.changed(points_zyx=PICKS.points_zyx + 50)

    review.set_picks(moved.take([3, 2, 0]))
    assert letters(review) == "X--"
    assert review.filter_text == ""  # measured columns are outdated
    assert review.order.column == "score"
    review.set_picks(moved.added([[1, 1, 1]]))
    assert letters(review) == "-K-X---"
    assert review.counts.total == 7


def test_no_decision_is_lost_while_another_thread_saves(tmp_path):
    picks = Picks(np.random.default_rng(0).normal(size=(300, 3)) * 1000, 10.0)
    review, done = Review(picks, SUBJECT, tmp_path), threading.Event()

    def save():
        while not done.is_set():
            review.save()

    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for row in range(300):
        review.judge([row], Verdict.KEPT if row % 3 else Verdict.REJECTED)
        if row % 7 == 0:
            review.undo()
    done.set()
    for thread in threads:
        thread.join()
    review.save()

    assert letters(Review(picks, SUBJECT, tmp_path)) == letters(review)


DECISIONS = Decisions({5: Verdict.KEPT, 8: Verdict.KEPT, 6: Verdict.REJECTED})


def test_kept_and_rejected_picks_record_the_reviewer_and_date(monkeypatch):
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    kept = kept_picks(PICKS, DECISIONS, by="Ada")

    assert kept.ids.tolist() == [5, 8]
    assert kept.scores.tolist() == [0.5, 0.4]
    assert kept.about == PICKS.about
    assert kept.edits == ("moved 1", f"kept 2 of 6 in review by Ada on {day} (3 undecided)")
    monkeypatch.setenv("LOGNAME", "grace")
    rejected = rejected_picks(PICKS.take([0, 1]), DECISIONS)
    assert rejected.ids.tolist() == [6]
    assert rejected.edits[-1] == f"rejected 1 of 2 in review by grace on {day}"
