"""What the board of a class shows: who is where, scores, everybody's picks, and the results as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from napari_cryoet.classroom.messages import ClassPicks, PicksOfStudent, Position
from napari_cryoet.classroom.room import GivenAnswer, Room, Student
from napari_cryoet.comparison.consensus import VOTES, consensus
from napari_cryoet.exceptions import ComparisonError, FormatError, require_known
from napari_cryoet.lessons.lesson import LessonSource, PickAnswer, PickTask, Step
from napari_cryoet.picks import Picks

#: Where spreadsheets would start a formula: some split cells at ";", and read full-width signs as plain ones.
_FORMULA: Final = re.compile("(^|[;,\\s])(?=[-=+@\uff1d\uff0b\uff0d\uff20])")
_COLUMNS: Final = (
    "nickname",
    "lesson",
    "step",
    "score",
    "right",
    "cause",
    "attempts",
    "hints",
    "seconds",
    "time",
)


class ShownStudent(msgspec.Struct, frozen=True, kw_only=True):
    """A student, and the step where the student is; None before a lesson."""

    id: str
    nickname: str
    position: Position | None
    is_present: bool


class ShownStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step; its kind is that of the task, empty if there is none."""

    key: str
    title: str
    kind: str


class ShownLesson(msgspec.Struct, frozen=True, kw_only=True):
    """A lesson, and by student and step: score, whether it is right, number of attempts."""

    key: str
    title: str
    steps: tuple[ShownStep, ...]
    rows: dict[str, dict[str, tuple[float, bool, int]]]


class BoardState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the board shows but the picks."""

    name: str
    students: tuple[ShownStudent, ...]
    lessons: tuple[ShownLesson, ...]


class Board:
    """What the board shows of a room and its lessons. Methods may be called from any thread."""

    def __init__(self, room: Room, lessons: Mapping[str, LessonSource]) -> None:
        self._room = room
        self._lessons = lessons

    def state(self) -> BoardState:
        """Who is where, and the scores."""
        students = self._room.students
        return BoardState(
            name=self._room.file.name,
            students=tuple(map(_shown, students)),
            lessons=tuple(self._shown_lesson(key, students) for key in self._lessons),
        )

    def _shown_lesson(self, key: str, students: tuple[Student, ...]) -> ShownLesson:
        lesson = self._lessons[key].lesson
        rows = {}
        for student in students:
            given = student.answers(key)
            rows[student.id] = {step: _score(answers) for step, answers in given.items()}
        steps = tuple(map(_shown_step, lesson.steps))
        return ShownLesson(key=key, title=lesson.title, steps=steps, rows=rows)

    def picks(self, lesson_key: str, step_key: str) -> ClassPicks:
        """Everybody's first picks for a task, and what they agree on; CryoETError if there is no such task."""
        require_known(lesson_key, self._lessons, "lesson of this class")
        source = self._lessons[lesson_key]
        task = source.lesson.step(step_key).task
        if not isinstance(task, PickTask):
            raise FormatError("Nothing is picked in this step.")
        people = []
        for student in self._room.students:
            answers = student.answers(lesson_key).get(step_key, [])
            if answers and isinstance(answers[0].answer, PickAnswer):
                positions = answers[0].answer.positions_zyx_angstrom
                people.append(
                    PicksOfStudent(nickname=student.nickname, positions_zyx_angstrom=positions)
                )
        reference = source.grade(step_key, PickAnswer()).reference_zyx_angstrom
        found = ClassPicks(
            object_name=task.object_name, people=tuple(people), reference_zyx_angstrom=reference
        )
        all_picks = [_as_picks(each) for each in people]
        with suppress(ComparisonError):  # fewer than two people, or thousands of picks in one place
            agreed = consensus(all_picks, task.tolerance_angstrom)
            return replace(
                found,
                agreed_zyx_angstrom=tuple(map(tuple, agreed.picks.points_zyx.tolist())),
                votes=tuple(agreed.picks.features[VOTES].tolist()),
                agreement=agreed.agreement,
            )
        return found

    def table(self) -> str:
        """The first answer of each student to each task, as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(_COLUMNS)
        for student in self._room.students:
            for key, source in self._lessons.items():
                given = student.answers(key)
                for step in source.lesson.steps:
                    if step.key in given:
                        names = (student.nickname, source.lesson.title, step.title)
                        row = _row(given[step.key])
                        writer.writerow([*map(_as_text, names), *row])
        return text.getvalue()


def _as_picks(picked: PicksOfStudent) -> Picks:
    return Picks(np.reshape(picked.positions_zyx_angstrom, (-1, 3)), 1.0)


def _shown(student: Student) -> ShownStudent:
    return ShownStudent(
        id=student.id,
        nickname=student.nickname,
        position=student.position,
        is_present=student.is_present,
    )


def _shown_step(step: Step) -> ShownStep:
    kind = "" if step.task is None else str(type(step.task).__struct_config__.tag)
    return ShownStep(key=step.key, title=step.title, kind=kind)


def _score(answers: list[GivenAnswer]) -> tuple[float, bool, int]:
    first = answers[0].feedback
    return first.score, first.is_right, len(answers)


def _row(answers: list[GivenAnswer]) -> list[object]:
    first = answers[0]
    right = "yes" if first.feedback.is_right else "no"
    return [
        f"{first.feedback.score:.3f}",
        right,
        first.feedback.cause,
        len(answers),
        first.n_hints,
        first.seconds,
        first.received_at,
    ]


def _as_text(text: str) -> str:
    """A cell in which spreadsheets find no formula."""
    return _FORMULA.sub(r"\1'", text)
