"""Grade answers: how right they are, and why they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
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
from napari_cryoet.lessons.mistakes import as_zyx, grade_picks, nearest
from napari_cryoet.picks import Picks
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.wording import count_text, nm_text

#: Share of a score that the right layer of a comparison gives, without the right cause.
_LAYER_ONLY: Final = 0.5


def grade(
    task: LessonTask,
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
        If the answer is of another kind, or the task lacks its right answer.
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
            raise FormatError("This answer is of another kind than its task.")
    text = "\n\n".join(filter(None, [feedback.text, task.explanation]))
    return replace(feedback, text=text)


def _grade_sorted(task: SortTask, answer: SortAnswer, read: Callable[[str], Picks]) -> Feedback:
    """The mean share of right decisions among those to keep and those to reject."""
    positions = read(task.picks).positions_angstrom_zyx
    reference = read(task.reference).positions_angstrom_zyx
    belongs = nearest(positions, reference)[0] <= task.tolerance_angstrom
    good = np.flatnonzero(belongs)
    bad = np.flatnonzero(~belongs)
    lost = np.setdiff1d(good, answer.kept)
    spared = np.setdiff1d(bad, answer.rejected)
    shares = [
        1 - len(wrong) / len(rows) for wrong, rows in ((lost, good), (spared, bad)) if len(rows)
    ]
    remarks = [
        *_at(positions[lost], "missed", "this one is right"),
        *_at(positions[spared], "extra", "this one is wrong"),
    ]
    score = sum(shares) / max(1, len(shares))
    n_right = len(positions) - len(remarks)
    is_right = score >= task.pass_score
    main: Cause = "right" if is_right else "missed" if len(lost) > len(spared) else "extra"
    sentences = [f"You sorted {n_right} of {len(positions)} rightly."]
    if len(lost):
        sentences.append(f"{count_text(len(lost), 'right pick')} should have been kept.")
    if len(spared):
        sentences.append(f"{count_text(len(spared), 'wrong pick')} should have been rejected.")
    return Feedback(
        score=score,
        is_right=is_right,
        cause=main,
        text=" ".join([task.messages.get(main, ""), *sentences]).strip(),
        figures={"n_right": n_right, "n_picks": len(positions)},
        remarks=tuple(remarks),
    )


def _at(positions: NDArray[np.float64], cause: Cause, text: str) -> list[Remark]:
    return [
        Remark(position_zyx_angstrom=as_zyx(position), cause=cause, text=text)
        for position in positions
    ]


def _grade_choice(task: ChooseTask, answer: ChooseAnswer) -> Feedback:
    if task.right is None or max(task.right, answer.choice) >= len(task.choices):
        raise FormatError("This task has no such choice, or no right one.")
    chosen = task.choices[answer.choice]
    right = task.choices[task.right].text or f"number {task.right + 1}"
    is_right = answer.choice == task.right
    usual = "Right." if is_right else f"No. The right answer is: {right}"
    feedback = _of_two(task, usual, "wrong choice", is_right=is_right)
    return replace(feedback, text=chosen.message or feedback.text)


def _grade_length(task: MeasureTask, answer: MeasureAnswer) -> Feedback:
    if task.right_angstrom is None:
        raise FormatError("This task has no right length.")
    error = answer.length_angstrom - task.right_angstrom
    is_right = abs(error) <= task.tolerance_angstrom
    cause: Cause = "too short" if error < 0 else "too long"
    judgement = "Right" if is_right else f"That is {cause}"
    usual = (
        f"{judgement}: you measured {nm_text(answer.length_angstrom)}, "
        f"and it is about {nm_text(task.right_angstrom)}."
    )
    feedback = _of_two(task, usual, cause, is_right=is_right)
    return replace(feedback, figures={"error_angstrom": error})


def _grade_comparison(task: CompareTask, answer: CompareAnswer) -> Feedback:
    if not task.right:
        raise FormatError("This task has no right answer.")
    is_layer_right = answer.layer == task.right
    is_cause_right = not task.right_cause or answer.cause == task.right_cause
    why = f": {task.right_cause}" if task.right_cause else ""
    answer_text = f"it is {task.right}{why}."
    if is_layer_right and is_cause_right:
        return _of_two(task, f"Right, {answer_text}", "wrong choice", is_right=True)
    start = "The layer is right, but not what is wrong with it:" if is_layer_right else "No,"
    feedback = _of_two(task, f"{start} {answer_text}", "wrong choice", is_right=False)
    score = _LAYER_ONLY if is_layer_right else 0.0
    return replace(feedback, score=score, is_right=score >= task.pass_score)


def _of_two(task: LessonTask, usual: str, wrong: Cause, *, is_right: bool) -> Feedback:
    """Feedback on an answer that is either right or wrong; the lesson's own words win."""
    cause: Cause = "right" if is_right else wrong
    text = task.messages.get(cause, usual)
    return Feedback(score=float(is_right), is_right=is_right, cause=cause, text=text)
