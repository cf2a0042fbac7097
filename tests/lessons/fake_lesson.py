"""A lesson in memory that grades at once, with every kind of task."""

from __future__ import annotations

from napari_cryoet.exceptions import FormatError, NetworkError
from napari_cryoet.lessons.lesson import (
    Answer,
    Feedback,
    Lesson,
    MeasureAnswer,
    PickAnswer,
    Remark,
    Step,
)
from napari_cryoet.task import UNWATCHED, Task

REFERENCE = ((400.0, 900.0, 900.0), (400.0, 1200.0, 900.0))


class FakeLesson:
    """A source whose answers are right if they are `right`."""

    def __init__(self, *steps: Step) -> None:
        self.lesson = Lesson(key="fake", title="A fake lesson", version=3, steps=steps)
        self.files: dict[str, bytes] = {}
        self.right: dict[str, Answer] = {}
        self.answers: list[tuple[str, Answer]] = []
        self.is_reachable = True
        self.entered: list[str] = []
        self.n_hints = 0  # of the last answer

    def read_file(self, name: str) -> bytes:
        if not self.is_reachable:
            raise NetworkError("The class can't be reached.")
        if name not in self.files:
            raise FormatError(f"The lesson has no file {name}.")
        return self.files[name]

    def enter(self, step_key: str) -> None:
        self.entered.append(step_key)

    def grade(
        self, step_key: str, answer: Answer, task: Task = UNWATCHED, *, n_hints: int = 0
    ) -> Feedback:
        if not self.is_reachable:
            raise NetworkError("The class can't be reached.")
        self.answers.append((step_key, answer))
        self.n_hints = n_hints
        is_right = answer == self.right.get(step_key)
        reference = ()
        wrong = ()
        match answer:
            case PickAnswer(positions_zyx_angstrom=positions):
                reference = REFERENCE
                wrong = positions
            case MeasureAnswer(length_angstrom=length):
                is_right = 300 < length < 500
        remarks = tuple(Remark(position_zyx_angstrom=each, cause="noise") for each in wrong)
        return Feedback(
            score=float(is_right),
            is_right=is_right,
            cause="right" if is_right else "noise",
            text="Well done." if is_right else "There is **only noise** here.",
            figures={"precision": float(is_right)},
            remarks=() if is_right else remarks,
            reference_zyx_angstrom=reference,
        )
