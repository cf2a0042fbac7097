"""Grade picks against a hidden reference, and find out why they are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.check.readings import Reading, all_readings
from napari_cryoet.comparison.comparing import compare
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
from napari_cryoet.wording import count_text, nm_text

Floats = NDArray[np.float64]

#: Fewer picks or references can't show a mistake that all picks share.
_MIN_SHARED: Final = 3
#: The part of the picks that a shared mistake must explain, besides those that are right already.
_SHARED_PART: Final = 0.4
#: A shared mistake must be less likely than this by chance.
_MAX_CHANCE: Final = 0.01
#: In tolerances: the longest shift that is looked for, and how exactly it must fit.
_REACH: Final = 5.0
_EXACT: Final = 0.5
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
#: What tells most about an answer first.
_ORDER: Final[tuple[Cause, ...]] = (
    "swapped",
    "flipped",
    "scaled",
    "wrong object",
    "doubled",
    "shifted",
    "edge",
    "noise",
    "extra",
    "missed",
)


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A mistake that many picks share: its name, and where they belong."""

    cause: Cause
    words: str
    belong_zyx: Floats
    n_fitting: int


def grade_picks(
    task: PickTask, answer: PickAnswer, read: Callable[[str], Picks], progress: Task = UNWATCHED
) -> Feedback:
    """Grade picks; the score is the F1 score of `napari_cryoet.compare`.

    ``read`` reads the hidden picks by their file name.
    """
    picks = Picks(np.reshape(answer.positions_zyx_angstrom, (-1, 3)), 1.0)
    nothing = Picks(np.empty((0, 3)), 1.0)
    reference = nothing if task.reference is None else read(task.reference)
    others = {name: read(file) for name, file in task.others.items()}
    found = compare(
        picks,
        reference,
        radius_angstrom=task.tolerance_angstrom,
        region_angstrom=task.region_zyx_angstrom or (),
        task=progress,
    )
    assert isinstance(found, PicksComparison)  # noqa: S101 - as of all picks
    if not len(found.b):
        return _graded_empty(task, found)
    score = found.scores.f_beta or 0.0
    is_right = score >= task.pass_score
    shared = None if is_right else shared_mistake(task, picks, reference, len(found.rows_a))
    remarks = list(_remarks(task, found, reference, others, shared))
    main, text = _summary(task, found, remarks, shared, is_right=is_right)
    return Feedback(
        score=score,
        is_right=is_right,
        cause=main,
        text=text,
        figures=_figures(found),
        remarks=tuple(remarks[: 2 * MAX_PICKS]),
        reference_zyx_angstrom=tuple(map(as_zyx, positions_of(found.b)[:MAX_PICKS])),
    )


def nearest(points: Floats, targets: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The distance of each point (n, 3) to the nearest target (m, 3), and its row; inf if m is 0."""
    from scipy.spatial import KDTree

    if not len(points) or not len(targets):
        return np.full(len(points), np.inf), np.zeros(len(points), np.intp)
    distances, rows = KDTree(targets).query(points)
    return distances, rows


def positions_of(picks: Picks) -> Floats:
    """Positions (n, 3) in ångström, z, y, x."""
    return picks.positions_angstrom_zyx


def as_zyx(position: Floats) -> tuple[float, float, float]:
    """A position as plain numbers."""
    z, y, x = position.tolist()
    return z, y, x


def _graded_empty(task: PickTask, found: PicksComparison) -> Feedback:
    """Grade picks where there is nothing to pick."""
    is_right = not len(found.a)
    cause: Cause = "right" if is_right else "nothing here"
    usual = f"There is no {task.object_name} here" + (", as you found." if is_right else ".")
    remarks = [
        Remark(position_zyx_angstrom=as_zyx(position), cause="nothing here")
        for position in positions_of(found.a)
    ]
    return Feedback(
        score=float(is_right),
        is_right=is_right,
        cause=cause,
        text=task.messages.get(cause, usual),
        remarks=tuple(remarks),
    )


def _figures(found: PicksComparison) -> dict[str, float]:
    scores = found.scores
    figures = {
        "n_right": scores.true_positives,
        "n_picks": len(found.a),
        "n_reference": len(found.b),
        "precision": scores.precision,
        "recall": scores.recall,
        "mean_distance_angstrom": None if found.distance is None else found.distance.mean,
    }
    return {name: float(value) for name, value in figures.items() if value is not None}


# mistakes that all picks share


def shared_mistake(task: PickTask, picks: Picks, reference: Picks, n_right: int) -> Shared | None:
    """The shift, order of axes, flip or scale that explains most wrong picks; None if there is none.

    ``n_right`` is the number of picks that are right as they are.
    """
    points = positions_of(picks)
    targets = positions_of(reference)
    if min(len(points), len(targets)) < _MIN_SHARED:
        return None
    least = n_right + max(_MIN_SHARED, _SHARED_PART * len(points))
    candidates = [
        _shift(points, targets, task.tolerance_angstrom),
        _reading(points, reference, task.tolerance_angstrom),
    ]
    likely = [each for each in candidates if each is not None and each.n_fitting >= least]
    return max(likely, key=lambda each: each.n_fitting, default=None)


def _shift(points: Floats, targets: Floats, tolerance: float) -> Shared | None:
    """The shift by which most picks miss the references alike."""
    from scipy.spatial import KDTree

    some = points[:: len(points) // _MAX_SAMPLED + 1]
    near = KDTree(targets).query_ball_point(some, _REACH * tolerance)
    pairs = zip(some, near, strict=True)
    ways = np.concatenate([targets[rows] - point for point, rows in pairs if rows] or [some[:0]])
    ways = ways[:: len(ways) // _MAX_PAIRS + 1]
    if not len(ways):
        return None
    tree = KDTree(ways)
    exact = _EXACT * tolerance
    best = int(np.argmax(tree.query_ball_point(ways, exact, return_length=True)))
    way = ways[tree.query_ball_point(ways[best], exact)].mean(axis=0)
    belong = points + way
    n_fitting = _n_fitting(belong, targets, exact)
    if not _is_above_chance(n_fitting, points, targets, exact, n_tried=len(ways)):
        return None
    return Shared("shifted", f"shifted by about {way_text(-way)}", belong, n_fitting)


def _reading(points: Floats, reference: Picks, tolerance: float) -> Shared | None:
    """The order, flip and scale of axes under which most picks fit."""
    targets = positions_of(reference)
    spacing = reference.spacing_angstrom or 1.0
    ends = np.vstack([points, targets]).max(axis=0) / spacing
    guessed = np.maximum(np.ceil(ends), 0).astype(int) + 1
    z, y, x = reference.shape_zyx or guessed.tolist()
    readings = list(all_readings(spacing, spacing))[1:]

    def read(reading: Reading) -> Floats:
        return reading.apply(points / spacing, (z, y, x)) * spacing

    counts = [_n_fitting(read(reading), targets, tolerance) for reading in readings]
    best = int(np.argmax(counts))
    if not _is_above_chance(counts[best], points, targets, tolerance, n_tried=len(readings)):
        return None
    reading = readings[best]
    cause: Cause = "swapped" if reading.order_zyx != (0, 1, 2) else "flipped"
    cause = "scaled" if reading.unit else cause
    return Shared(cause, reading.words(), read(reading), counts[best])


def _n_fitting(points: Floats, targets: Floats, radius: float) -> int:
    """How many targets have a point near."""
    distances, rows = nearest(points, targets)
    return len(np.unique(rows[distances <= radius]))


def _is_above_chance(
    n_fitting: int, points: Floats, targets: Floats, radius: float, *, n_tried: int
) -> bool:
    """Whether so many points near targets are no chance, after a number of tries."""
    from scipy.special import bdtrc

    everything = np.vstack([points, targets])
    extent = np.ptp(everything, axis=0) + 2 * radius
    share = min(1.0, len(targets) * 4 / 3 * np.pi * radius**3 / float(extent.prod()))
    return bool(bdtrc(n_fitting - 1, len(points), share) * n_tried < _MAX_CHANCE)


def way_text(way_zyx: Floats) -> str:
    """A shift as text, with its main directions: ``6 nm to the right (+x)``."""
    length = float(np.linalg.norm(way_zyx))
    main = [axis for axis in (2, 1, 0) if abs(way_zyx[axis]) > length / 3]
    sides = [_SIDES[axis][int(way_zyx[axis] > 0)] for axis in main]
    return f"{round(length / 10):,} nm {' and '.join(sides)}"


# what is wrong with each pick


def _remarks(
    task: PickTask,
    found: PicksComparison,
    reference: Picks,
    others: Mapping[str, Picks],
    shared: Shared | None,
) -> Iterator[Remark]:
    """Remarks on wrong picks, then on missed references."""
    tolerance = task.tolerance_angstrom
    wrong = positions_of(found.only_a)
    missed = positions_of(found.only_b)
    belong = wrong
    is_explained = np.zeros(len(wrong), bool)
    if shared is not None:
        belong = shared.belong_zyx[found.only_a.ids]  # the ids are rows of the answer
        is_explained = nearest(belong, positions_of(reference))[0] <= tolerance
    causes = _causes(task, found, reference, others)
    meant = [belong[is_explained]]
    for row, position in enumerate(wrong):
        cause, text = causes[row]
        if shared is not None and is_explained[row]:
            cause = shared.cause
            text = shared.words
        elif cause == "shifted":
            meant.append(wrong[row : row + 1])
        yield Remark(position_zyx_angstrom=as_zyx(position), cause=cause, text=text)
    to_meant, _ = nearest(missed, np.concatenate(meant))
    reach = tolerance if shared is not None else _BESIDE * tolerance
    for position in missed[to_meant > reach]:
        text = f"{_with_article(task.object_name)} that you missed"
        yield Remark(position_zyx_angstrom=as_zyx(position), cause="missed", text=text)


def _causes(
    task: PickTask, found: PicksComparison, reference: Picks, others: Mapping[str, Picks]
) -> list[tuple[Cause, str]]:
    """The cause of each wrong pick, and a few words about its place."""
    tolerance = task.tolerance_angstrom
    wrong = positions_of(found.only_a)
    to_counted, _ = nearest(wrong, positions_of(found.b))
    to_any, _ = nearest(wrong, positions_of(reference))
    to_missed, _ = nearest(wrong, positions_of(found.only_b))
    to_others = {name: nearest(wrong, positions_of(each))[0] for name, each in others.items()}
    to_end = _distances_to_end(wrong, reference)
    object_name = _with_article(task.object_name)

    def cause_of(row: int) -> tuple[Cause, str]:
        other = min(to_others, key=lambda name: float(to_others[name][row]), default="")
        if to_counted[row] <= tolerance:
            return "doubled", "this one was picked twice"
        if to_any[row] <= tolerance:
            return "edge", f"{object_name} outside the region"
        if other and to_others[other][row] <= tolerance:
            cause: Cause = "edge" if "edge" in other.casefold() else "wrong object"
            return cause, f"this is {_with_article(other)}"
        if to_missed[row] <= _BESIDE * tolerance:
            return "shifted", f"{nm_text(to_missed[row])} beside {object_name}"
        if to_end[row] <= _AT_EDGE * tolerance:
            return "edge", "the edge of the tomogram"
        return ("noise", "only noise") if others else ("extra", f"not {object_name}")

    return [cause_of(row) for row in range(len(wrong))]


def _distances_to_end(points: Floats, reference: Picks) -> Floats:
    """The distance of each point to the end of the tomogram; inf if its size is unknown."""
    if reference.shape_zyx is None or reference.spacing_angstrom is None:
        return np.full(len(points), np.inf)
    last = (np.array(reference.shape_zyx) - 1) * reference.spacing_angstrom
    return np.asarray(np.minimum(points, last - points).min(axis=1))


# words


def _summary(
    task: PickTask,
    found: PicksComparison,
    remarks: Sequence[Remark],
    shared: Shared | None,
    *,
    is_right: bool,
) -> tuple[Cause, str]:
    """The main cause, and a few sentences, the lesson's own where it has some."""
    counts = Counter(remark.cause for remark in remarks)
    order = sorted(counts, key=lambda cause: (-counts[cause], _ORDER.index(cause)))
    are_mostly_wrong = (found.scores.precision or 0.0) < 2 / 3
    if are_mostly_wrong and len(order) > 1 and order[0] == "missed":
        order = [*order[1:], "missed"]  # why the picks are wrong tells more
    main: Cause = "right" if is_right else order[0]
    usual = {cause: _sentence(cause, counts[cause], remarks, found) for cause in order}
    if shared is not None:
        main = shared.cause
        usual[main] = _shared_sentence(shared, len(found.a))
    if is_right:
        usual["right"] = f"You found {found.scores.true_positives} of {len(found.b)}."
    causes = dict.fromkeys([main, *order])
    sentences = [task.messages.get(cause, usual[cause]) for cause in causes][:_MAX_SENTENCES]
    if shared is None:
        sentences.append(_about_offset(found))
    return main, " ".join(filter(None, sentences))


def _shared_sentence(shared: Shared, n_picks: int) -> str:
    most = f"{shared.n_fitting} of {count_text(n_picks, 'pick')}"
    if shared.cause == "shifted":
        return f"Your picks are {shared.words}. Moved back, {most} are right."
    return f"{most} are right if {shared.words}."


def _sentence(cause: Cause, count: int, remarks: Sequence[Remark], found: PicksComparison) -> str:
    picks = f"{count_text(count, 'pick')} {'is' if count == 1 else 'are'}"
    match cause:
        case "missed":
            return f"You missed {count} of {len(found.b)}."
        case "doubled":
            return f"{picks} on an object that you picked already."
        case "wrong object":
            texts = [remark.text for remark in remarks if remark.cause == cause]
            names = [text.removeprefix("this is ") for text in dict.fromkeys(texts)]
            return f"{picks} on the wrong object: {' or '.join(names)}."
        case "shifted":
            return f"{picks} too far from the centre of the object."
        case "edge":
            return f"{picks} at the edge."
        case "noise":
            return f"{picks} on nothing but noise."
        case _:
            return f"{picks} on nothing that you were to pick."


def _about_offset(found: PicksComparison) -> str:
    """A sentence if right picks are all off to the same side; else nothing."""
    if len(found.rows_a) < _MIN_SHARED:
        return ""
    offsets = positions_of(found.a)[found.rows_a] - positions_of(found.b)[found.rows_b]
    mean = offsets.mean(axis=0)
    error = float(np.linalg.norm(offsets.std(axis=0))) / np.sqrt(len(offsets))
    if np.linalg.norm(mean) <= max(_OFFSET * found.radius_angstrom, 3 * error):
        return ""
    return f"Your picks are shifted by about {way_text(mean)}; that much is allowed here."


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in set('aeiou') else 'a'} {name}"
