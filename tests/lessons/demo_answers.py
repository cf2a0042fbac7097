"""Right and wrong answers to the tasks of the demo's lessons."""

from __future__ import annotations

import numpy as np

from napari_cryoet.lessons.lesson import (
    ChooseAnswer,
    ChooseTask,
    CompareAnswer,
    CompareTask,
    MeasureAnswer,
    MeasureTask,
    PickAnswer,
    PickTask,
    SortAnswer,
    SortTask,
)


def expected_picks(folder, task):
    """The right picks (n, 3) of a task in its region, z, y, x."""
    positions = folder.read_picks(task.reference).positions_angstrom_zyx
    starts, ends = np.array(task.region_zyx_angstrom).T
    return positions[((positions >= starts) & (positions < ends)).all(axis=1)]


def picked(positions):
    return PickAnswer(positions_zyx_angstrom=tuple(map(tuple, positions.tolist())))


def sorted_rightly(folder, task):
    """The rows to keep and to reject."""
    points = folder.read_picks(task.picks).positions_angstrom_zyx
    truth = folder.read_picks(task.reference).positions_angstrom_zyx
    near = np.linalg.norm(points[:, None] - truth, axis=-1).min(axis=1) <= task.tolerance_angstrom
    return tuple(np.flatnonzero(near).tolist()), tuple(np.flatnonzero(~near).tolist())


def answers_to(folder, task):
    """A right and a wrong answer."""
    match task:
        case PickTask(reference=None):
            return PickAnswer(), picked(np.array([[430.0, 760.0, 2300.0]]))
        case PickTask():
            good = expected_picks(folder, task)
            return picked(good + 20), picked(good + np.array([0, 0, 180]))
        case SortTask():
            kept, rejected = sorted_rightly(folder, task)
            return SortAnswer(kept=kept, rejected=rejected), SortAnswer(kept=kept + rejected)
        case ChooseTask(right=right):
            other = (right + 1) % len(task.choices)
            return ChooseAnswer(choice=right), ChooseAnswer(choice=other)
        case MeasureTask(right_angstrom=right):
            lengths = right + task.tolerance_angstrom / 2, right / 2
            return [MeasureAnswer(length_angstrom=length) for length in lengths]
        case CompareTask(right=right):
            causes = task.right_cause, task.causes[1]
            return [CompareAnswer(layer=right, cause=cause) for cause in causes]
