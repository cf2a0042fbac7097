import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats.exchange import MAX_PICKS
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.review import session
from napari_cryoet.review.decisions import Decisions, Verdict
from napari_cryoet.review.matching import match
from napari_cryoet.review.review import Review
from napari_cryoet.review.rows import rows_of
from napari_cryoet.review.session import MAX_BYTES, SessionStore, Subject, default_folder
from napari_cryoet.review.session_lines import lines_of, parse

POINTS = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
DECIDED = {0: Verdict.KEPT, 1: Verdict.REJECTED, 3: Verdict.KEPT}


@pytest.fixture
def picks():
    return Picks(POINTS, 10.0, about={"source_url": "https://files.example.invalid/a.ndjson", "annotation_file_id": 7})


@pytest.fixture
def store(tmp_path):
    return SessionStore(tmp_path / "reviews")


@pytest.fixture
def subject(picks):
    return Subject.of(picks, name="ribosomes")


def save(store, subject, picks, decided=DECIDED, **options):
    return store.save(subject, [rows_of(Decisions(decided), picks)], **options)


def test_decisions_come_back_when_the_same_annotation_opens_again(store, subject, picks):
    save(store, subject, picks, view={"side_nm": 40})
    resumed = store.resume(Subject.of(picks, name="renamed meanwhile"), picks)

    assert dict(resumed.decisions.verdicts) == DECIDED
    assert not resumed.decisions.can_undo
    assert resumed.remark == "Resumed 3 decisions of an earlier review."
    assert resumed.view == {"side_nm": 40}


def test_there_is_nothing_to_resume_at_first(store, subject, picks):
    assert store.resume(subject, picks).remark == ""


def test_what_is_judged_is_told_by_its_annotation_file_or_its_path_or_its_name(picks):
    bare = Picks(POINTS)

    assert Subject.of(picks, name="a") != Subject.of(picks.changed(about={"annotation_file_id": 8}), name="a")
    assert Subject.of(bare, name="a", path="x.csv").key == Subject.of(bare, name="b", path="./x.csv").key
    assert Subject.of(bare, name="a").file_name != Subject.of(bare, name="b").file_name
    assert os.sep not in Subject("https://a/../../b\0c", "x").file_name


def test_a_file_is_the_same_from_whichever_folder_it_is_named(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_picks(Picks(POINTS), tmp_path / folder / "a.csv")
    monkeypatch.chdir(tmp_path / "one")
    here = Subject.of(read_picks("a.csv"), name="a")

    assert here == Subject.of(read_picks(tmp_path / "one" / "a.csv"), name="a")
    assert here != Subject.of(read_picks("../two/a.csv"), name="a")
    monkeypatch.chdir(tmp_path / "two")
    assert here != Subject.of(read_picks("a.csv"), name="a")
    assert Subject.of(Picks(POINTS, about={"source_url": "https://a/b"}), name="a").key.endswith(" of https://a/b")


OF_TWO_TOMOGRAMS = """data_particles

loop_
_rlnTomoName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnCoordinateZ #4
TS_1 3 2 1
TS_1 6 5 4
TS_2 3 2 1
TS_2 9 8 7
"""


@pytest.fixture
def of_two_tomograms(tmp_path):
    path = tmp_path / "both.star"
    path.write_text(OF_TWO_TOMOGRAMS)
    return [read_picks(path, tomogram=name, spacing_angstrom=10) for name in ("TS_1", "TS_2")]


def test_the_tomograms_of_one_file_are_judged_apart(store, of_two_tomograms):
    for number, picks in enumerate(of_two_tomograms):  # both have a pick 0, at the same place
        review = Review(picks, Subject.of(picks, name="both"), store)
        assert (review.counts.judged, review.remark) == (0, "")
        review.judge([0], (Verdict.KEPT, Verdict.REJECTED)[number])
        review.judge([1], Verdict.KEPT)
        assert review.save()

    again = [store.resume(Subject.of(picks, name="both"), picks) for picks in of_two_tomograms]
    assert [resumed.decisions[0] for resumed in again] == [Verdict.KEPT, Verdict.REJECTED]
    assert [resumed.remark for resumed in again] == ["Resumed 2 decisions of an earlier review."] * 2


def test_what_was_decided_before_tomograms_of_one_file_were_told_apart_goes_on(store, of_two_tomograms):
    one, two = of_two_tomograms
    subject = Subject.of(one, name="both")
    former = Subject(subject.key.rpartition(", tomogram")[0], "both")
    store.save(former, [rows_of(Decisions({0: Verdict.KEPT, 1: Verdict.REJECTED}), one)])
    content = store.path_of(former).read_bytes()
    review = Review(one, subject, store)
    assert dict(review.decisions.verdicts) == {0: Verdict.KEPT, 1: Verdict.REJECTED}

    review.judge([1], Verdict.KEPT)
    assert review.save()
    assert store.path_of(former).read_bytes() == content
    assert dict(store.resume(subject, one).decisions.verdicts) == {0: Verdict.KEPT, 1: Verdict.KEPT}
    resumed = store.resume(Subject.of(two, name="both"), two)
    assert len(resumed.elsewhere) == 1  # what was decided about the other one stays where it was found
    assert "kept in the file" in resumed.remark


def test_an_annotation_of_the_portal_is_the_same_whichever_tomogram_a_file_names(picks):
    exported = picks.changed(about={**picks.about, "tomogram_name": "TS_1"})

    assert Subject.of(exported, name="a") == Subject.of(picks, name="a")


def test_an_annotation_is_the_same_from_whichever_source_it_opens(store, picks):
    """The portal, a pack in any folder and a server of one's own say the same place in the portal's bucket."""

    def opened(url, s3_path="s3://bucket/10445/TS_1/a.ndjson"):
        records = {"annotation_file": {"id": 7, "s3_path": s3_path, "https_path": url}}
        return picks.changed(about={"annotation_file_id": 7, "source_url": url, "records": records})

    here, there = opened("https://files.example.org/a.ndjson"), opened("file:///packs/mine/a.ndjson")
    review = Review(here, Subject.of(here, name="a"), store)
    review.judge([1], Verdict.KEPT)
    review.save()

    assert dict(store.resume(Subject.of(there, name="a"), there).decisions.verdicts) == {1: Verdict.KEPT}
    other = opened("https://files.example.org/a.ndjson", "s3://bucket/10445/TS_2/a.ndjson")
    assert store.resume(Subject.of(other, name="a"), other).remark == ""


@pytest.mark.parametrize("records", [{}, 5, {"annotation_file": 5}, {"annotation_file": {"s3_path": None}}])
def test_an_annotation_without_a_place_in_a_bucket_is_told_by_its_address(picks, records):
    about = {"annotation_file_id": 7, "source_url": "https://a/b", "records": records}

    assert Subject.of(picks.changed(about=about), name="a").key == "annotation file 7 of https://a/b"


def test_what_was_decided_before_sources_were_taken_for_one_goes_on(store, picks):
    url, records = "file:///packs/mine/a.ndjson", {"annotation_file": {"s3_path": "s3://bucket/a.ndjson"}}
    now = picks.changed(about={"annotation_file_id": 7, "source_url": url, "records": records})
    store.save(Subject(f"annotation file 7 of {url}", "a"), [rows_of(Decisions({2: Verdict.REJECTED}), now)])

    assert dict(store.resume(Subject.of(now, name="a"), now).decisions.verdicts) == {2: Verdict.REJECTED}


@pytest.fixture
def of_portal(picks):
    """Picks that earlier versions knew by where they were opened from."""
    records = {"annotation_file": {"s3_path": "s3://bucket/a.ndjson"}}
    return picks.changed(
        about={"annotation_file_id": 7, "source_url": "file:///packs/mine/a.ndjson", "records": records}
    )


def save_as_before(store, picks, decided):
    subject = Subject.of(picks, name="a")
    return store.save(Subject(subject.former_key, "a"), [rows_of(Decisions(decided), picks)])


def test_what_an_earlier_version_decided_is_taken_over_beside_what_was_decided_since(store, of_portal):
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT, 1: Verdict.REJECTED})
    path = save_as_before(store, of_portal, {1: Verdict.KEPT, 2: Verdict.REJECTED, 3: Verdict.KEPT})
    content = path.read_bytes()
    resumed = store.resume(subject, of_portal)

    kept, rejected = Verdict.KEPT, Verdict.REJECTED
    assert dict(resumed.decisions.verdicts) == {0: kept, 1: rejected, 2: rejected, 3: kept}
    assert "Took over 2 more decisions that other versions of this program kept." in resumed.remark
    assert path.read_bytes() == content


def test_what_was_taken_over_once_doesnt_come_back_once_it_is_taken_back(store, of_portal):
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT})
    save_as_before(store, of_portal, {2: Verdict.REJECTED})
    review = Review(of_portal, subject, store)
    review.judge([2], Verdict.UNDECIDED)
    assert review.save()
    again = Review(of_portal, subject, store)
    assert dict(again.decisions.verdicts) == {0: Verdict.KEPT}
    assert "Took over" not in again.remark

    save_as_before(store, of_portal, {2: Verdict.REJECTED, 3: Verdict.KEPT})  # the earlier version was used again
    assert Review(of_portal, subject, store).decisions[3] is Verdict.KEPT


def test_what_went_on_from_an_earlier_version_is_not_taken_over_again(store, of_portal):
    save_as_before(store, of_portal, {2: Verdict.REJECTED})
    review = Review(of_portal, Subject.of(of_portal, name="a"), store)
    review.judge([2], Verdict.UNDECIDED)
    assert review.save()

    assert not Review(of_portal, Subject.of(of_portal, name="a"), store).decisions.verdicts


@pytest.fixture
def taking_over(store, of_portal):
    """A review that took a decision over, which is taken back."""
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT})
    save_as_before(store, of_portal, {2: Verdict.REJECTED})
    review = Review(of_portal, subject, store)
    review.judge([2], Verdict.UNDECIDED)
    return review


def test_reviews_that_share_a_store_each_know_what_they_took_over(taking_over, store, of_portal):
    Review(Picks(POINTS), Subject("layer b", "b"), store)
    assert taking_over.save()
    assert dict(Review(of_portal, taking_over.subject, store).decisions.verdicts) == {0: Verdict.KEPT}


def test_a_copy_of_a_review_knows_what_was_taken_over(taking_over, store, of_portal, tmp_path):
    assert taking_over.save()
    taking_over.save_copy(tmp_path / "copy").replace(store.path_of(taking_over.subject))
    assert dict(Review(of_portal, taking_over.subject, store).decisions.verdicts) == {0: Verdict.KEPT}


@pytest.mark.parametrize("is_saved_first", [True, False])
def test_what_one_window_took_over_is_not_lost_where_another_knows_nothing_of_it(is_saved_first, store, of_portal):
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT})
    there = Review(of_portal, subject, store)
    save_as_before(store, of_portal, {2: Verdict.REJECTED, 3: Verdict.KEPT})  # the earlier version was used again
    here = Review(of_portal, subject, store)
    here.judge([1], Verdict.KEPT)
    if is_saved_first:
        here.judge([3], Verdict.UNDECIDED)
        assert here.save()
    there.judge([0], Verdict.REJECTED)
    assert there.save()
    assert here.save()

    decided = dict(Review(of_portal, subject, store).decisions.verdicts)
    kept, rejected = Verdict.KEPT, Verdict.REJECTED
    assert decided == {0: rejected, 1: kept, 2: rejected} | ({} if is_saved_first else {3: kept})


def test_a_damaged_review_of_an_earlier_version_costs_nothing_of_this_one(store, of_portal):
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT})
    save_as_before(store, of_portal, {2: Verdict.REJECTED}).write_text("damaged")
    resumed = store.resume(subject, of_portal)

    assert dict(resumed.decisions.verdicts) == {0: Verdict.KEPT}
    (aside,) = store.folder.glob("*.unread-*")
    assert aside.name in resumed.remark
    assert aside.read_text() == "damaged"


def test_a_damaged_review_lets_that_of_an_earlier_version_go_on(store, of_portal):
    subject = Subject.of(of_portal, name="a")
    save(store, subject, of_portal, {0: Verdict.KEPT}).write_text("damaged")
    save_as_before(store, of_portal, {2: Verdict.REJECTED})
    resumed = store.resume(subject, of_portal)

    assert dict(resumed.decisions.verdicts) == {2: Verdict.REJECTED}
    assert "can't be read" in resumed.remark
    assert len(list(store.folder.glob("*.unread-*"))) == 1


def test_what_an_earlier_version_set_aside_is_taken_over(store, subject, picks):
    """It knows nothing of the version of the file, puts it aside, and begins anew."""
    content = save(store, subject, picks, DECIDED).read_bytes()
    aside = session.set_aside(store.path_of(subject))
    save(store, subject, picks, {0: Verdict.REJECTED, 2: Verdict.KEPT})
    resumed = store.resume(subject, picks)

    assert dict(resumed.decisions.verdicts) == {**DECIDED, 0: Verdict.REJECTED, 2: Verdict.KEPT}
    assert "Resumed 2 decisions" in resumed.remark
    assert "Took over 2 more decisions" in resumed.remark
    assert aside.read_bytes() == content


def test_what_was_set_aside_and_never_begun_anew_goes_on(store, subject, picks):
    save(store, subject, picks, DECIDED)
    session.set_aside(store.path_of(subject))

    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED


def test_picks_that_moved_or_went_have_no_decision_and_it_stays_in_the_file(store, subject, picks):
    save(store, subject, picks)
    moved = np.array(POINTS)
    moved[0] += 5
    edited = picks.changed(points_zyx=moved).take([0, 1, 2])
    resumed = store.resume(subject, edited)
    assert dict(resumed.decisions.verdicts) == {1: Verdict.REJECTED}
    assert "2 more found no pick" in resumed.remark

    store.save(subject, [rows_of(resumed.decisions, edited), *resumed.elsewhere])
    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED


def test_decisions_in_voxels_are_found_when_the_same_picks_are_given_a_voxel_size_and_when_they_have_none(picks, store):
    bare, subject = picks.changed(spacing_angstrom=None), Subject.of(picks, name="ribosomes")
    save(store, subject, bare)
    for number, again in enumerate((picks, bare, picks.changed(spacing_angstrom=13.48), bare)):
        review = Review(again, subject, store)
        assert dict(review.decisions.verdicts) == (DECIDED | {2: Verdict.KEPT} if number else DECIDED)
        review.judge([2], Verdict.KEPT)
        review.save_soon()
        assert review.save()


@pytest.mark.parametrize("width", ["-10", "0", "NaN", "1e400", '"10"', "true", "[10]"])
def test_a_width_of_voxels_that_is_none_costs_no_decision(width, picks, store, subject):
    path = save(store, subject, picks)
    path.write_text(path.read_text().replace('"spacing_angstrom": 10.0', f'"spacing_angstrom": {width}'))

    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED
    assert not store.resume(subject, picks.changed(spacing_angstrom=None)).decisions.verdicts


@pytest.mark.parametrize("widths", [(20.0, 10.0), (10.0, 20.0), (10.0, None)])
def test_where_decisions_were_made_in_voxels_of_several_widths_none_is_taken_for_that_of_all(widths, picks, subject):
    parts = [
        dataclasses.replace(rows_of(Decisions({pick_id: Verdict.KEPT}), picks), spacing_angstrom=width)
        for pick_id, width in enumerate(widths)
    ]
    saved = parse("".join(lines_of(subject.key, subject.name, parts, {})), subject.key)
    assert [rows.spacing_angstrom for rows in saved.parts] == [None]


def test_former_places_in_voxels_are_found_too(picks, store, subject):
    bare = picks.changed(spacing_angstrom=None)
    review = Review(bare, subject, store)
    review.judge([0, 1], Verdict.KEPT)
    there = bare.changed(points_zyx=np.array([[100.0, 0, 0], *POINTS[1:]]))
    review.set_picks(there)
    review.set_picks(there.take([0, 2, 3]))
    assert review.save()

    assert dict(Review(picks, subject, store).decisions.verdicts) == {0: Verdict.KEPT, 1: Verdict.KEPT}
    saved = Picks(there.points_zyx[::-1], 10.0, about=picks.about)
    assert dict(Review(saved, subject, store).decisions.verdicts) == {3: Verdict.KEPT, 2: Verdict.KEPT}


def test_decisions_in_voxels_stay_in_the_file_when_picks_are_counted_in_others(store, subject, picks):
    bare = picks.changed(spacing_angstrom=None)
    save(store, subject, bare)
    binned = picks.rescaled(20.0)  # of which one may be at a voxel of that number by chance
    resumed = store.resume(subject, binned.changed(points_zyx=[*binned.points_zyx[:3], POINTS[3]]))
    assert not resumed.decisions.verdicts
    assert "3 more found no pick in its place" in resumed.remark

    store.save(subject, [rows_of(Decisions({2: Verdict.KEPT}), binned), *resumed.elsewhere])
    assert dict(store.resume(subject, binned).decisions.verdicts) == {2: Verdict.KEPT}
    assert dict(store.resume(subject, bare).decisions.verdicts) == DECIDED


def test_picks_that_were_nudged_keep_their_decision(picks):
    decisions, is_found = match(rows_of(Decisions(DECIDED), picks), picks.changed(points_zyx=POINTS + 0.2))

    assert is_found.all()
    assert dict(decisions.verdicts) == DECIDED


def test_picks_whose_ids_are_only_row_numbers_are_known_by_their_place(picks):
    rows = rows_of(Decisions(DECIDED), picks)
    shifted = Picks(POINTS[1:], 10.0)

    assert dict(match(rows, shifted)[0].verdicts) == {0: Verdict.REJECTED, 2: Verdict.KEPT}


def test_the_same_picks_counted_in_other_voxels_keep_their_decisions(picks):
    assert dict(match(rows_of(Decisions(DECIDED), picks), picks.rescaled(3.0))[0].verdicts) == DECIDED


def test_voxels_are_never_taken_for_angstrom(picks):
    assert not match(rows_of(Decisions(DECIDED), Picks(POINTS)), Picks(POINTS / 10, 10.0))[1].any()
    assert not match(rows_of(Decisions(DECIDED), picks), Picks(POINTS * 10))[1].any()


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)))
def test_decisions_find_their_picks_in_any_order_and_whichever_of_them_are_left(order, left):
    picks = Picks(POINTS, 10.0)
    rows = [row for row in order if row in left]
    decisions, _ = match(rows_of(Decisions(DECIDED), picks), picks.take(np.array(rows, dtype=int)))

    assert dict(decisions.verdicts) == {pick: verdict for pick, verdict in DECIDED.items() if pick in left}


DAMAGES = {
    "half of it": lambda text: text[: len(text) // 2],
    "one line less": lambda text: "\n".join(text.splitlines()[:-1]),
    "nothing": lambda _text: "",
    "another format": lambda text: text.replace("napari-cryoet review", "shopping list"),
    "a later version": lambda text: text.replace('"version": 1', '"version": 6'),
    "something else": lambda text: text.replace('"key": "annotation', '"key": "another'),
    "an unknown verdict": lambda text: text.replace('"rejected"', '"maybe"'),
    "a place that is none": lambda text: text.replace("40.0", "NaN"),
    "a truth for an id": lambda text: text.replace("[3, ", "[true, "),
    "deep brackets": lambda text: text + "[" * 60_000,
    "a place beyond all numbers": lambda text: text.replace("40.0", "1" + 400 * "0"),
    "a decision in two lines and two in one": lambda text: text.replace("[0, ", "[0\n", 1).replace("]\n[3", "], [3"),
    "a long line": lambda text: text + '"' + "x" * 70_000 + '"',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_said(damage, store, subject, picks):
    path = save(store, subject, picks)
    content = DAMAGES[damage](path.read_text())
    path.write_text(content)
    resumed = store.resume(subject, picks)

    assert dict(resumed.decisions.verdicts) == {}
    assert "can't be read" in resumed.remark
    (aside,) = store.folder.iterdir()
    assert str(aside) in resumed.remark
    assert aside.read_text() == content


def test_what_is_no_text_or_too_large_is_set_aside_too(store, subject, picks):
    path = save(store, subject, picks)
    path.write_bytes(b"\xff\xfe\x00")
    assert "no text" in store.resume(subject, picks).remark
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: takes no disk
    assert "too large" in store.resume(subject, picks).remark
    assert len(list(store.folder.iterdir())) == 2


def test_a_file_is_whole_or_not_there(store, subject, picks, monkeypatch):
    save(store, subject, picks)

    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CryoETError, match="No space left"):
        save(store, subject, picks, decided={})

    assert [path.name for path in store.folder.iterdir()] == [subject.file_name]
    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED


def test_each_line_is_json_that_others_can_read(store, subject, picks):
    lines = [json.loads(line) for line in save(store, subject, picks).read_text().splitlines()]

    assert (lines[0]["key"], lines[0]["decisions"]) == (subject.key, 3)
    assert lines[1] == [0, "kept", 10.0, 20.0, 30.0, "a"]


def test_reviews_are_kept_in_the_users_data_folder(user_folder):
    assert user_folder in default_folder().parents


def test_one_pick_beyond_all_numbers_costs_no_other_decision(store, subject):
    far = Picks([[1.0, 2, 3], [1e308, 0, 0], [-1e301, 0, 0]], 10.0)
    save(store, subject, far, {0: Verdict.KEPT, 1: Verdict.REJECTED, 2: Verdict.KEPT})
    resumed = store.resume(subject, far)

    assert dict(resumed.decisions.verdicts) == {0: Verdict.KEPT}
    assert "2 more found no pick" in resumed.remark


def test_a_pick_that_came_from_beyond_all_numbers_of_angstrom_keeps_its_decision(picks, store, subject):
    far = picks.changed(points_zyx=[[0.0, 1, 1e308], *picks.points_zyx[1:]])
    review = Review(far, subject, store)
    review.set_picks(picks)
    review.judge([0, 1], Verdict.KEPT)
    assert review.save()

    again = Review(picks, subject, SessionStore(store.folder))
    assert dict(again.decisions.verdicts) == {0: Verdict.KEPT, 1: Verdict.KEPT}


def test_no_file_is_written_that_could_not_be_read_again(store, subject, picks, monkeypatch):
    path = save(store, subject, picks)
    before = path.read_bytes()
    monkeypatch.setattr(session, "MAX_DECISIONS", 2)
    with pytest.raises(CryoETError, match="more than 2 decisions"):
        save(store, subject, picks)

    assert path.read_bytes() == before


def test_all_picks_of_the_largest_file_can_be_judged():
    assert MAX_PICKS <= session.MAX_DECISIONS / 1.3
    longest = len('[9999999, "rejected", -12345678.1234, -12345678.1234, -12345678.1234, "a"]\n')
    assert session.MAX_DECISIONS * longest < MAX_BYTES


def test_of_two_that_marked_one_particle_the_other_keeps_its_verdict_when_one_went_from_the_file(picks):
    doubled = Picks([[1.0, 2, 3], [4, 5, 6], [4.2, 5, 6], [7, 8, 9]], 10.0)
    before = rows_of(Decisions({1: Verdict.REJECTED, 2: Verdict.KEPT, 3: Verdict.REJECTED}), doubled)
    without = Picks(doubled.points_zyx[[0, 2, 3]], 10.0)  # rows below the one that went have the ids of others now

    decisions, is_found = match(before, without)
    assert dict(decisions.verdicts) == {1: Verdict.KEPT, 2: Verdict.REJECTED}
    assert is_found.tolist() == [False, True, True]


def test_what_was_decided_about_a_pick_that_was_deleted_is_about_no_other_at_its_place(picks, store, subject):
    doubled = picks.changed(points_zyx=[[1.0, 2, 3], [4, 5, 6], [4, 5, 6], [7, 8, 9]])
    review = Review(doubled, subject, store)
    review.judge([2], Verdict.REJECTED)
    review.set_picks(doubled.take([0, 1, 3]))
    assert review.save()

    again = Review(doubled.take([0, 1, 3]), subject, store, opened=doubled)
    assert again.counts.judged == 0
    again.set_picks(doubled)  # the deletion is undone
    assert again.verdict(2) is Verdict.REJECTED
    assert Review(doubled, subject, store).verdict(2) is Verdict.REJECTED


def test_a_pick_that_was_moved_takes_three_more_numbers_and_a_version_of_its_own(store, subject, picks):
    moved = np.array(POINTS)
    moved[1] += 5
    here = picks.changed(points_zyx=moved)
    path = store.save(subject, [rows_of(Decisions(DECIDED), here, picks)])
    header, *lines = map(json.loads, path.read_text().splitlines())

    assert header["version"] == 2
    assert lines[0] == [0, "kept", 10.0, 20.0, 30.0, "a"]
    assert lines[1] == [1, "rejected", 90.0, 100.0, 110.0, "a", 40.0, 50.0, 60.0]
    for found in (picks, here):
        resumed = store.resume(subject, found)
        assert dict(resumed.decisions.verdicts) == DECIDED
        assert not resumed.elsewhere


@pytest.mark.parametrize(
    "damage", [', 40.0, 50.0, "60.0"]', ", 40.0, 50.0]", ", 40.0, NaN, 60.0]", ", 4.0, true, [6]]"]
)
def test_a_former_place_that_is_none_is_said(damage, store, subject, picks):
    path = store.save(subject, [rows_of(Decisions({1: Verdict.KEPT}), picks.changed(points_zyx=POINTS + 3), picks)])
    path.write_text(path.read_text().replace(", 40.0, 50.0, 60.0]", damage))

    assert "line 2 is" in store.resume(subject, picks).remark


def test_former_places_of_decisions_that_found_no_pick_stay_in_the_file(store, subject, picks):
    moved = picks.changed(points_zyx=POINTS + 3)
    path = store.save(subject, [rows_of(Decisions(DECIDED), moved, picks)])
    before = path.read_text().splitlines()[1:]
    resumed = store.resume(subject, picks.take([0]))
    store.save(subject, [rows_of(resumed.decisions, moved.take([0]), picks), *resumed.elsewhere])

    assert sorted(path.read_text().splitlines()[1:]) == sorted(before)


@pytest.mark.parametrize("path", ["/data/\udcff.star", "/data/\0.star"])
def test_a_file_whatever_it_is_called_has_a_review(store, path):
    picks = Picks(POINTS, 10.0, about={"source_url": path})
    subject = Subject.of(picks, name="odd \udcff")
    save(store, subject, picks)

    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED
    assert Subject.of(Picks(POINTS), name="odd \udcff").file_name.isascii()


EDITED = {
    "a mark before the text": lambda text: "\ufeff" + text,
    "ends of lines as on Windows": lambda text: text.replace("\n", "\r\n"),
    "empty lines at the end": lambda text: text + "\n\r\n",
    "no end of the last line": lambda text: text.rstrip("\n"),
    "letters that end lines elsewhere": lambda text: text.replace("ribosomes", "ribo\u2028so\x85mes"),
}


@pytest.mark.parametrize("edit", EDITED)
def test_what_editors_do_to_a_file_costs_no_decision(edit, store, subject, picks):
    path = save(store, subject, picks)
    path.write_bytes(EDITED[edit](path.read_text()).encode())

    assert dict(store.resume(subject, picks).decisions.verdicts) == DECIDED


def test_a_copy_that_was_rejected_and_deleted_says_nothing_of_its_original_in_another_session(picks, store, subject):
    other_window = Review(picks, subject, SessionStore(store.folder))
    review = Review(picks, subject, store)
    review.set_picks(picks.added(picks.points_zyx[:1]))
    copy = len(picks)
    review.judge([copy], Verdict.REJECTED)
    review.set_picks(picks)
    assert review.save()

    again = Review(picks, subject, SessionStore(store.folder))
    assert again.counts.judged == 0
    other_window.judge([1], Verdict.KEPT)
    assert other_window.save()
    assert other_window.verdict(0) is Verdict.UNDECIDED
    again.judge([2], Verdict.KEPT)
    assert again.save()
    again.set_picks(picks.added(picks.points_zyx[:1]))  # the copy is there again
    assert again.verdict(copy) is Verdict.REJECTED


def test_picks_that_are_taken_up_again_have_nothing_of_a_copy_that_was_deleted(picks, store, subject):
    review = Review(picks, subject, store)
    review.set_picks(picks.added(picks.points_zyx[:1]))
    review.judge([len(picks)], Verdict.REJECTED)
    review.set_picks(picks)
    review.take_up(picks, picks)

    assert review.counts.judged == 0


def test_a_copy_that_was_rejected_and_never_saved_says_nothing_of_its_original(picks, store, subject):
    other_window = Review(picks, subject, SessionStore(store.folder))
    review = Review(picks, subject, store)
    with_copy = picks.added(picks.points_zyx[:1])
    review.set_picks(with_copy)
    copy = len(picks)
    review.judge([copy], Verdict.REJECTED)
    review.judge([1], Verdict.KEPT)
    assert review.save()

    again = Review(picks, subject, SessionStore(store.folder))
    assert dict(again.decisions.verdicts) == {1: Verdict.KEPT}
    other_window.judge([2], Verdict.KEPT)
    assert other_window.save()
    assert other_window.verdict(0) is Verdict.UNDECIDED
    assert again.save()
    assert Review(with_copy, subject, SessionStore(store.folder)).verdict(copy) is Verdict.REJECTED


def test_a_copy_that_was_saved_without_ids_keeps_its_decision_and_its_original_has_none(picks, store, subject):
    review = Review(picks, subject, store)
    review.set_picks(picks.added(picks.points_zyx[:1]).take([1, 0, 2, 4]))  # one went, so that ids count anew
    review.judge([3], Verdict.REJECTED)
    assert review.save()

    saved = Picks(review.picks.points_zyx, 10.0, about=picks.about)
    assert Review(saved, subject, store).decisions.verdicts == {3: Verdict.REJECTED}


def test_a_copy_of_a_pick_that_was_judged_is_found_beside_it(picks, store, subject):
    review = Review(picks, subject, store)
    review.set_picks(picks.added(picks.points_zyx[:1]).take([1, 0, 2, 4]))
    review.judge([1], Verdict.KEPT)
    review.judge([3], Verdict.REJECTED)
    assert review.save()

    saved = Picks(review.picks.points_zyx, 10.0, about=picks.about)
    assert Review(saved, subject, store).decisions.verdicts == {1: Verdict.KEPT, 3: Verdict.REJECTED}
    assert dict(Review(picks, subject, store).decisions.verdicts) == {0: Verdict.KEPT}


def test_a_copy_on_two_picks_of_one_place_says_nothing_of_either(picks, store, subject):
    doubled = picks.changed(points_zyx=[[1.0, 2, 3], [1, 2, 3], [7, 8, 9], [10, 11, 12]])
    review = Review(doubled, subject, store)
    review.set_picks(doubled.added(doubled.points_zyx[:1]))
    review.judge([1, 4], Verdict.REJECTED)
    assert review.save()

    assert dict(Review(doubled, subject, store).decisions.verdicts) == {1: Verdict.REJECTED}


def test_a_pick_that_is_moved_anew_in_many_sessions_is_still_found_in_a_file_that_was_saved_before(store, picks):
    def moved(by):
        return picks.changed(points_zyx=POINTS + np.array([[0], [0], [0], [by]]))

    subject = Subject.of(picks, name="ribosomes")
    review = Review(picks, subject, SessionStore(store.folder))
    review.judge([3], Verdict.KEPT)
    review.set_picks(moved(5))
    assert review.save()

    for session_number in range(1, 6):  # never saved, so that each begins where the annotation has it
        review = Review(picks, subject, SessionStore(store.folder))
        review.set_picks(moved(10 * session_number))
        review.judge([session_number % 3], Verdict.REJECTED)
        assert review.save()

    assert Review(moved(5), subject, store).verdict(3) is Verdict.KEPT


def test_what_an_earlier_version_decided_of_another_pick_of_the_same_id_stays_in_the_file_too(store, of_portal):
    """Neither of the two is there now: they are of other versions of the file."""
    places = [[[100.0, 0, 0]], [[0.0, 100, 0]]]
    one, two = (Picks(place, 10.0, about=of_portal.about) for place in places)
    subject = Subject.of(of_portal, name="a")
    save(store, subject, one, {0: Verdict.KEPT})
    save_as_before(store, two, {0: Verdict.REJECTED})
    review = Review(of_portal, subject, store)
    review.judge([3], Verdict.KEPT)
    assert review.save()

    assert Review(one, subject, store).verdict(0) is Verdict.KEPT
    assert Review(two, subject, store).verdict(0) is Verdict.REJECTED
