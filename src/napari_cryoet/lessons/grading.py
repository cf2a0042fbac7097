"""Grade answers: how right they are, and why they are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from napari_cryoet.exceptions import AnswerError, FormatError
from napari_cryoet.lessons.lesson import (
    Answer,
    Cause,
    ChooseAnswer,
    ChooseTask,
    CompareAnswer,
    CompareTask,
    Feedback,
    LessonTask,
    MeasureAnswer,
    MeasureTask,
    PickAnswer,
    PickTask,
    Remark,
    SortAnswer,
    SortTask,
)
from napari_cryoet.lessons.mistakes import distances_to, grade_picks
from napari_cryoet.picks import Picks
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import zyx_of
from napari_cryoet.wording import count_text

#: Share of a score that the right layer of a comparison gives, without the right cause.
_LAYER_ONLY: Final = 0.5


def grade(
    task: LessonTask | None,
    answer: Answer,
    read: Callable[[str], Picks],
    progress: Task = UNWATCHED,
) -> Feedback:
    """Grade an answer to a task.

    Parameters
    ----------
    read
        Reads picks of the lesson by their file name.
    progress
        Its progress, and Stop.

    Raises
    ------
    FormatError
        If there is no task of the answer's kind, or it lacks its right answer.
    AnswerError
        If the answer contradicts itself.
    """
    match task, answer:
        case PickTask(), PickAnswer():
            feedback = grade_picks(task, answer, read, progress)
        case SortTask(), SortAnswer():
            feedback = _grade_sorted(task, answer, read)
        case ChooseTask(), ChooseAnswer():
            feedback = _grade_choice(task, answer)
        case MeasureTask(), MeasureAnswer():
            feedback = _grade_length(task, answer)
        case CompareTask(), CompareAnswer():
            feedback = _grade_comparison(task, answer)
        case _:
            raise FormatError("This step has no task of this kind.")
    text = "\n\n".join(filter(None, [feedback.text, task.explanation]))
    return replace(feedback, text=text)


def _grade_sorted(task: SortTask, answer: SortAnswer, read: Callable[[str], Picks]) -> Feedback:
    """The mean share of right decisions among those to keep and those to reject."""
    if set(answer.kept) & set(answer.rejected):
        raise AnswerError("A crop can't be both kept and rejected.")
    positions = read(task.picks).positions_angstrom_zyx
    reference = read(task.reference).positions_angstrom_zyx
    belongs = distances_to(reference, positions) <= task.tolerance_angstrom
    good = np.flatnonzero(belongs)
    bad = np.flatnonzero(~belongs)
    lost = np.setdiff1d(good, answer.kept)
    spared = np.setdiff1d(bad, answer.rejected)
    shares = [
        1 - len(wrong) / len(rows) for wrong, rows in ((lost, good), (spared, bad)) if len(rows)
    ]
    n_right = len(positions) - len(lost) - len(spared)
    sentences = [f"You sorted {n_right} of {len(positions)} rightly."]
    if len(lost):
        sentences.append(f"{count_text(len(lost), 'right pick')} should have been kept.")
    if len(spared):
        sentences.append(f"{count_text(len(spared), 'wrong pick')} should have been rejected.")
    wrong_cause: Cause = "missed" if len(lost) > len(spared) else "extra"
    score = sum(shares) / max(1, len(shares))
    feedback = _feedback(task, score, wrong_cause, " ".join(sentences))
    remarks = [
        *_at(positions, lost, "missed", "this one is right"),
        *_at(positions, spared, "extra", "this one is wrong"),
    ]
    return replace(feedback, remarks=tuple(remarks))


def _at(
    positions: NDArray[np.float64], rows: NDArray[np.int64], cause: Cause, text: str
) -> Iterator[Remark]:
    for row in rows.tolist():
        place = zyx_of(positions[row])
        yield Remark(position_zyx_angstrom=place, cause=cause, text=text, number=row + 1)


def _grade_choice(task: ChooseTask, answer: ChooseAnswer) -> Feedback:
    if task.right is None or max(task.right, answer.choice) >= len(task.choices):
        raise FormatError("This task has no such choice, or no right one.")
    right = task.choices[task.right].text or f"number {task.right + 1}"
    is_right = answer.choice == task.right
    usual = "Right." if is_right else f"No. The right answer is: {right}"
    feedback = _feedback(task, float(is_right), "wrong choice", usual)
    return replace(feedback, text=task.choices[answer.choice].message or feedback.text)


def _grade_length(task: MeasureTask, answer: MeasureAnswer) -> Feedback:
    if task.right_angstrom is None:
        raise FormatError("This task has no right length.")
    error = answer.length_angstrom - task.right_angstrom
    is_right = abs(error) <= task.tolerance_angstrom
    cause: Cause = "too short" if error < 0 else "too long"
    judgement = "Right" if is_right else f"That is {cause}"
    usual = (
        f"{judgement}: you measured {answer.length_angstrom / 10:.1f} nm, and it is "
        f"{task.right_angstrom / 10:.1f} ± {task.tolerance_angstrom / 10:.1f} nm."
    )
    return _feedback(task, float(is_right), cause, usual)


def _grade_comparison(task: CompareTask, answer: CompareAnswer) -> Feedback:
    if not task.right:
        raise FormatError("This task has no right answer.")
    score = 0.0
    start = "No,"
    if answer.layer == task.right:
        score = _LAYER_ONLY
        start = "The layer is right, but not what is wrong with it:"
        if answer.cause == task.right_cause or not task.right_cause:
            score = 1.0
            start = "Right,"
    why = f": {task.right_cause}" if task.right_cause else ""
    return _feedback(task, score, "wrong choice", f"{start} it is {task.right}{why}.")


def _feedback(task: LessonTask, score: float, wrong: Cause, usual: str) -> Feedback:
    """Feedback for a score, with a cause if it is wrong; the lesson's own words win."""
    is_right = score >= task.pass_score
    cause = "right" if is_right else wrong
    text = task.messages.get(cause, usual)
    return Feedback(score=score, is_right=is_right, cause=cause, text=text)
