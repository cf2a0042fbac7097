"""Two picks at one place, of which one goes: the other has its own decision, in every file that has it."""

import json

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import SessionStore, Subject
from napari_cryoet.review.spots import numbers_at
from napari_cryoet.review.twins import ALIKE, marks_in_company, marks_of, numbers_left

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


def scored(rows, **others):
    """A version of a file: the second and the third pick of `POINTS` are known by their scores alone."""
    return Picks(POINTS[rows], 10.0, scores=np.array([0.5, 0.9, 0.1, 0.5])[rows], about=ABOUT, **others)


VERSIONS = {"in another order": [3, 2, 1, 0], "with one less before": [1, 2, 3], "as it was": [0, 1, 2, 3]}


@pytest.mark.parametrize("rows", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("verdicts", [{1: KEPT, 2: REJECTED}, {1: KEPT}, {2: REJECTED}])
def test_scores_tell_picks_at_one_place_apart_in_each_version_of_a_file(rows, verdicts, folder):
    judged(scored([0, 1, 2, 3]), folder, verdicts)
    other = review_of(scored(rows), folder)
    assert dict(other.decisions.verdicts) == {rows.index(row): verdict for row, verdict in verdicts.items()}

    other.judge([rows.index(3)], KEPT)
    assert other.save()
    assert dict(review_of(scored([0, 1, 2, 3]), folder).decisions.verdicts) == verdicts | {3: KEPT}


def test_what_is_about_the_one_that_went_stays_in_the_file_and_is_said(folder):
    judged(scored([0, 1, 2, 3]), folder, {1: KEPT})
    less = review_of(scored([0, 2, 3]), folder)

    assert not less.decisions.verdicts
    assert "1 more found no pick in its place" in less.remark
    less.judge([1], REJECTED)
    assert less.save()
    assert dict(review_of(scored([0, 1, 2, 3]), folder).decisions.verdicts)[1] is KEPT


def test_what_was_decided_where_there_was_one_is_given_to_neither_of_two_that_differ(folder):
    judged(scored([0, 2, 3]), folder, {1: REJECTED, 2: KEPT})
    more = review_of(scored([3, 0, 1, 2]), folder)  # its id, 1, is that of one somewhere else

    assert dict(more.decisions.verdicts) == {0: KEPT}
    assert "1 more found no pick in its place" in more.remark


def test_it_is_given_to_neither_either_where_others_save_and_a_pick_was_deleted(folder):
    judged(scored([0, 2, 3]), folder, {1: REJECTED})
    here, there = review_of(scored([3, 0, 1, 2]), folder), review_of(scored([3, 0, 1, 2]), folder)
    here.set_picks(here.picks.take([1, 2, 3]))
    there.judge([0], KEPT)
    assert there.save()
    here.judge([0], KEPT)
    assert here.save()

    assert dict(review_of(scored([3, 0, 1, 2]), folder).decisions.verdicts) == {0: KEPT, 1: KEPT}


@pytest.mark.parametrize(
    "known",
    [
        {"instance_ids": np.array([0, 1, 2, 3])},
        {"rotations_zyx": np.array([np.eye(3), np.eye(3), np.diag([1.0, -1, -1]), np.eye(3)])},
    ],
    ids=["instances", "rotations"],
)
def test_instances_and_rotations_tell_them_apart_too(known, folder):
    judged(Picks(POINTS, 10.0, about=ABOUT, **known), folder, {1: KEPT, 2: REJECTED})
    turned = {name: column[::-1] for name, column in known.items()}
    again = review_of(Picks(POINTS[::-1], 10.0, about=ABOUT, **turned), folder)

    assert dict(again.decisions.verdicts) == {2: KEPT, 1: REJECTED}


@pytest.mark.parametrize("lacking", ["scores", "instance_ids"])
def test_they_are_known_by_their_ids_in_a_file_of_another_format_that_says_less_of_them(lacking, folder):
    """Copick, say, takes scores that are all 1 for none."""
    picks = Picks(POINTS, 10.0, about=ABOUT, scores=np.ones(4), instance_ids=np.arange(4))
    judged(picks, folder, {1: KEPT, 2: REJECTED})
    less = review_of(picks.changed(**{lacking: None}), folder)

    assert dict(less.decisions.verdicts) == {1: KEPT, 2: REJECTED}
    less.judge([3], KEPT)
    assert less.save()
    assert dict(review_of(picks, folder).decisions.verdicts) == {1: KEPT, 2: REJECTED, 3: KEPT}


def test_one_of_two_that_was_moved_is_known_where_it_was(folder):
    picks = scored([0, 1, 2, 3])
    review = review_of(picks, folder)
    review.judge([1], KEPT)
    review.judge([2], REJECTED)
    moved = picks.points_zyx.copy()
    moved[1] += 20
    review.set_picks(picks.changed(points_zyx=moved))
    assert review.save()

    assert dict(review_of(scored([3, 2, 1, 0]), folder).decisions.verdicts) == {2: KEPT, 1: REJECTED}
    saved = Picks(moved[[3, 2, 1, 0]], 10.0, scores=picks.scores[[3, 2, 1, 0]], about=ABOUT)
    assert dict(review_of(saved, folder).decisions.verdicts) == {2: KEPT, 1: REJECTED}


def test_one_of_two_that_was_deleted_says_nothing_of_the_other(folder):
    judged(scored([0, 1, 2, 3]), folder, {1: REJECTED, 3: KEPT}, left=[0, 2, 3])

    assert dict(review_of(scored([0, 2, 3]), folder).decisions.verdicts) == {2: KEPT}
    assert dict(review_of(scored([0, 1, 2, 3]), folder).decisions.verdicts) == {1: REJECTED, 3: KEPT}


def test_another_window_takes_it_over_also_where_some_were_deleted(folder):
    here, there = review_of(scored([0, 1, 2, 3]), folder), review_of(scored([3, 2, 1, 0]), folder)
    here.judge([0], KEPT)
    here.set_picks(here.picks.take([1, 2, 3]))
    assert here.save()
    there.judge([1], REJECTED)
    assert there.save()
    here.judge([2], KEPT)
    assert here.save()

    again = review_of(scored([0, 1, 2, 3]), folder)
    assert dict(again.decisions.verdicts) == {0: KEPT, 2: REJECTED, 3: KEPT}


def test_what_was_decided_of_one_that_was_alone_is_about_none_of_two_that_are_alike(picks, folder):
    judged(read_again([0, 1, 3]), folder, {1: KEPT})
    both = review_of(picks, folder)  # of which the second one has the id, and the third one may be meant
    assert not both.decisions.verdicts
    assert "1 more found no pick in its place" in both.remark

    both.judge([2], REJECTED)
    assert both.save()
    assert dict(review_of(picks, folder).decisions.verdicts) == {2: REJECTED}
    assert dict(review_of(read_again([0, 1, 3]), folder).decisions.verdicts)[1] in {KEPT, REJECTED}


def test_what_tells_one_of_two_apart_stays_known_where_it_is_alone(folder):
    judged(scored([0, 1, 2, 3]), folder, {1: KEPT})
    judged(scored([0, 1, 3]), folder, {2: REJECTED})  # saved of them, once the other one was deleted

    again = review_of(scored([2, 3, 1, 0]), folder)
    assert dict(again.decisions.verdicts) == {2: KEPT, 1: REJECTED}


def test_of_two_decisions_about_one_pick_the_newer_one_holds(folder):
    judged(scored([1, 3]), folder, {0: REJECTED})
    judged(scored([1, 2, 3]), folder, {0: KEPT})  # the former may be about either of two, and stays in the file

    alone = review_of(scored([1, 3]), folder)
    assert dict(alone.decisions.verdicts) == {0: KEPT}
    assert "1 more found no pick in its place" in alone.remark
    alone.take_up(scored([1, 3]))
    assert dict(alone.decisions.verdicts) == {0: KEPT}


def test_a_file_of_an_earlier_version_says_nothing_of_who_was_alone_and_goes_by_ids(picks, folder):
    judged(picks, folder, {1: KEPT})
    (path,) = folder.glob("*.jsonl")
    header, decision = path.read_text().splitlines()
    earlier = json.loads(header) | {"version": 1}
    del earlier["twins"]
    path.write_text(f"{json.dumps(earlier)}\n{json.dumps(json.loads(decision)[:6])}\n")

    assert dict(review_of(picks, folder).decisions.verdicts) == {1: KEPT}


def test_picks_that_are_alike_take_a_number_too_in_a_version_of_its_own(picks, folder):
    judged(picks, folder, {0: KEPT, 1: KEPT})
    (path,) = folder.glob("*.jsonl")
    header, first, second = map(json.loads, path.read_text().splitlines())

    assert (header["version"], len(first), len(second)) == (5, 6, 7)
    assert second[6] >= 2**52


def test_two_that_are_alike_are_both_found_where_rows_before_them_went(folder):
    alike = Picks(POINTS[[0, 3, 1, 1]], 10.0, about=ABOUT)
    judged(alike, folder, {2: KEPT, 3: KEPT})

    assert dict(review_of(alike.take([2, 3]).changed(ids=[0, 1]), folder).decisions.verdicts) == {0: KEPT, 1: KEPT}


def test_only_picks_that_others_are_with_take_a_number_more(folder):
    judged(scored([0, 1, 2, 3]), folder, {0: KEPT, 1: KEPT})
    (path,) = folder.glob("*.jsonl")
    header, first, second = map(json.loads, path.read_text().splitlines())
    assert (header["version"], len(first), len(second)) == (4, 6, 7)

    judged(scored([0, 1, 2, 3]), folder, {1: Verdict.UNDECIDED})
    assert json.loads(path.read_text().splitlines()[0])["version"] == 1


@pytest.mark.parametrize("mark", ["0", "-1", "1.5", "true", str(2**53), '"a"'])
def test_a_mark_that_is_none_is_said(mark, folder):
    judged(scored([0, 1, 2, 3]), folder, {1: KEPT})
    (path,) = folder.glob("*.jsonl")
    header, decision = path.read_text().splitlines()
    path.write_text(f"{header}\n{decision.rpartition(',')[0]}, {mark}]\n")

    assert "line 2 is no decision" in review_of(scored([0, 1, 2, 3]), folder).remark


def test_picks_that_are_nowhere_near_have_no_company():
    places = np.array([[1.0, 1, 1], [1e300, 0, 0], [np.nan, 0, 0]])

    assert numbers_at(places, places, 0.1).tolist() == [1, 0, 0]
    assert numbers_at(places, places[:0], 0.1).tolist() == [0, 0, 0]
    assert numbers_left(None, 2).tolist() == [0, 0]


def test_what_is_no_number_of_picks_is_none():
    noted = np.array([[1e299, 1e299, number] for number in (2, -3.5, 1e298, np.nan, 1e299, -1e299)])

    assert numbers_left(noted, 6).tolist() == [2, 0, 0, 0, 0, 0]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_telling_many_twins_apart_warns_of_no_numbers():
    places = np.repeat(np.arange(60_000.0).reshape(20_000, 3), 2, axis=0)
    marks = marks_in_company(places, marks_of(Picks(places, scores=np.arange(40_000.0))))

    assert (marks < ALIKE).all()
