import numpy as np
import pytest

from napari_cryoet.measure.measuring import DENSITY, NEAREST
from napari_cryoet.picks import Picks
from napari_cryoet.review import Order, Review, Subject, Verdict
from napari_cryoet.review.sheet import Looks, ReviewSheet

SUBJECT = Subject("ribosomes", "ribosomes")
PICKS = Picks(
    np.arange(18.0).reshape(6, 3),
    10.0,
    scores=[0.5, 0.2, np.nan, 0.4, 0.9, 0.2],
    ids=[5, 6, 7, 8, 9, 10],
)
BY_SCORE = Order("score")  # rows 1, 5, 3, 0, 4, 2


@pytest.fixture
def sheet(tmp_path):
    return ReviewSheet(Review(PICKS, SUBJECT, tmp_path))


def test_cells_follow_the_order_and_the_filter(sheet):
    assert sheet.look_at(BY_SCORE, "score > 0.3") == ""
    assert sheet.ids.tolist() == [8, 5, 9]
    assert (sheet.row_at(0), sheet.cell_of(3), sheet.cell_of(1)) == (3, 0, None)
    sheet.message = "earlier"
    assert "beauty" in sheet.look_at(Order(), "beauty > 3")
    assert sheet.ids.tolist() == [8, 5, 9]
    assert sheet.message == "earlier"


def test_verdicts_apply_to_cells_and_leave_them_in_place(sheet):
    sheet.look_at(BY_SCORE, "", Verdict.UNDECIDED)
    assert sheet.judge([0, 2], Verdict.KEPT)
    assert not sheet.judge([0, 2], Verdict.KEPT)
    assert sheet.review.rows_with(Verdict.KEPT).tolist() == [1, 3]
    assert sheet.ids.tolist() == [6, 10, 8, 5, 9, 7]
    assert sheet.next_undecided(0) == 1
    assert sheet.message == ""
    sheet.judge(range(6), Verdict.REJECTED)
    assert sheet.next_undecided(0) is None
    assert "judged" in sheet.message
    sheet.look_at(Order(), "", Verdict.KEPT)
    assert sheet.next_undecided(-1) is None
    assert sheet.message == ""


def test_undo_and_redo_report_the_cells_and_the_verdict(sheet):
    sheet.look_at(BY_SCORE, "")
    sheet.judge([0], Verdict.KEPT)
    sheet.judge([0, 2], Verdict.REJECTED)
    assert sheet.undo() == [0, 2]
    assert sheet.message == "Undone: 2 picks are as they were."
    assert sheet.undo() == [0]
    assert sheet.message == "Undone: pick 7 is undecided again."
    assert sheet.undo() is None
    assert sheet.message == "Undone: pick 7 is undecided again."
    sheet.look_at(BY_SCORE, "score > 0.3")
    assert sheet.redo() == []
    assert sheet.message == "Redone: pick 7 is kept again."
    assert sheet.redo() == [0]
    assert sheet.message == "Redone: 2 picks are rejected again."


def test_only_needed_columns_that_can_be_measured_are_missing(sheet, tmp_path):
    both = f"{NEAREST} > 2".upper()
    assert sheet.missing_column(BY_SCORE, "score > 1", has_volume=True) is None
    assert sheet.missing_column(Order(DENSITY), both, has_volume=False) == NEAREST
    first = sheet.missing_column(Order(DENSITY), both, has_volume=True)
    sheet.review.set_measured({first: np.arange(6)})
    second = sheet.missing_column(Order(DENSITY), both, has_volume=True)
    assert {first, second} == {DENSITY, NEAREST}
    without_spacing = ReviewSheet(Review(Picks(PICKS.points_zyx), SUBJECT, tmp_path))
    assert without_spacing.missing_column(Order(NEAREST), "", has_volume=False) is None


def test_the_current_pick_stays_current_when_the_order_changes(sheet):
    before = sheet.ids
    sheet.judge([1], Verdict.KEPT)
    sheet.look_at(BY_SCORE, "")
    assert sheet.same_cell(3, before) == 2
    assert sheet.same_cell(-1, before) == 1  # the first undecided pick
    sheet.look_at(BY_SCORE, "score > 0.3")
    assert sheet.same_cell(1, before) == 1  # hidden
    assert sheet.same_cell(5, before) == 2  # hidden, and past the last cell
    sheet.look_at(BY_SCORE, "score > 2")
    assert sheet.same_cell(1, before) is None


def test_the_status_shows_the_most_urgent_text(sheet):
    hint = sheet.status_text(0)
    assert "Space" in hint
    sheet.look_at(Order(), "score > 0.3")
    assert sheet.status_text(0) == "3 of 6 shown."
    assert sheet.status_text(2) == "Reading 2 crops…"
    sheet.message = "Undone"
    assert sheet.status_text(2) == "Undone"
    sheet.look_at(Order(), "score > 2")
    assert "filter" in sheet.status_text(0)
    sheet.review.set_picks(PICKS.take([]))
    assert sheet.status_text(0) == ""


def test_picks_are_described_with_their_columns(sheet):
    assert sheet.caption(1) == "7"
    sheet.look_at(BY_SCORE, "")
    assert sheet.caption(1) == "7 · 0.2"
    assert sheet.caption(2) == "8 · –"
    first, position, *columns = sheet.pick_text(1).split("\n")
    assert first == "Pick 7"
    assert position == "x 5.0, y 4.0, z 3.0 voxels"
    assert {"verdict: undecided", "score: 0.2"} <= set(columns)


def test_looks_are_resumed_unless_they_are_invalid(sheet):
    looks = Looks(side_nm=30.0)
    assert looks.resumed(sheet.review) == looks
    sheet.review.view = Looks(plane="xz").to_dict() | {"from_a_later_version": 1}
    assert looks.resumed(sheet.review) == Looks(plane="xz")
    sheet.review.view = {"plane": "zz", "slab_nm": 7.0}
    assert looks.resumed(sheet.review) == looks
