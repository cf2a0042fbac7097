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
def open_review(tmp_path):
    """A function that opens a review; picks 0 and 3 start as kept, pick 1 as rejected."""

    def open_review(picks=PICKS, name="ribosomes"):
        return Review(picks, Subject.of(picks, name=name), tmp_path)

    first = open_review()
    first.judge([0, 3], Verdict.KEPT)
    first.judge([1], Verdict.REJECTED)
    first.remember_view({"side_nm": 40})
    first.save()
    return open_review


def letters(review):
    return "".join(review.verdict(row).letter or "-" for row in range(len(review.picks)))


def test_decisions_are_restored_for_the_same_annotation(open_review):
    review = open_review(name="renamed meanwhile")

    assert letters(review) == "KX-K"
    assert review.undo().tolist() == []
    assert review.view == {"side_nm": 40}
    assert "3 decisions" in review.remark


def test_files_have_a_header_and_one_decision_per_line(open_review):
    review = open_review()
    review.judge([0], Verdict.UNDECIDED)
    review.save()
    header, *lines = map(json.loads, review.path.read_text().splitlines())

    assert header["key"] == review.subject.key
    assert lines[0] == [0, "kept", 1, 2, 3, 10]
    assert lines[-1] == [0, "undecided", 1, 2, 3, 10]
    assert letters(open_review()) == "-X-K"


def test_truncated_files_can_be_read_and_continued(open_review):
    review = open_review()
    content, states = review.path.read_bytes(), {"----", "K---", "K--K", "KX-K"}
    for size in range(len(content)):
        review.path.write_bytes(content[:size])
        cut = open_review()
        assert letters(cut) in states
        cut.judge([2], Verdict.REJECTED)
        cut.save()
        assert letters(open_review()) == letters(cut)


def test_the_last_saved_decision_wins_between_windows(open_review):
    one, other = open_review(), open_review()
    one.judge([0, 2], Verdict.REJECTED)
    other.judge([0], Verdict.UNDECIDED)
    other.judge([3], Verdict.REJECTED)
    for review in (one, other):
        review.save()

    assert letters(open_review()) == "-XXX"


def test_invalid_lines_are_skipped(open_review):
    review = open_review()
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

    assert letters(open_review()) == "KX-K"


# matching decisions with picks


def test_decisions_match_nearby_ids_or_else_the_nearest_pick(open_review):
    moved = POINTS + np.array([[0, 0, 0.4], [0.3, 0.3, 0], [0, 0, 0], [0, 0, 0.6]])
    near = open_review(PICKS.changed(points_zyx=moved))
    assert letters(near) == "KX--"
    assert "1 more" in near.remark

    others = PICKS.changed(
        points_zyx=POINTS[::-1] + 0.2, ids=[20, 21, 0, 3]
    )  # ids 0 and 3 are at other positions
    matched = open_review(others)
    assert letters(matched) == "K-XK"
    matched.judge([3], Verdict.REJECTED)
    matched.save()
    assert letters(open_review(others)) == "K-XX"
    assert "more" not in open_review(others).remark


def test_decisions_match_positions_in_space_at_another_voxel_spacing(open_review):
    assert letters(open_review(PICKS.rescaled(5.0))) == "KX-K"
    ids = [20, 21, 22, 23]
    assert letters(open_review(PICKS.rescaled(20.0).changed(ids=ids))) == "KX-K"

    # the same numbers in wider voxels are other places, more than half a voxel away
    elsewhere = open_review(PICKS.changed(spacing_angstrom=12.0))
    assert letters(elsewhere) == "----"
    assert "3 more" in elsewhere.remark


def test_unmatched_decisions_stay_in_the_file(open_review):
    fewer = open_review(PICKS.take([2]))
    fewer.judge([0], Verdict.KEPT)
    fewer.save()

    assert letters(open_review()) == "KXKK"


# the file


def test_decisions_survive_a_failed_save(open_review, tmp_path):
    review = Review(PICKS, Subject("a", "a"), tmp_path / "reviews")
    (tmp_path / "reviews").write_text("in the way")
    review.judge([2], Verdict.KEPT)
    with pytest.raises(SaveError, match="review"):
        review.save()

    (tmp_path / "reviews").unlink()
    review.judge([1], Verdict.KEPT)
    review.save()
    assert letters(Review(PICKS, review.subject, tmp_path / "reviews")) == "-KK-"


def test_an_unreadable_review_raises_an_error(tmp_path):
    subject = Subject("a", "a")
    (tmp_path / subject.file_name("review")).mkdir()

    with pytest.raises(FormatError, match="review"):
        Review(PICKS, subject, tmp_path)


def test_reviews_are_saved_in_the_user_folder(user_folder):
    review = Review(PICKS, Subject.of(PICKS, name="a"))
    review.judge([0], Verdict.KEPT)
    review.save()

    assert user_folder in review.path.parents
    assert review.path.parent.name == "reviews"


def test_subjects_are_identified_by_annotation_file_path_or_name(tmp_path, monkeypatch):
    bare = Picks(POINTS)
    s3 = {"path": "10000/TS_026/7.ndjson"}
    from_pack = PICKS.changed(
        about={**s3, "annotation_file_id": 7, "source_url": "file:///pack/7.ndjson"}
    )

    assert Subject.of(PICKS, name="a") != Subject.of(
        PICKS.changed(about={"annotation_file_id": 8}), name="a"
    )
    assert Subject.of(from_pack, name="a") == Subject.of(
        PICKS.changed(about={**s3, **ABOUT}), name="a"
    )
    assert (
        Subject.of(bare, name="a", path="x.csv").key
        == Subject.of(bare, name="b", path="./x.csv").key
    )
    assert Subject.of(bare, name="a").file_name("review") != Subject.of(bare, name="b").file_name(
        "review"
    )
    assert os.sep not in Subject("https://a/../../b\0c", "x").file_name("review")
    write_picks(bare, tmp_path / "a.csv")
    monkeypatch.chdir(tmp_path)
    assert Subject.of(read_picks("a.csv"), name="a") == Subject.of(
        read_picks(tmp_path / "a.csv"), name="a"
    )


def test_tomograms_in_one_file_are_separate_subjects(tmp_path):
    columns = "".join(
        f"_rln{name}\n" for name in ("TomoName", "CoordinateX", "CoordinateY", "CoordinateZ")
    )
    (tmp_path / "both.star").write_text(
        f"data_particles\n\nloop_\n{columns}TS_1 3 2 1\nTS_2 3 2 1\n"
    )
    one, two = (
        read_picks(tmp_path / "both.star", tomogram=name, spacing_angstrom=10)
        for name in ("TS_1", "TS_2")
    )

    assert Subject.of(one, name="both").key != Subject.of(two, name="both").key
