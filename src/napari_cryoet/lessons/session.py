"""A learner's way through a lesson: the current step, answers, hints, and the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from napari_cryoet.lessons.lesson import (
    Answer,
    Cause,
    Feedback,
    LessonSource,
    Progress,
    Remark,
    Result,
    Step,
    StepResult,
)
from napari_cryoet.views.view import View

RESULT_SUFFIX: Final = ".result.json"


class LessonSession:
    """A learner's way through a lesson, from the first step to the summary after the last one.

    Parameters
    ----------
    progress
        Where to go on; by default at the first step.

    Attributes
    ----------
    number
        The current step, counted from 0; the number of steps at the summary.
    """

    def __init__(
        self,
        source: LessonSource,
        progress: Progress | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.lesson = source.lesson
        self.number = 0
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock = clock
        self._entered_s = clock()
        keys = [*(step.key for step in self.lesson.steps), ""]  # of the steps and the summary
        self._done = {key: StepResult(step=key) for key in keys}
        self._feedback: dict[str, Feedback] = {}  # on the last answer of a step
        if progress is not None:  # of an earlier time
            self._done.update({each.step: each for each in progress.steps if each.step in keys})
            self._feedback.update(progress.feedback)
            self.number = keys.index(progress.step) if progress.step in keys else 0
        self._enter()

    # steps

    @property
    def step(self) -> Step:
        """The current step; the summary is one with an empty key."""
        if self.is_over:
            return Step(key="", title="Summary", text=self.summary)
        return self.lesson.steps[self.number]

    @property
    def is_over(self) -> bool:
        """Whether the learner is at the summary."""
        return self.number >= len(self.lesson.steps)

    @property
    def view(self) -> View | None:
        """What the current step starts from: its own view, else that of the nearest earlier step."""
        before = reversed(self.lesson.steps[: self.number + 1])
        return next((step.view for step in before if step.view is not None), None)

    @property
    def text(self) -> str:
        """Where the learner is, such as ``Step 3 of 9``."""
        return "Summary" if self.is_over else f"Step {self.number + 1} of {len(self.lesson.steps)}"

    def go_to(self, number: int) -> None:
        """Go to a step, or to the summary after the last one."""
        self._count_time()
        self.number = number
        self._enter()

    def _enter(self) -> None:
        self.source.enter(self.step.key)

    def _count_time(self) -> None:
        now_s = self._clock()
        done = self._done[self.step.key]
        seconds = round(done.seconds + now_s - self._entered_s, 1)
        self._done[done.step] = replace(done, seconds=seconds)
        self._entered_s = now_s

    # answers and hints

    def keep(self, step_key: str, answer: Answer, feedback: Feedback) -> None:
        """Keep a graded answer; the first one of a step counts."""
        done = self._done[step_key]
        if done.answer is None:
            done = replace(done, answer=answer, score=feedback.score, cause=feedback.cause)
        self._done[step_key] = replace(done, attempts=done.attempts + 1)
        self._feedback[step_key] = feedback

    def feedback(self, step_key: str) -> Feedback | None:
        """The feedback on a step's last answer."""
        return self._feedback.get(step_key)

    @property
    def hints(self) -> tuple[str, ...]:
        """The hints of the current step that the learner has seen."""
        step = self.step
        return step.hints[: self._done[step.key].n_hints]

    @property
    def has_hint(self) -> bool:
        """Whether the current step has a hint that the learner hasn't seen."""
        return len(self.hints) < len(self.step.hints)

    def take_hint(self) -> None:
        """Show one more hint of the current step."""
        if self.has_hint:
            done = self._done[self.step.key]
            self._done[done.step] = replace(done, n_hints=done.n_hints + 1)

    # results

    @property
    def summary(self) -> str:
        """The scores of all tasks, as a Markdown table."""
        lines = ["The first answer of each task counts.", ""]
        lines += ["| Task | Score | Tries |", "|---|---|---|"]
        for step in self.lesson.steps:
            if step.task is None:
                continue
            done = self._done[step.key]
            last = self.feedback(step.key)
            score = "not answered"
            if last is not None:
                score = f"{'✓ ' if last.is_right else ''}{last.score:.0%}"
            if done.score is not None and done.attempts > 1:
                score = f"{done.score:.0%}, then {score}"
            title = step.title.replace("|", "\\|")
            lines.append(f"| {title} | {score} | {done.attempts} |")
        return "\n".join(lines)

    def result(self, nickname: str) -> Result:
        """What the learner did so far."""
        self._count_time()
        return Result(
            nickname=nickname,
            lesson=self.lesson.key,
            lesson_version=self.lesson.version,
            started_at=self._started_at,
            steps=tuple(self._done[step.key] for step in self.lesson.steps),
        )


# texts and marks


#: A letter and a colour for each kind of wrong pick, distinguishable with every colour vision.
MARKS: Final[dict[Cause, tuple[str, str]]] = {
    "missed": ("M", "#56b4e9"),
    "extra": ("X", "#ff6a3c"),
    "shifted": ("S", "#f0e442"),
    "wrong object": ("W", "#e78ac3"),
    "doubled": ("D", "#e69f00"),
    "noise": ("N", "#c0c0c0"),
    "edge": ("E", "#b39ddb"),
}
OTHER_MARK: Final = ("?", "#ff6a3c")
_MAX_LINKS: Final = 8  # to places of one cause


def feedback_text(feedback: Feedback) -> str:
    """Feedback as Markdown: score, reasons, and links to wrong and missed places by cause."""
    sign = "✗ Not right yet"
    if feedback.is_right:
        sign = "✓ Right" if feedback.score == 1 else "✓ Good enough"
    score = f"**{sign} · {feedback.score:.0%}**"
    figures = [f"{name} {figure:.0%}" for name, figure in feedback.figures.items()]
    lines = [score, feedback.text, " · ".join(figures)]
    places: dict[tuple[Cause, str], list[Remark]] = {}
    for remark in feedback.remarks:
        words = remark.text if remark.text != remark.cause else ""
        places.setdefault((remark.cause, words), []).append(remark)
    items = []
    for (cause, words), remarks in places.items():
        letter, _ = MARKS.get(cause, OTHER_MARK)
        links = []
        for count, remark in enumerate(remarks[:_MAX_LINKS], 1):
            z, y, x = remark.position_zyx_angstrom
            links.append(f"[{remark.number or count}](!highlight={z:.1f},{y:.1f},{x:.1f})")
        more = " …" if len(remarks) > _MAX_LINKS else ""
        name = f"{cause} ({words})" if words else cause
        items.append(f"- **{letter}** {name}: {' '.join(links)}{more}")
    return "\n\n".join(filter(None, [*lines, "\n".join(items)]))
