"""A learner's way through a lesson without a window."""

from __future__ import annotations

from pathlib import Path

import pytest

from lessons.fake_lesson import FakeLesson
from napari_cryoet.exceptions import ExistsError, FormatError
from napari_cryoet.lessons.lesson import Choice, ChooseAnswer, ChooseTask, Step
from napari_cryoet.lessons.session import (
    LessonSession,
    fetch_files,
    result_of_json,
    write_result,
)
from napari_cryoet.views.view import Camera, View

TASK = ChooseTask(choices=(Choice(text="A"), Choice(text="B")), right=1)
VIEW = View(
    camera=Camera(
        point_zyx_angstrom=(0, 0, 0), center_zyx_angstrom=(0, 0, 0), field_angstrom=(9, 9)
    )
)
STEPS = (
    Step(key="first", title="First", view=VIEW),
    Step(key="choice", title="Choice", task=TASK, hints=("weak", "strong")),
    Step(key="last", title="Last", task=TASK),
)


@pytest.fixture
def source() -> FakeLesson:
    source = FakeLesson(*STEPS)
    source.right = {"choice": ChooseAnswer(choice=1)}
    return source


def answer(session: LessonSession, choice: int) -> None:
    given = ChooseAnswer(choice=choice)
    session.keep("choice", given, session.grade("choice", given))


def test_the_first_answer_counts_and_nobody_has_to_be_right(source: FakeLesson) -> None:
    times = iter([0.0, 10.0, 25.0, 26.0, 27.0])
    session = LessonSession(source, clock=lambda: next(times))
    assert session.text == "Step 1 of 3"
    session.go_to(1)
    answer(session, 0)
    answer(session, 1)
    session.take_hint("choice")
    session.go_to(2)
    session.go_to(3)
    assert (session.is_over, session.text) == (True, "Summary")
    result = session.result("Ada")
    kept = result.steps[1]
    assert (kept.answer, kept.score, kept.cause) == (ChooseAnswer(choice=0), 0.0, "wrong choice")
    assert (kept.attempts, kept.n_hints, kept.seconds) == (2, 1, 15.0)
    assert (result.nickname, result.lesson, result.lesson_version) == ("Ada", "fake", 3)
    assert [(each.title, each.score, each.attempts) for each in session.scores] == [
        ("Choice", 0.0, 2),
        ("Last", None, 0),
    ]
    feedback = session.feedback("choice")
    assert feedback is not None
    assert feedback.is_right  # of the last answer, which is what is shown


def test_hints_come_one_by_one(source: FakeLesson) -> None:
    session = LessonSession(source)
    assert session.hints("choice") == ()
    for shown in (("weak",), ("weak", "strong"), ("weak", "strong")):
        session.take_hint("choice")
        assert session.hints("choice") == shown
    assert not session.has_hint("choice")


def test_a_step_without_a_view_starts_from_the_one_before(source: FakeLesson) -> None:
    session = LessonSession(source)
    session.go_to(2)
    assert session.view is VIEW


def test_a_result_is_one_file_that_is_read_back(source: FakeLesson, tmp_path: Path) -> None:
    session = LessonSession(source)
    answer(session, 1)
    result = session.result("Ada")
    path = write_result(result, tmp_path / "ada")
    assert result_of_json(path.read_bytes()) == result
    with pytest.raises(ExistsError):
        write_result(result, path)
    for text in (b"{}", b"[" * 100_000, path.read_bytes() + b" " * (2 << 20)):
        with pytest.raises(FormatError):
            result_of_json(text)


def test_files_of_a_class_are_written_and_stay_in_their_folder(
    source: FakeLesson, tmp_path: Path
) -> None:
    source.files = {"picks/a.ndjson": b"here"}
    folder = fetch_files(source, ["picks/a.ndjson"], tmp_path)
    assert Path(folder, "picks/a.ndjson").read_bytes() == b"here"
    for name in ("../a", "/etc/passwd", ""):
        with pytest.raises(FormatError):
            fetch_files(source, [name], tmp_path)
    source.folder = tmp_path / "lesson"
    assert fetch_files(source, [], tmp_path) == source.folder
