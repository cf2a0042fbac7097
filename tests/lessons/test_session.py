"""A learner's way through a lesson without a window."""

from __future__ import annotations

import pytest

from lessons.fake_lesson import FakeLesson
from napari_cryoet.lessons.lesson import (
    Choice,
    ChooseAnswer,
    ChooseTask,
    Feedback,
    Progress,
    Remark,
    Step,
    StepResult,
)
from napari_cryoet.lessons.session import (
    LessonSession,
    feedback_text,
)
from napari_cryoet.views.view import View
from views.cameras import camera_at

TASK = ChooseTask(choices=(Choice(text="A"), Choice(text="B")), right=1)
VIEW = View(camera=camera_at())
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
    session.keep("choice", given, session.source.grade("choice", given))


def test_the_first_answer_counts_and_nobody_has_to_be_right(source: FakeLesson) -> None:
    times = iter([0.0, 10.0, 25.0, 26.0, 27.0])
    session = LessonSession(source, clock=lambda: next(times))
    assert session.text == "Step 1 of 3"
    session.go_to(1)
    answer(session, 0)
    answer(session, 1)
    session.take_hint()
    session.go_to(2)
    session.go_to(3)
    assert (session.is_over, session.text) == (True, "Summary")
    result = session.result("Ada")
    kept = result.steps[1]
    assert (kept.answer, kept.score, kept.cause) == (ChooseAnswer(choice=0), 0.0, "noise")
    assert (kept.attempts, kept.n_hints, kept.seconds) == (2, 1, 15.0)
    assert (result.nickname, result.lesson, result.lesson_version) == ("Ada", "fake", 3)
    assert source.entered == [*(step.key for step in STEPS), ""]
    feedback = session.feedback("choice")
    assert feedback is not None
    assert feedback.is_right  # of the last answer, which is what is shown


def test_a_lesson_goes_on_from_earlier_progress(source: FakeLesson) -> None:
    earlier = Feedback(score=0.5, is_right=False, cause="missed", text="Half.")
    past = StepResult(
        step="choice",
        answer=ChooseAnswer(choice=0),
        score=0.5,
        cause="missed",
        attempts=3,
        n_hints=1,
    )
    removed = StepResult(step="removed", attempts=1)
    progress = Progress(step="last", steps=(past, removed), feedback={"choice": earlier})
    session = LessonSession(source, progress)
    assert session.number == 2
    session.go_to(1)
    assert session.hints == ("weak",)
    assert session.feedback("choice") == earlier
    answer(session, 1)
    kept = session.result("Ada").steps[1]
    assert (kept.answer, kept.score, kept.attempts) == (ChooseAnswer(choice=0), 0.5, 4)
    assert LessonSession(source, Progress(step="removed")).number == 0
    assert LessonSession(source, Progress(step="")).is_over


def test_hints_come_one_by_one(source: FakeLesson) -> None:
    session = LessonSession(source)
    session.go_to(1)
    assert session.hints == ()
    for shown in (("weak",), ("weak", "strong"), ("weak", "strong")):
        session.take_hint()
        assert session.hints == shown
    assert not session.has_hint


def test_a_step_without_a_view_starts_from_the_one_before(source: FakeLesson) -> None:
    session = LessonSession(source)
    session.go_to(2)
    assert session.view is VIEW


def test_feedback_links_to_wrong_places_by_cause() -> None:
    wrong = [Remark(position_zyx_angstrom=(1, 2, 3), cause="noise")] * 2
    missed = Remark(
        position_zyx_angstrom=(4, 5, 6), cause="missed", text="in the corner", number=17
    )
    figures = {"recall": 0.5}
    feedback = Feedback(
        score=0.25,
        is_right=False,
        cause="noise",
        text="Noise.",
        figures=figures,
        remarks=(*wrong, missed),
    )
    text = feedback_text(feedback)
    assert "25%" in text
    good = feedback_text(Feedback(score=0.71, is_right=True, cause="missed", text="Missed 3."))
    assert "Good enough · 71%" in good
    assert "recall 50%" in text
    assert "**N** noise: [1](!highlight=1.0,2.0,3.0) [2](!highlight" in text
    assert "**M** missed (in the corner): [17](" in text


def test_the_summary_is_a_table_of_first_scores(source: FakeLesson) -> None:
    session = LessonSession(source)
    answer(session, 1)
    assert "| Choice | ✓ 100% | 1 |" in session.summary
    answer(session, 0)
    text = session.summary
    assert "| Choice | 100%, then 0% | 2 |" in text
    assert "| Last | not answered | 0 |" in text
