import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.review import Decisions, Order, SessionStore, Subject, Verdict, session
from napari_cryoet.review.review import Review
from napari_cryoet.review.rows import rows_of
from python_calls import calls_of_ours

POINTS = np.arange(30.0).reshape(10, 3)
SUBJECT = Subject("annotation file 7 of somewhere", "ribosomes")


@pytest.fixture
def picks():
    return Picks(POINTS, 10.0, scores=np.linspace(1, 0, 10), features={"by": np.array(list("aabbccddee"))})


@pytest.fixture
def store(tmp_path):
    return SessionStore(tmp_path)


@pytest.fixture
def review(picks, store):
    return Review(picks, SUBJECT, store)


def test_picks_are_looked_at_in_order_and_judged_by_row(review):
    review.look_at(Order("score"), "by != e")
    assert review.rows.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]

    assert review.judge(review.rows[:2], Verdict.REJECTED)
    assert review.verdict(7) is Verdict.REJECTED
    assert review.rows_with(Verdict.REJECTED).tolist() == [6, 7]
    assert review.next_undecided(-1) == 2
    assert str(review.counts) == "2 of 10 judged"
    assert review.undo()
    assert not review.undo()
    assert review.redo()


def test_many_picks_are_judged_and_counted_at_once_and_not_one_by_one(tmp_path):
    review = Review(Picks(np.arange(6000.0).reshape(2000, 3), 10.0), SUBJECT, SessionStore(tmp_path))
    did = []

    def judge():
        did.append(review.judge(range(2000), Verdict.REJECTED))
        did.append(review.counts.rejected)
        did.append(review.judge(review.rows[:1000], Verdict.KEPT))
        did.append(review.next_undecided(0))
        did.append(review.undo())
        did.append(len(review.rows_with(Verdict.REJECTED)))
        did.append(review.undo() and review.redo())

    assert calls_of_ours(judge) < 200
    assert did == [True, 2000, True, None, True, 2000, True]


def test_a_filter_that_is_wrong_changes_nothing(review):
    review.look_at(Order("score"), "score > 0.5")
    rows = review.rows.tolist()
    with pytest.raises(FormatError):
        review.look_at(Order(), "colour = red")

    assert review.rows.tolist() == rows
    assert review.filter.text == "score > 0.5"


def test_what_was_measured_can_be_sorted_by_until_it_holds_no_more(review):
    review.set_measured({"density": np.arange(10.0)[::-1]})
    review.look_at(Order("density"), "")
    assert review.rows[0] == 9

    review.forget_measured()
    review.look_at(review.order, "")
    assert review.rows[0] == 0


def test_picks_without_any_column_have_an_order_too(store):
    review = Review(Picks(POINTS), SUBJECT, store)
    review.look_at(Order(is_descending=True), "")

    assert review.rows.tolist() == list(range(10))[::-1]


def test_it_goes_on_where_it_ended(review, picks, store):
    review.judge([1, 2], Verdict.KEPT)
    review.view = {"side_nm": 33}
    review.judge([3], Verdict.REJECTED)
    assert review.save()

    again = Review(picks, SUBJECT, store)
    assert dict(again.decisions.verdicts) == dict(review.decisions.verdicts)
    assert again.remark.startswith("Resumed 3 decisions")
    assert again.view == {"side_nm": 33}


def test_decisions_follow_picks_that_are_edited_meanwhile(review, picks):
    review.judge([1, 5], Verdict.KEPT)
    moved = np.array(POINTS)
    moved[5] += 4
    review.set_picks(picks.changed(points_zyx=moved).take([5, 6, 7]))

    assert review.verdict(0) is Verdict.KEPT
    assert str(review.counts) == "1 of 3 judged"


def test_a_filter_whose_column_went_is_given_up(review, picks):
    review.look_at(Order("score"), "by = a")
    review.set_picks(picks.changed(features={}))

    assert len(review.rows) == 10


def test_what_two_windows_decide_by_turns_is_all_in_the_file_and_in_both(picks, store):
    joined = []
    one = Review(picks, SUBJECT, store, joined=lambda decisions: joined.append((one, decisions)))
    two = Review(picks, SUBJECT, SessionStore(store.folder), joined=lambda found: joined.append((two, found)))
    for row in range(6):
        window = (one, two)[row % 2]
        window.judge([row], Verdict.KEPT if row < 3 else Verdict.REJECTED)
        window.save()
    one.undo()  # takes back row 4
    one.judge([1], Verdict.UNDECIDED)  # it does not know yet that the other one kept it
    one.save()

    resumed = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [resumed.verdict(row).letter for row in range(7)] == ["K", "K", "K", "X", "", "X", ""]
    assert len(list(store.folder.iterdir())) == 1

    for window, decisions in joined:
        window.adopt(decisions)
    assert [one.verdict(row).letter for row in range(7)] == ["K", "K", "K", "X", "", "X", ""]
    assert [two.verdict(row).letter for row in range(6)] == ["K", "K", "K", "X", "X", "X"]  # as far as it has saved
    one.undo()
    assert [one.verdict(row).letter for row in range(6)] == ["K", "K", "", "X", "", "X"]  # only what was judged here


def test_of_two_windows_that_judge_the_same_pick_the_later_one_is_right(picks, store):
    joined = []
    one = Review(picks, SUBJECT, store, joined=joined.append)
    two = Review(picks, SUBJECT, SessionStore(store.folder))
    one.judge([1, 2], Verdict.KEPT)
    one.save()
    two.judge([1], Verdict.REJECTED)
    two.save()
    one.judge([3], Verdict.KEPT)
    one.save()
    one.judge([2, 4], Verdict.REJECTED)  # before it hears of what the other one did
    (decisions,) = joined
    assert one.adopt(decisions) == 1

    assert [one.verdict(row).letter for row in range(5)] == ["", "X", "X", "K", "X"]
    one.save()
    resumed = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [resumed.verdict(row).letter for row in range(5)] == ["", "X", "X", "K", "X"]


def test_what_was_taken_over_but_not_adopted_stays_in_the_file(picks, store):
    one, two = Review(picks, SUBJECT, store), Review(picks, SUBJECT, SessionStore(store.folder))
    two.judge([1], Verdict.REJECTED)
    two.save()
    for row in (2, 3):
        one.judge([row], Verdict.KEPT)
        one.save()

    resumed = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [resumed.verdict(row).letter for row in range(5)] == ["", "X", "K", "K", ""]


AT_ONCE = """
import sys, time
import numpy as np
from pathlib import Path
from napari_cryoet.picks import Picks
from napari_cryoet.review import SessionStore, Subject, Verdict, session
from napari_cryoet.review.review import Review

session._LONGEST_WAIT_S = 100.0  # for who holds the file, however busy the machine
review = Review(Picks(np.arange(30.0).reshape(10, 3), 10.0), Subject(sys.argv[2], "x"), SessionStore(Path(sys.argv[1])))
sleep = time.sleep
time.sleep = lambda seconds: (print("waits", flush=True), sleep(seconds))
review.judge([3], Verdict.KEPT)
print("saved" if review.save() else "failed", flush=True)
"""


def test_of_two_processes_that_save_at_the_same_instant_none_loses_anything(picks, store):
    review = Review(picks, SUBJECT, store)
    review.judge([1], Verdict.REJECTED)
    review.save()
    command = [sys.executable, "-c", AT_ONCE, str(store.folder), SUBJECT.key]
    with store.alone():  # as between a look at the file and its writing
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "waits\n"
        store.save(SUBJECT, [rows_of(Decisions({1: Verdict.REJECTED, 2: Verdict.KEPT}), picks)])
    said, _ = process.communicate(timeout=100)

    assert process.returncode == 0
    assert said.endswith("saved\n")
    resumed = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [resumed.verdict(row).letter for row in range(5)] == ["", "X", "K", "K", ""]


def test_who_holds_the_file_too_long_keeps_nobody_from_saving(review, store, monkeypatch):
    monkeypatch.setattr(session, "_LONGEST_WAIT_S", 0.0)
    review.judge([1], Verdict.KEPT)
    with SessionStore(store.folder).alone():
        assert review.save()


def test_picks_that_were_moved_here_keep_what_was_decided_when_another_window_writes(picks, store):
    Review(picks, SUBJECT, store).judge([1], Verdict.KEPT)
    first = Review(picks, SUBJECT, store)
    first.judge([5], Verdict.KEPT)
    first.save()
    review = Review(picks, SUBJECT, SessionStore(store.folder))
    moved = np.array(POINTS)
    moved[5] += 4
    review.set_picks(picks.changed(points_zyx=moved))
    first.judge([6], Verdict.REJECTED)
    first.save()
    review.judge([7], Verdict.KEPT)
    review.save()

    edited, original = (Review(p, SUBJECT, SessionStore(store.folder)) for p in (review.picks, picks))
    assert [edited.verdict(row).letter for row in (5, 6, 7)] == ["K", "X", "K"]
    assert [original.verdict(row).letter for row in (5, 6, 7)] == ["K", "X", "K"]


def test_what_another_window_wrote_and_nobody_understands_is_kept_beside_and_said(review, picks, store):
    review.judge([1], Verdict.KEPT)
    review.save()
    store.path_of(SUBJECT).write_text("of a later version")
    told = []
    review._failed = told.append
    review.judge([3], Verdict.KEPT)
    review.save()

    (aside,) = store.folder.glob("*.other-*")
    assert aside.name in told[0].message
    assert Review(picks, SUBJECT, SessionStore(store.folder)).counts.kept == 2


CRASH = """
import os, signal, sys
import numpy as np
from pathlib import Path
from napari_cryoet.picks import Picks
from napari_cryoet.review import SessionStore, Subject, Verdict
from napari_cryoet.review.review import Review

class Telling(SessionStore):
    def save(self, *args):
        path = super().save(*args)
        print("saved", flush=True)
        return path

review = Review(Picks(np.arange(30.0).reshape(10, 3), 10.0), Subject(sys.argv[2], "x"), Telling(Path(sys.argv[1])))
for row in range(6):
    review.judge([row], Verdict.KEPT if row % 2 else Verdict.REJECTED)
signal.pause()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_decisions_survive_a_process_that_is_killed(tmp_path, picks):
    command = [sys.executable, "-c", CRASH, str(tmp_path), SUBJECT.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "saved\n"  # by itself: nobody closes or flushes anything
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resumed = Review(picks, SUBJECT, SessionStore(tmp_path))

    assert resumed.counts.judged == 6
    assert [resumed.verdict(row).letter for row in range(7)] == ["X", "K", "X", "K", "X", "K", ""]


def test_a_decision_about_a_pick_that_was_deleted_holds_where_the_picks_come_from(review, picks, store):
    review.judge([1, 5], Verdict.REJECTED)
    review.judge([6], Verdict.KEPT)
    review.set_picks(picks.take([0, 2, 3, 4, 6, 7, 8, 9]))
    review.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in (1, 5, 6)] == ["X", "X", "K"]
    assert again.remark == "Resumed 3 decisions of an earlier review."

    review.undo()
    review.undo()  # of picks that are gone
    review.save()
    assert Review(picks, SUBJECT, SessionStore(store.folder)).counts.judged == 0


def test_a_pick_that_was_deleted_and_moved_before_and_comes_back_is_written_once(review, picks, store):
    review.judge([1, 5], Verdict.KEPT)
    review.set_picks(picks.take([0, 2, 3]))
    review.set_picks(picks.take([0, 2]))
    review.set_picks(picks)
    review.save()

    assert len(store.path_of(SUBJECT).read_text().splitlines()) == 3
    assert Review(picks, SUBJECT, SessionStore(store.folder)).counts.kept == 2


def test_a_pick_that_is_deleted_in_one_window_keeps_its_decision_in_the_other(picks, store):
    joined = []
    one = Review(picks, SUBJECT, store)
    two = Review(picks, SUBJECT, SessionStore(store.folder), joined=joined.append)
    one.judge([1, 2], Verdict.KEPT)
    one.save()
    two.judge([5], Verdict.KEPT)
    two.save()
    two.adopt(joined.pop())
    one.set_picks(picks.take([0, 3, 4, 5, 6, 7, 8, 9]))
    one.judge([0], Verdict.REJECTED)
    one.save()
    two.judge([2], Verdict.REJECTED)  # which is gone in the first window
    two.save()
    two.adopt(joined.pop())
    assert [two.verdict(row).letter for row in (0, 1, 2, 5)] == ["X", "K", "X", "K"]

    one.judge([1], Verdict.KEPT)
    one.save()
    resumed = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [resumed.verdict(row).letter for row in (0, 1, 2, 3, 5)] == ["X", "K", "X", "K", "K"]


def test_what_could_not_be_saved_is_about_the_same_places_when_other_picks_have_the_ids(picks, store, monkeypatch):
    def refuse(*_args):
        raise CryoETError("The review can't be saved: Read-only file system.")

    review = Review(picks, SUBJECT, store)
    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "save", refuse)
        review.judge([0, 3], Verdict.KEPT)
        review.judge([9], Verdict.REJECTED)
        assert not review.save()
        review.take_up(picks)
        assert review.undo()  # of the same picks, what can be undone stays
        assert review.redo()
        fewer = Picks(POINTS[1:], 10.0)  # counted from 0 again
        review.take_up(fewer)
        assert [review.verdict(row).letter for row in range(9)] == ["", "", "K", "", "", "", "", "", "X"]
        assert not review.undo()
    assert review.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in (0, 1, 2, 3, 9)] == ["K", "", "", "K", "X"]


def test_what_two_windows_decided_stays_with_its_places_when_it_is_taken_up_unsaved(picks, store, monkeypatch):
    def refuse(*_args):
        raise CryoETError("The review can't be saved: Read-only file system.")

    one, two = Review(picks, SUBJECT, store), Review(picks, SUBJECT, SessionStore(store.folder))
    one.judge([4], Verdict.KEPT)
    one.save()
    two.judge([5], Verdict.REJECTED)
    two.save()
    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "save", refuse)
        two.judge([7], Verdict.KEPT)
        assert not two.save()
        two.take_up(Picks(POINTS[2:], 10.0))
    assert two.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert "".join(again.verdict(row).letter or "-" for row in range(10)) == "----KX-K--"


def test_two_reviews_of_the_same_picks_lose_nothing_though_they_share_a_store(picks, store):
    one, other = (Review(picks, SUBJECT, store) for _ in range(2))
    one.judge([0], Verdict.KEPT)
    assert one.save()
    other.judge([1], Verdict.REJECTED)
    assert other.save()

    assert dict(Review(picks, SUBJECT, store).decisions.verdicts) == {0: Verdict.KEPT, 1: Verdict.REJECTED}


def test_what_a_script_judges_just_before_it_ends_is_saved(picks, store):
    script = f"""
import numpy as np
from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, SessionStore, Subject, Verdict
from pathlib import Path

picks = Picks(np.arange(30.0).reshape(10, 3), 10.0)
review = Review(picks, Subject({SUBJECT.key!r}, "ribosomes"), SessionStore(Path({str(store.folder)!r})))
review.judge([3], Verdict.KEPT)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)

    assert Review(picks, SUBJECT, store).verdict(3) is Verdict.KEPT


def nudged(picks, row=5, by=4):
    moved = np.array(picks.points_zyx)
    moved[row] += by
    return picks.changed(points_zyx=moved)


def test_a_pick_that_was_moved_in_the_review_is_judged_where_its_file_still_has_it(review, picks, store):
    review.judge([5], Verdict.KEPT)
    review.set_picks(nudged(picks))
    review.judge([6], Verdict.REJECTED)
    review.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in (5, 6)] == ["K", "X"]
    assert again.remark == "Resumed 2 decisions of an earlier review."
    there = Review(nudged(picks), SUBJECT, SessionStore(store.folder))  # as they are saved into the same file
    assert [there.verdict(row).letter for row in (5, 6)] == ["K", "X"]


def test_picks_that_were_moved_before_the_review_are_found_where_they_were_opened(review, picks, store):
    review.judge([5], Verdict.KEPT)
    review.save()
    moved = Review(nudged(picks), SUBJECT, SessionStore(store.folder), opened=picks)
    assert moved.verdict(5) is Verdict.KEPT

    moved.judge([5], Verdict.REJECTED)
    moved.save()
    assert Review(picks, SUBJECT, SessionStore(store.folder)).verdict(5) is Verdict.REJECTED


def test_two_windows_of_which_one_moved_a_pick_mean_the_same_pick(picks, store):
    joined = []
    one = Review(picks, SUBJECT, store, joined=joined.append)
    two = Review(picks, SUBJECT, SessionStore(store.folder))
    two.set_picks(nudged(picks))
    two.judge([5], Verdict.KEPT)
    two.save()
    one.judge([1], Verdict.KEPT)
    one.save()
    one.adopt(joined.pop())
    assert one.verdict(5) is Verdict.KEPT

    one.judge([5], Verdict.REJECTED)
    one.save()
    two.judge([2], Verdict.KEPT)
    two.save()
    for found in (picks, two.picks):
        resumed = Review(found, SUBJECT, SessionStore(store.folder))
        assert [resumed.verdict(row).letter for row in (1, 2, 5)] == ["K", "K", "X"]


def test_layers_of_one_name_in_two_windows_leave_each_others_decisions_alone(picks, store):
    far = picks.changed(points_zyx=POINTS + 100)
    one, two = Review(picks, SUBJECT, store), Review(far, SUBJECT, SessionStore(store.folder))
    for window, row, verdict in (
        (one, 3, Verdict.KEPT),
        (two, 5, Verdict.KEPT),
        (two, 7, Verdict.KEPT),
        (one, 4, Verdict.KEPT),
        (two, 5, Verdict.REJECTED),
        (two, 7, Verdict.UNDECIDED),
        (one, 1, Verdict.KEPT),
        (two, 6, Verdict.KEPT),
    ):
        window.judge([row], verdict)
        window.save()

    resumed = [Review(found, SUBJECT, SessionStore(store.folder)) for found in (picks, far)]
    assert ["".join(each.verdict(row).letter or "-" for row in range(10)) for each in resumed] == [
        "-K-KK-----",
        "-----XK---",
    ]


@pytest.mark.parametrize("is_joined", [False, True])
def test_a_pick_that_was_deleted_before_the_review_and_comes_back_has_its_decision_again(picks, store, is_joined):
    first = Review(picks, SUBJECT, store)
    first.judge([1, 2], Verdict.KEPT)
    first.save()
    review = Review(picks.take([0, 3, 4, 5]), SUBJECT, SessionStore(store.folder), opened=picks)
    if is_joined:
        first.judge([6], Verdict.REJECTED)
        first.save()
    review.judge([0], Verdict.REJECTED)
    review.save()
    review.set_picks(picks)
    assert [review.verdict(row).letter for row in range(3)] == ["X", "K", "K"]

    review.judge([1], Verdict.REJECTED)
    review.judge([2], Verdict.UNDECIDED)
    review.save()
    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in range(3)] == ["X", "X", ""]


def test_moved_picks_that_became_a_layer_of_their_own_are_still_those_of_their_file(review, picks, store):
    review.judge([4, 5], Verdict.KEPT)
    review.set_picks(nudged(picks))
    review.save()
    kept = Review(nudged(picks).take([4, 5]), SUBJECT, SessionStore(store.folder))
    kept.judge([1], Verdict.REJECTED)
    kept.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in (4, 5)] == ["K", "X"]


def test_a_decision_that_another_window_took_back_stays_so_beside_picks_of_the_same_name(picks, store):
    far = picks.changed(points_zyx=POINTS + 100)
    joined = []
    other, one = Review(far, SUBJECT, store), Review(picks, SUBJECT, SessionStore(store.folder))
    two = Review(picks, SUBJECT, SessionStore(store.folder), joined=joined.append)
    for window, row, verdict in (
        (other, 5, Verdict.KEPT),
        (one, 5, Verdict.REJECTED),
        (two, 2, Verdict.KEPT),
        (two, 5, Verdict.UNDECIDED),
        (one, 1, Verdict.KEPT),
    ):
        assert window.judge([row], verdict)
        window.save()
        if joined:
            two.adopt(joined.pop())

    assert Review(picks, SUBJECT, SessionStore(store.folder)).verdict(5) is Verdict.UNDECIDED
    assert Review(far, SUBJECT, SessionStore(store.folder)).verdict(5) is Verdict.KEPT


def test_a_pick_that_comes_back_has_what_another_window_decided_since(picks, store):
    first = Review(picks, SUBJECT, store)
    first.judge([3], Verdict.KEPT)
    first.save()
    joined = []
    review = Review(picks.take([0, 1]), SUBJECT, SessionStore(store.folder), opened=picks, joined=joined.append)
    first.judge([3], Verdict.REJECTED)
    first.save()
    review.judge([0], Verdict.KEPT)
    review.save()
    review.adopt(joined.pop())
    review.set_picks(picks)
    review.save()
    review.adopt(joined.pop())

    assert [review.verdict(row).letter for row in (0, 3)] == ["K", "X"]
    assert Review(picks, SUBJECT, SessionStore(store.folder)).verdict(3) is Verdict.REJECTED


def test_decisions_hold_where_a_layer_had_another_scale_during_the_review(review, picks, store):
    review.judge([1, 2], Verdict.KEPT)
    review.set_picks(picks.changed(spacing_angstrom=20.0))
    review.judge([3], Verdict.REJECTED)
    review.save()

    again = Review(picks, SUBJECT, SessionStore(store.folder))
    assert [again.verdict(row).letter for row in range(4)] == ["", "K", "K", "X"]


def test_picks_that_are_counted_in_other_voxels_are_where_they_were(review, picks, store):
    review.judge([1], Verdict.KEPT)
    review.set_picks(picks.rescaled(5.0))
    review.save()

    assert '"version": 1' in store.path_of(SUBJECT).read_text()
    assert Review(picks, SUBJECT, SessionStore(store.folder)).verdict(1) is Verdict.KEPT


def moved_along_x(picks, x):
    return picks.changed(points_zyx=[[0.0, 1, x], *picks.points_zyx[1:]])


def test_a_pick_that_was_moved_once_more_after_it_was_saved_is_found_in_each_file(picks, store):
    review = Review(picks, SUBJECT, store)
    review.set_picks(moved_along_x(picks, 20))
    review.judge([0], Verdict.KEPT)
    assert review.save()

    review = Review(moved_along_x(picks, 20), SUBJECT, store)  # a file that was saved of them
    review.set_picks(moved_along_x(picks, 40))
    review.judge([0], Verdict.REJECTED)
    assert review.save()

    for x in (20, 2, 40, 20, 40, 2):
        again = Review(moved_along_x(picks, x), SUBJECT, store)
        assert again.verdict(0) is Verdict.REJECTED
        again.judge([1], Verdict.UNDECIDED if again.verdict(1) is Verdict.KEPT else Verdict.KEPT)
        assert again.save()


def test_a_moved_pick_is_found_in_the_file_that_was_saved_of_it_also_once_its_annotation_was_judged_on(picks, store):
    review = Review(picks, SUBJECT, store)
    review.set_picks(moved_along_x(picks, 20))
    review.judge([0], Verdict.KEPT)
    assert review.save()

    annotation = Review(picks, SUBJECT, store)
    annotation.judge([0], Verdict.REJECTED)
    annotation.judge([1], Verdict.KEPT)
    assert annotation.save()

    saved = Review(moved_along_x(picks, 20), SUBJECT, store)
    assert [saved.verdict(row) for row in (0, 1)] == [Verdict.REJECTED, Verdict.KEPT]
    assert saved.remark == "Resumed 2 decisions of an earlier review."


def test_a_pick_that_was_moved_on_after_a_file_was_saved_of_it_is_found_in_that_file(review, picks, store):
    review.set_picks(moved_along_x(picks, 20))
    review.judge([0], Verdict.KEPT)
    review.set_picks(moved_along_x(picks, 40))  # a file was saved just before
    assert review.save()

    for x in (20, 2, 40, 20):
        again = Review(moved_along_x(picks, x), SUBJECT, SessionStore(store.folder))
        assert again.verdict(0) is Verdict.KEPT
        again.judge([1], Verdict.UNDECIDED if again.verdict(1) is Verdict.KEPT else Verdict.KEPT)
        assert again.save()


def test_a_pick_that_was_added_and_moved_on_after_a_file_was_saved_of_it_is_found_in_that_file(review, picks, store):
    saved = picks.added([[50.0, 50, 50]])
    review.set_picks(saved)
    review.judge([10], Verdict.REJECTED)
    review.set_picks(saved.changed(points_zyx=[*saved.points_zyx[:10], [60, 60, 60]]))
    assert review.save()
    assert Review(saved, SUBJECT, SessionStore(store.folder)).verdict(10) is Verdict.REJECTED


def test_a_copy_that_was_moved_away_from_its_original_says_nothing_about_it(review, picks, store):
    pasted = picks.added([picks.points_zyx[3]])
    review.set_picks(pasted)
    review.judge([10], Verdict.REJECTED)
    review.set_picks(pasted.changed(points_zyx=[*pasted.points_zyx[:10], [60, 60, 60]]))
    assert review.save()
    assert Review(picks, SUBJECT, SessionStore(store.folder)).counts.judged == 0


def test_what_is_decided_in_a_layer_that_was_moved_holds_in_files_that_are_saved_of_it(review, picks, store):
    placed = picks.changed(points_zyx=picks.points_zyx + np.array([2.0, 0, 5]))
    review.judge([5], Verdict.KEPT)
    review.set_placed(placed)
    assert review.save()
    for found in (picks, placed):
        assert Review(found, SUBJECT, SessionStore(store.folder)).verdict(5) is Verdict.KEPT


def test_where_another_window_put_a_pick_stays_on_record(picks, store):
    here, there = (Review(picks, SUBJECT, SessionStore(store.folder)) for _ in range(2))
    there.set_picks(moved_along_x(picks, 20))  # a file is saved of these
    there.judge([0], Verdict.KEPT)
    assert there.save()
    for row in (1, 2):
        here.judge([row], Verdict.REJECTED)
        assert here.save()

    for found in (moved_along_x(picks, 20), picks):
        again = Review(found, SUBJECT, SessionStore(store.folder))
        assert [again.verdict(row) for row in range(3)] == [Verdict.KEPT, Verdict.REJECTED, Verdict.REJECTED]
