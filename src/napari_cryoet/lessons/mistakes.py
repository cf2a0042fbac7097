"""Grade picks against a hidden reference, and find out why they are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.check.readings import Reading, all_readings, shifted
from napari_cryoet.comparison.comparing import compare
from napari_cryoet.comparison.match import pairs_within
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.lessons.lesson import (
    MAX_PICKS,
    Cause,
    Feedback,
    PickAnswer,
    PickTask,
    Remark,
)
from napari_cryoet.picks import Picks
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import zyx_of
from napari_cryoet.volumes import edge_distances
from napari_cryoet.wording import count_text

Floats = NDArray[np.float64]

#: Fewer picks or references can't show a mistake that all picks share.
_MIN_SHARED: Final = 3
#: The part of the picks that a shared mistake must explain, besides those that are right already.
_SHARED_PART: Final = 0.4
#: A shared mistake must be less likely than this by chance.
_MAX_CHANCE: Final = 0.01
#: In tolerances: the longest shift that is looked for, and how alike the shifts of picks are.
_REACH: Final = 5.0
_ALIKE: Final = 0.5
#: In tolerances: a pick this near to a missed object is meant for it, and one this near to the end
#: of the tomogram is at its edge.
_BESIDE: Final = 1.4
_AT_EDGE: Final = 0.25
#: In tolerances: a mean offset of right picks that is worth a sentence.
_OFFSET: Final = 1 / 3
#: Picks, and pairs of picks and references, that a shift is estimated from.
_MAX_SAMPLED: Final = 300
_MAX_PAIRS: Final = 5_000
_MAX_SENTENCES: Final = 4
_SIDES: Final = (
    ("toward lower z (−z)", "toward higher z (+z)"),
    ("up (−y)", "down (+y)"),
    ("to the left (−x)", "to the right (+x)"),
)
#: Sentences by cause, those that tell most about an answer first; empty if all picks share it.
_SENTENCES: Final[Mapping[Cause, str]] = {
    "nothing here": "There is no {object_name} here.",
    "swapped": "",
    "flipped": "",
    "scaled": "",
    "wrong object": "{picks} on the wrong object: {texts}.",
    "doubled": "{picks} on an object that you picked already.",
    "shifted": "{picks} too far from the centre of the object.",
    "edge": "{picks} at the edge.",
    "noise": "{picks} on nothing but noise.",
    "extra": "{picks} on nothing that you were to pick.",
    "missed": "You missed {count} of {total}.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A mistake that many picks share: its name, and where they belong."""

    cause: Cause
    words: str
    belong_zyx: Floats
    n_fitting: int


class _Rule(NamedTuple):
    """Picks that are near to something have a cause: distances and reach in ångström."""

    distances: Floats
    reach: float
    cause: Cause
    text: str
    meant_zyx: Floats | None = None  # the places that the picks are meant for


def grade_picks(
    task: PickTask, answer: PickAnswer, read: Callable[[str], Picks], progress: Task = UNWATCHED
) -> Feedback:
    """Grade picks; the score is the F1 score of `napari_cryoet.compare`.

    ``read`` reads the hidden picks by their file name.
    """
    picks = Picks(np.reshape(answer.positions_zyx_angstrom, (-1, 3)), 1.0)
    nothing = Picks(np.empty((0, 3)), 1.0)
    reference = nothing if task.reference is None else read(task.reference)
    found = compare(
        picks,
        reference,
        radius_angstrom=task.tolerance_angstrom,
        region_angstrom=task.region_zyx_angstrom or (),
        task=progress,
    )
    assert isinstance(found, PicksComparison)  # noqa: S101 - as of all picks
    scores = found.scores
    score = 1.0 if scores.f_beta is None else scores.f_beta  # nothing is there, and none was picked
    is_right = score >= task.pass_score
    shared = None if is_right else shared_mistake(task, picks, reference, len(found.rows_a))
    rules = list(_rules(task, found, read, reference, shared))
    remarks = list(_remarks(task, found, rules))
    sentences = _sentences(task, found, remarks, shared, is_right=is_right)
    text = [task.messages.get(cause, usual) for cause, usual in sentences.items()]
    text = text[:_MAX_SENTENCES]
    if shared is None:
        text.append(_about_offset(found))
    figures = {"precision": scores.precision, "recall": scores.recall}
    right = found.b.positions_angstrom_zyx[:MAX_PICKS]
    return Feedback(
        score=score,
        is_right=is_right,
        cause=next(iter(sentences)),
        text=" ".join(filter(None, text)),
        figures={name: value for name, value in figures.items() if value is not None},
        remarks=tuple(remarks[: 2 * MAX_PICKS]),
        reference_zyx_angstrom=tuple(map(zyx_of, right)),
    )


def distances_to(targets: Floats, points: Floats) -> Floats:
    """The distance of each point (n, 3) to the nearest target (m, 3); inf if there is none."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(targets).query(points)[0])


# mistakes that all picks share


def shared_mistake(task: PickTask, picks: Picks, reference: Picks, n_right: int) -> Shared | None:
    """The shift, order of axes, flip or scale that explains most wrong picks; None if there is none.

    ``n_right`` is the number of picks that are right as they are.
    """
    from scipy.spatial import KDTree

    points = picks.positions_angstrom_zyx
    targets = reference.positions_angstrom_zyx
    if min(len(points), len(targets)) < _MIN_SHARED:
        return None
    spacing = reference.spacing_angstrom or 1.0
    shape = reference.shape_zyx or (0, 0, 0)  # without it, a flip isn't found
    tolerance = task.tolerance_angstrom
    shifts = _shifts(points, targets, tolerance)
    _, *others = all_readings(spacing, spacing)
    readings = [shifted(_commonest(shifts, _ALIKE * tolerance) / spacing), *others]
    belong = [reading.apply(points / spacing, shape) * spacing for reading in readings]
    tree = KDTree(targets)

    def n_fitting(moved: Floats) -> int:
        """How many targets are the nearest of a moved pick within the tolerance."""
        distances, rows = tree.query(moved)
        return len(np.unique(rows[distances <= tolerance]))

    counts = [n_fitting(moved) for moved in belong]
    best = int(np.argmax(counts))
    least = n_right + max(_MIN_SHARED, _SHARED_PART * len(points))
    chance = _chance(counts[best], points, targets, tolerance) * (len(shifts) + len(readings))
    if counts[best] < least or chance >= _MAX_CHANCE:
        return None
    words = readings[best].words()
    cause = _cause_of(readings[best])
    if cause == "shifted":
        words = f"shifted by about {shift_text((points - belong[best])[0])}"
    return Shared(cause, words, belong[best], counts[best])


def _cause_of(reading: Reading) -> Cause:
    if any(reading.shift_zyx):
        return "shifted"
    if reading.unit:
        return "scaled"
    return "flipped" if reading.order_zyx == (0, 1, 2) else "swapped"


def _shifts(points: Floats, targets: Floats, tolerance: float) -> Floats:
    """The shifts (n, 3) from some picks to the references around them, and that of no length."""
    some = points[:: len(points) // _MAX_SAMPLED + 1]
    near = pairs_within(some, targets, _REACH * tolerance)
    near = near.take(np.arange(0, len(near), len(near) // _MAX_PAIRS + 1))
    return np.vstack([np.zeros(3), targets[near.rows_b] - some[near.rows_a]])


def _commonest(shifts: Floats, radius: float) -> Floats:
    """The mean of the largest group of shifts around one of them."""
    from scipy.spatial import KDTree

    tree = KDTree(shifts)
    best = int(np.argmax(tree.query_ball_point(shifts, radius, return_length=True)))
    return np.asarray(shifts[tree.query_ball_point(shifts[best], radius)].mean(axis=0))


def _chance(n_fitting: int, points: Floats, targets: Floats, radius: float) -> float:
    """How likely so many points anywhere are near targets."""
    from scipy.special import bdtrc

    everything = np.vstack([points, targets])
    extent = np.ptp(everything, axis=0) + 2 * radius
    share = min(1.0, len(targets) * 4 / 3 * np.pi * radius**3 / float(extent.prod()))
    return float(bdtrc(n_fitting - 1, len(points), share))


def shift_text(shift_zyx: Floats) -> str:
    """A shift as text, with its main directions: ``6 nm to the right (+x)``."""
    length = float(np.linalg.norm(shift_zyx))
    main = [axis for axis in (2, 1, 0) if abs(shift_zyx[axis]) > length / 3]
    sides = [_SIDES[axis][int(shift_zyx[axis] > 0)] for axis in main]
    return f"{round(length / 10):,} nm {' and '.join(sides)}"


# what is wrong with each pick


def _remarks(task: PickTask, found: PicksComparison, rules: Sequence[_Rule]) -> Iterator[Remark]:
    """Remarks on wrong picks, then on missed references."""
    meant = [np.empty((0, 3))]
    for row, position in enumerate(found.only_a.positions_angstrom_zyx):
        rule = next(each for each in rules if each.distances[row] <= each.reach)
        if rule.meant_zyx is not None:
            meant.append(rule.meant_zyx[row : row + 1])
        yield Remark(position_zyx_angstrom=zyx_of(position), cause=rule.cause, text=rule.text)
    missed = found.only_b.positions_angstrom_zyx
    is_meant = distances_to(np.concatenate(meant), missed) <= _BESIDE * task.tolerance_angstrom
    text = f"{_with_article(task.object_name)} that you missed"
    for position in missed[~is_meant]:
        yield Remark(position_zyx_angstrom=zyx_of(position), cause="missed", text=text)


def _rules(
    task: PickTask,
    found: PicksComparison,
    read: Callable[[str], Picks],
    reference: Picks,
    shared: Shared | None,
) -> Iterator[_Rule]:
    """What tells why a pick is wrong: the first rule that it fits; it fits the last one always."""
    tolerance = task.tolerance_angstrom
    wrong = found.only_a.positions_angstrom_zyx
    always = np.zeros(len(wrong))
    object_name = _with_article(task.object_name)

    def near(picks: Picks) -> Floats:
        return distances_to(picks.positions_angstrom_zyx, wrong)

    if not len(found.b):
        yield _Rule(always, 0, "nothing here", "")
        return
    if shared is not None:
        belong = shared.belong_zyx[found.only_a.ids]  # the ids are rows of the answer
        to_targets = distances_to(reference.positions_angstrom_zyx, belong)
        yield _Rule(to_targets, tolerance, shared.cause, shared.words, belong)
    yield _Rule(near(found.b), tolerance, "doubled", "this one was picked twice")
    yield _Rule(near(reference), tolerance, "edge", f"{object_name} outside the region")
    for name, file in task.others.items():
        cause: Cause = "edge" if "edge" in name.casefold() else "wrong object"
        yield _Rule(near(read(file)), tolerance, cause, _with_article(name))
    beside = f"beside {object_name}"
    yield _Rule(near(found.only_b), _BESIDE * tolerance, "shifted", beside, wrong)
    if reference.shape_zyx is not None and reference.spacing_angstrom is not None:
        spacing = reference.spacing_angstrom
        to_end = edge_distances(wrong / spacing, reference.shape_zyx, spacing)
        yield _Rule(to_end, _AT_EDGE * tolerance, "edge", "the edge of the tomogram")
    if task.others:
        yield _Rule(always, 0, "noise", "only noise")
    yield _Rule(always, 0, "extra", f"not {object_name}")


# words


def _sentences(
    task: PickTask,
    found: PicksComparison,
    remarks: Sequence[Remark],
    shared: Shared | None,
    *,
    is_right: bool,
) -> dict[Cause, str]:
    """The usual sentence for each cause, the main one first."""
    total = len(found.b)
    sentences: dict[Cause, str] = {}
    if is_right and not total:
        sentences["right"] = f"There is no {task.object_name} here, as you found."
    elif is_right:
        sentences["right"] = f"You found {found.scores.true_positives} of {total}."
    if shared is not None:
        fitting = f"{shared.n_fitting} of {count_text(len(found.a), 'pick')} are right"
        of_shift = f"Your picks are {shared.words}. Moved back, {fitting}."
        of_reading = f"{fitting} if {shared.words}."
        sentences[shared.cause] = of_shift if shared.cause == "shifted" else of_reading
    counts = Counter(remark.cause for remark in remarks)
    ranks = {cause: rank for rank, cause in enumerate(_SENTENCES)}
    order = sorted(counts, key=lambda cause: (-counts[cause], ranks[cause]))
    are_mostly_wrong = (found.scores.precision or 0.0) < 2 / 3
    if are_mostly_wrong and len(order) > 1 and order[0] == "missed":
        order = [*order[1:], "missed"]  # why the picks are wrong tells more
    for cause in order:
        count = counts[cause]
        texts = dict.fromkeys(remark.text for remark in remarks if remark.cause == cause)
        usual = _SENTENCES[cause].format(
            picks=f"{count_text(count, 'pick')} {'is' if count == 1 else 'are'}",
            texts=" or ".join(texts),
            count=count,
            total=total,
            object_name=task.object_name,
        )
        sentences.setdefault(cause, usual)
    return sentences


def _about_offset(found: PicksComparison) -> str:
    """A sentence if right picks are all off to the same side; else nothing."""
    if len(found.rows_a) < _MIN_SHARED:
        return ""
    offsets = (
        found.a.positions_angstrom_zyx[found.rows_a] - found.b.positions_angstrom_zyx[found.rows_b]
    )
    mean = offsets.mean(axis=0)
    error = float(np.linalg.norm(offsets.std(axis=0))) / np.sqrt(len(offsets))
    if np.linalg.norm(mean) <= max(_OFFSET * found.radius_angstrom, 3 * error):
        return ""
    return f"Your picks are shifted by about {shift_text(mean)}; that much is allowed here."


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in set('aeiou') else 'a'} {name}"
