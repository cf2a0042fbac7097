import json
import os

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, Subject, Verdict

POINTS = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
ABOUT = {"source_url": "https://files.example.invalid/a.ndjson", "annotation_file_id": 7}
PICKS = Picks(POINTS, 10.0, about=ABOUT)


@pytest.fixture
def reviewed(tmp_path):
    """A function that reviews picks; picks 0 and 3 start as kept, pick 1 as rejected."""

    def reviewed(picks=PICKS, name="ribosomes"):
        return Review(picks, Subject.of(picks, name=name), tmp_path)

    first = reviewed()
    first.judge([0, 3], Verdict.KEPT)
    first.judge([1], Verdict.REJECTED)
    first.remember_view({"side_nm": 40})
    first.save()
    return reviewed


def letters(review):
    return "".join(review.verdict(row).letter or "-" for row in range(len(review.picks)))


def test_decisions_come_back_when_the_same_annotation_opens_again(reviewed):
    review = reviewed(name="renamed meanwhile")

    assert letters(review) == "KX-K"
    assert review.undo().tolist() == []
    assert review.view == {"side_nm": 40}
    assert "3 decisions" in review.remark


def test_each_line_is_a_decision_and_the_first_says_what_about(reviewed):
    review = reviewed()
    review.judge([0], Verdict.UNDECIDED)
    review.save()
    header, *lines = map(json.loads, review.path.read_text().splitlines())

    assert header["key"] == review.subject.key
    assert lines[0] == [0, "kept", 1, 2, 3, 10]
    assert lines[-1] == [0, "undecided", 1, 2, 3, 10]
    assert letters(reviewed()) == "-X-K"


def test_a_file_is_whole_after_a_kill_at_any_byte_and_goes_on(reviewed):
    review = reviewed()
    content, states = review.path.read_bytes(), {"----", "K---", "K--K", "KX-K"}
    for size in range(len(content)):
        review.path.write_bytes(content[:size])
        cut = reviewed()
        assert letters(cut) in states
        cut.judge([2], Verdict.REJECTED)
        cut.save()
        assert letters(reviewed()) == letters(cut)


def test_of_two_windows_that_judge_the_same_pick_the_later_line_counts(reviewed):
    one, other = reviewed(), reviewed()
    one.judge([0, 2], Verdict.REJECTED)
    other.judge([0], Verdict.UNDECIDED)
    other.judge([3], Verdict.REJECTED)
    for review in (one, other):
        review.save()

    assert letters(reviewed()) == "-XXX"


def test_lines_that_mean_nothing_are_left_out(reviewed):
    review = reviewed()
    decisions, odd = (
        review.path.read_bytes().split(b'\n{"view"')[0],
        (
            b"nonsense",
            b"\xff\xfe",
            b'[1, "loved", 4, 5, 6, 10]',
            b'[2, "kept", 7, 8, 9, "a"]',
            b'{"view": 3}',
            b"[2,",
        ),
    )
    review.path.write_bytes(b"\n".join([decisions, *odd]))

    assert letters(reviewed()) == "KX-K"


# matching decisions with picks


def test_an_id_counts_within_half_a_voxel_and_else_the_nearest_pick_does(reviewed):
    moved = POINTS + np.array([[0, 0, 0.4], [0.3, 0.3, 0], [0, 0, 0], [0, 0, 0.6]])
    near = reviewed(PICKS.changed(points_zyx=moved))
    assert letters(near) == "KX--"
    assert "1 more" in near.remark

    others = PICKS.changed(points_zyx=POINTS[::-1] + 0.2, ids=[20, 21, 0, 3])  # ids 0 and 3 are at other positions
    found = reviewed(others)
    assert letters(found) == "K-XK"
    found.judge([3], Verdict.REJECTED)
    found.save()
    assert letters(reviewed(others)) == "K-XX"
    assert "more" not in reviewed(others).remark


def test_decisions_that_find_no_pick_stay_in_the_file(reviewed):
    fewer = reviewed(PICKS.take([2]))
    fewer.judge([0], Verdict.KEPT)
    fewer.save()

    assert letters(reviewed()) == "KXKK"


# the file


def test_what_can_not_be_saved_is_said_and_saved_with_the_next_attempt(reviewed, tmp_path):
    review = Review(PICKS, Subject("a", "a"), tmp_path / "reviews")
    (tmp_path / "reviews").write_text("in the way")
    review.judge([2], Verdict.KEPT)
    with pytest.raises(SaveError, match="review"):
        review.save()

    (tmp_path / "reviews").unlink()
    review.judge([1], Verdict.KEPT)
    review.save()
    assert letters(Review(PICKS, review.subject, tmp_path / "reviews")) == "-KK-"


def test_a_review_that_can_not_be_read_is_not_begun_anew(tmp_path):
    subject = Subject("a", "a")
    (tmp_path / subject.file_name).mkdir()

    with pytest.raises(FormatError, match="review"):
        Review(PICKS, subject, tmp_path)


def test_reviews_are_kept_in_the_users_own_folder(user_folder):
    review = Review(PICKS, Subject.of(PICKS, name="a"))
    review.judge([0], Verdict.KEPT)
    review.save()

    assert user_folder in review.path.parents
    assert review.path.parent.name == "reviews"


def test_what_is_judged_is_told_by_its_annotation_file_or_its_path_or_its_name(tmp_path, monkeypatch):
    bare = Picks(POINTS)
    s3 = {"records": {"annotation_file": {"s3_path": "s3://bucket/7.ndjson"}}}
    from_pack = PICKS.changed(about={**s3, "annotation_file_id": 7, "source_url": "file:///pack/7.ndjson"})

    assert Subject.of(PICKS, name="a") != Subject.of(PICKS.changed(about={"annotation_file_id": 8}), name="a")
    assert Subject.of(from_pack, name="a") == Subject.of(PICKS.changed(about={**s3, **ABOUT}), name="a")
    assert Subject.of(bare, name="a", path="x.csv").key == Subject.of(bare, name="b", path="./x.csv").key
    assert Subject.of(bare, name="a").file_name != Subject.of(bare, name="b").file_name
    assert os.sep not in Subject("https://a/../../b\0c", "x").file_name
    write_picks(bare, tmp_path / "a.csv")
    monkeypatch.chdir(tmp_path)
    assert Subject.of(read_picks("a.csv"), name="a") == Subject.of(read_picks(tmp_path / "a.csv"), name="a")


def test_the_tomograms_of_one_file_are_judged_apart(tmp_path):
    columns = "".join(f"_rln{name}\n" for name in ("TomoName", "CoordinateX", "CoordinateY", "CoordinateZ"))
    (tmp_path / "both.star").write_text(f"data_particles\n\nloop_\n{columns}TS_1 3 2 1\nTS_2 3 2 1\n")
    one, two = (read_picks(tmp_path / "both.star", tomogram=name, spacing_angstrom=10) for name in ("TS_1", "TS_2"))

    assert Subject.of(one, name="both").key != Subject.of(two, name="both").key
