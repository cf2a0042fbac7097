"""Answers are graded as `compare` scores them, and the feedback names what is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from msgspec.structs import replace

from napari_cryoet import compare
from napari_cryoet.demo.rows import RUNS
from napari_cryoet.demo.scenes import scene
from napari_cryoet.exceptions import AnswerError, FormatError
from napari_cryoet.lessons.grading import grade
from napari_cryoet.lessons.lesson import (
    Choice,
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
from napari_cryoet.picks import Picks

RUN = next(run for run in RUNS if run.name == "DEMO_003")
SPACING = RUN.spacing_angstrom("full")
SHAPE = RUN.shape_zyx("full")
END = (np.array(SHAPE) - 1) * SPACING
POSITIONS = scene(RUN.scene).positions_angstrom_xyz
RIBOSOMES = POSITIONS["ribosome"][:, ::-1]
PROTEASOMES = POSITIONS["proteasome"][:, ::-1]
FILES = {
    "answers/ribosomes.ndjson": Picks(RIBOSOMES / SPACING, SPACING, shape_zyx=SHAPE),
    "answers/proteasomes.ndjson": Picks(PROTEASOMES / SPACING, SPACING, shape_zyx=SHAPE),
}
TASK = PickTask(
    object_name="ribosome",
    tolerance_angstrom=120,
    reference="answers/ribosomes.ndjson",
    others={"proteasome": "answers/proteasomes.ndjson"},
)
JITTER_ANGSTROM = 25.0

#: Mistakes by the words that name them; each changes good picks (n, 3), z, y, x.
MISTAKES = {
    "6 nm to the right (+x)": lambda good, rng: good + np.array([0, 0, 60]),
    "20 nm up (−y)": lambda good, rng: good - np.array([0, 200, 0]),
    "30 nm toward higher z (+z)": lambda good, rng: good + np.array([300, 0, 0]),
    "x and z are swapped": lambda good, rng: good[:, ::-1],
    "y is flipped": lambda good, rng: [0, END[1], 0] + good * [1, -1, 1],
    "z is flipped": lambda good, rng: [END[0], 0, 0] + good * [-1, 1, 1],
    "wrong object: a proteasome": lambda good, rng: np.concatenate([good[:3], PROTEASOMES]),
    "picked already": lambda good, rng: np.concatenate([good, _jittered(good[:5], rng)]),
    "missed 20 of 24": lambda good, rng: good[:4],
    "noise": lambda good, rng: np.concatenate([good[:4], _nowhere(12, rng)]),
    "twice as wide": lambda good, rng: good / 2,
    "divided by the voxel spacing": lambda good, rng: good / SPACING,
    "x and y are swapped": lambda good, rng: good[:, [0, 2, 1]],
}


def _jittered(points, rng):
    return points + rng.normal(0, JITTER_ANGSTROM, points.shape)


def _nowhere(count, rng):
    """Positions that are on nothing."""
    tried = rng.uniform(0, 1, (1000, 3)) * END
    objects = np.concatenate([RIBOSOMES, PROTEASOMES])
    distances = np.linalg.norm(tried[:, None] - objects[None], axis=-1).min(axis=1)
    return tried[distances > 180][:count]


def good_picks(count, seed):
    rng = np.random.default_rng([seed, count])
    return _jittered(RIBOSOMES[rng.permutation(len(RIBOSOMES))[:count]], rng), rng


def graded(positions, task=TASK):
    picked = tuple(map(tuple, np.asarray(positions).tolist()))
    return grade(task, PickAnswer(positions_zyx_angstrom=picked), FILES.__getitem__)


def is_named(words, text):
    """Whether a text has these words; a length may be 2 nm off, since the picks are jittered."""
    length, nm, side = words.partition(" nm ")
    if not nm:
        return words in text
    found = re.search(rf"(\d+) nm {re.escape(side)}", text)
    return found is not None and abs(int(found[1]) - int(length)) <= 2


@pytest.mark.parametrize("words", MISTAKES)
def test_feedback_names_planted_mistakes(words):
    trials = [(count, seed) for count in (8, 12, 20) for seed in range(5)]
    named = 0
    for count, seed in trials:
        good, rng = good_picks(count, seed)
        feedback = graded(MISTAKES[words](good, rng))
        named += is_named(words, feedback.text)
    assert named >= 0.9 * len(trials)


def test_good_picks_are_not_blamed():
    for seed in range(10):
        good, _ = good_picks(20, seed)
        feedback = graded(good)
        assert feedback.is_right
        assert feedback.cause == "right"
        assert feedback.text == "You found 20 of 24. You missed 4 of 24."
        few, rng = good_picks(8, seed)
        assert graded(few).cause == "missed"
        assert graded(_nowhere(8, rng)).cause in {"noise", "shifted", "edge"}


@pytest.mark.parametrize("region", [None, ((0, 400), (0, 1690), (300, 1300))])
def test_the_score_is_that_of_compare(region):
    task = replace(TASK, tolerance_angstrom=70, region_zyx_angstrom=region)
    good, rng = good_picks(16, 1)
    picks = np.concatenate([good + 25, _nowhere(5, rng)])
    expected = compare(
        Picks(picks, 1.0),
        FILES["answers/ribosomes.ndjson"],
        radius_angstrom=70,
        region_angstrom=region or (),
    )
    feedback = graded(picks, task)

    assert 0 < feedback.score < 1
    assert feedback.score == expected.scores.f_beta
    assert feedback.figures["recall"] == expected.scores.recall
    assert len(feedback.reference_zyx_angstrom) == len(expected.b)


def test_each_wrong_place_has_a_remark():
    wrong = [RIBOSOMES[0] + 10, PROTEASOMES[0], RIBOSOMES[20] + np.array([0, 0, 150])]
    picks = np.concatenate([RIBOSOMES[:20], wrong])
    feedback = graded(picks)

    causes = [remark.cause for remark in feedback.remarks]
    assert causes == ["doubled", "wrong object", "shifted", "missed", "missed", "missed"]
    assert feedback.remarks[1].text == "a proteasome"
    assert feedback.remarks[2].text == "beside a ribosome"
    assert np.allclose([each.position_zyx_angstrom for each in feedback.remarks[:3]], picks[20:])
    assert np.allclose(
        [each.position_zyx_angstrom for each in feedback.remarks[3:]], RIBOSOMES[21:]
    )


def test_the_edges_of_tomogram_and_region():
    corner = np.array([END[0] - 5, END[1] - 5, 5.0])
    half = ((0, END[0] + 1), (0, END[1] + 1), (0, 740.0))
    task = replace(TASK, tolerance_angstrom=60, region_zyx_angstrom=half)
    inside = RIBOSOMES[:, 2] < 740
    outer = RIBOSOMES[(RIBOSOMES[:, 2] >= 740) & (RIBOSOMES[:, 2] < 790)] - [0, 0, 50]
    feedback = graded(np.concatenate([RIBOSOMES[inside], [corner], outer]), task)

    assert feedback.is_right
    assert [remark.cause for remark in feedback.remarks] == ["edge"] * (1 + len(outer))
    task = replace(task, region_zyx_angstrom=None, others={"carbon edge": "carbon"})
    files = FILES | {"carbon": Picks(np.array([[360.0, 900, 900]]), 1.0)}
    on_carbon = PickAnswer(positions_zyx_angstrom=((360.0, 900.0, 890.0),))
    assert grade(task, on_carbon, files.__getitem__).cause == "edge"


def test_where_there_is_nothing():
    task = PickTask(object_name="virus", tolerance_angstrom=100, messages={"right": "Well seen."})

    assert graded(np.empty((0, 3)), task).text == "Well seen."
    feedback = graded(RIBOSOMES[:2], task)
    assert (feedback.score, feedback.cause, len(feedback.remarks)) == (0, "nothing here", 2)
    assert graded(np.empty((0, 3))).cause == "missed"


def test_the_lesson_has_its_own_words():
    messages = {"missed": "Look in other planes, too."}
    task = replace(TASK, messages=messages, explanation="There are **24**.")
    assert graded(RIBOSOMES[:3], task).text == "Look in other planes, too.\n\nThere are **24**."


def test_many_picks_take_no_time():
    rng = np.random.default_rng(0)
    heap = np.repeat(RIBOSOMES[:1], 5000, axis=0)
    for picks in (rng.uniform(0, 1, (5000, 3)) * END, heap):
        assert 0 <= graded(picks).score < 0.1


# the other kinds


def test_sorting():
    good, rng = good_picks(6, 0)
    files = FILES | {"picks/a.csv": Picks(np.concatenate([good, _nowhere(2, rng)]), 1.0)}
    task = SortTask(picks="picks/a.csv", reference=TASK.reference, tolerance_angstrom=120)

    def sort(kept, rejected):
        answer = SortAnswer(kept=tuple(kept), rejected=tuple(rejected))
        return grade(task, answer, files.__getitem__)

    assert sort(range(6), (6, 7)).score == 1
    everything = sort(range(8), ())
    assert (everything.score, everything.is_right, everything.cause) == (0.5, False, "extra")
    mixed = sort((0, 1, 2, 6), (3, 4, 5, 7))
    assert mixed.score == 0.5
    assert [remark.cause for remark in mixed.remarks] == ["missed"] * 3 + ["extra"]
    with pytest.raises(AnswerError):
        sort(range(8), range(8))


CHOOSE = ChooseTask(
    choices=(Choice(text="a"), Choice(text="b", message="b is a shadow."), Choice(text="c")),
    right=0,
    messages={"right": "Yes!"},
)
MEASURE = MeasureTask(tolerance_angstrom=30, right_angstrom=250)
COMPARE = CompareTask(
    layers=("A", "B"), causes=("shifted", "sloppy"), right="A", right_cause="shifted"
)


@pytest.mark.parametrize(
    ("task", "answer", "score", "cause", "words"),
    [
        (CHOOSE, ChooseAnswer(choice=0), 1, "right", "Yes!"),
        (CHOOSE, ChooseAnswer(choice=1), 0, "wrong choice", "b is a shadow."),
        (CHOOSE, ChooseAnswer(choice=2), 0, "wrong choice", "The right answer is: a"),
        (MEASURE, MeasureAnswer(length_angstrom=225), 1, "right", "25.0 ± 3.0 nm"),
        (MEASURE, MeasureAnswer(length_angstrom=200), 0, "too short", "25.0 ± 3.0 nm"),
        (MEASURE, MeasureAnswer(length_angstrom=300), 0, "too long", "measured 30.0 nm"),
        (COMPARE, CompareAnswer(layer="A", cause="shifted"), 1, "right", "it is A: shifted"),
        (COMPARE, CompareAnswer(layer="A", cause="sloppy"), 0.5, "wrong choice", "layer is right"),
        (COMPARE, CompareAnswer(layer="B", cause="shifted"), 0, "wrong choice", "it is A"),
    ],
)
def test_choosing_measuring_and_comparing(task, answer, score, cause, words):
    feedback = grade(task, answer, FILES.get)
    assert (feedback.score, feedback.is_right, feedback.cause) == (score, score == 1, cause)
    assert words in feedback.text


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (None, ChooseAnswer(choice=0)),
        (TASK, ChooseAnswer(choice=0)),
        (CHOOSE, ChooseAnswer(choice=5)),
        (replace(CHOOSE, right=None), ChooseAnswer(choice=0)),
        (MeasureTask(tolerance_angstrom=3), MeasureAnswer(length_angstrom=3)),
        (CompareTask(layers=("a", "b")), CompareAnswer(layer="a")),
    ],
)
def test_answers_of_another_kind_and_tasks_without_answers_are_refused(task, answer):
    with pytest.raises(FormatError):
        grade(task, answer, FILES.__getitem__)
