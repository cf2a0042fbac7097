"""Hand edits of picks: each step is kept on disk, undone, and done again."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review import Subject
from napari_cryoet.review.edits import EditStep, kept_steps, restored
from napari_cryoet.review.session import Journal

TURNS = np.stack([np.eye(3), np.eye(3)[[1, 2, 0]], np.full((3, 3), np.nan)])
PICKS = Picks(
    [[1.1, 2, 3], [4, 5, 6], [7, 8, 9]],
    10.0,
    rotations_zyx=TURNS,
    scores=[0.1, np.nan, 0.3],
    instance_ids=[4, -1, 6],
    features={"by": np.array(["Ada", "Bob", ""], object), "class": [1, 2, 3]},
)


def versions() -> list[Picks]:
    """Picks after each of four edits: move, delete, add, and change a column."""
    moved = PICKS.changed(points_zyx=[[1.1, 2, 3], [4, 5.5, 6], [7, 8, 9]])
    fewer = moved.take([0, 1])
    more = fewer.added([[0.5, 0.5, 0.5]])
    judged = more.changed(features={**more.features, "class": [1.0, 7.5, np.nan]})
    return [PICKS, moved, fewer, more, judged]


def steps_of(picks: list[Picks]) -> list[EditStep]:
    steps = [EditStep.between(*pair) for pair in pairwise(picks)]
    return [step for step in steps if step is not None]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Subject("a", "a").journal("edits", tmp_path)
    journal.queue([step.to_json() for step in steps_of(versions())])
    journal.save()
    return journal


def assert_same(picks: Picks, expected: Picks) -> None:
    assert picks.ids.tolist() == expected.ids.tolist()
    assert set(picks.features) == set(expected.features)
    for name in ("points_zyx", "rotations_zyx", "scores", "instance_ids"):
        np.testing.assert_array_equal(getattr(picks, name), getattr(expected, name), name)
    for name, column in expected.features.items():
        np.testing.assert_array_equal(picks.features[name], column, name)


def test_kept_steps_give_the_edited_picks_again(journal: Journal) -> None:
    steps = kept_steps(journal)
    picks, n_lost = restored(PICKS, steps)

    assert_same(picks, versions()[-1])
    assert n_lost == 0
    assert picks.edits == ("moved 1 pick", "deleted 1 pick", "added 1 pick", steps[-1].text)
    assert steps[-1].count == 3
    for step, before in zip(reversed(steps), reversed(versions()[:-1]), strict=True):
        picks = step.undone(picks)
        assert_same(picks, before)
    assert picks.edits == ()


def test_an_undone_step_is_forgotten(journal: Journal) -> None:
    last = kept_steps(journal)[-1]
    journal.queue([{"undone": last.key}])
    journal.save()

    assert [step.key for step in kept_steps(journal)][-1] != last.key
    assert_same(restored(PICKS, kept_steps(journal))[0], versions()[3])


def test_a_file_that_was_cut_off_keeps_its_whole_steps(journal: Journal) -> None:
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-10])
    assert len(kept_steps(journal)) == 3

    journal.queue([steps_of(versions())[-1].to_json()])
    journal.save()
    assert len(kept_steps(journal)) == 4
    assert json.loads(content.splitlines()[0])["key"] == "a"


def test_edits_since_then_stay(journal: Journal) -> None:
    kept = kept_steps(journal)
    start = PICKS.changed(next_id=kept[-1].next_id)
    moved = PICKS.points_zyx + np.array([[0, 0, 0], [0, 9, 9], [0, 0, 0]])
    now = start.changed(points_zyx=moved).added([[1, 1, 1]])
    picks, n_lost = restored(now, kept)

    assert n_lost == 2, "two edits of the pick that was moved again"
    assert picks.ids.tolist() == [0, 1, 3, 4]
    assert picks.points_zyx[1].tolist() == [4, 14, 15]


def test_changes_of_picks_that_are_elsewhere_are_counted(journal: Journal) -> None:
    other = PICKS.changed(points_zyx=PICKS.points_zyx + np.array([[0, 0, 0], [3, 0, 0], [0, 0, 0]]))
    picks, n_lost = restored(other, kept_steps(journal))

    assert n_lost == 2
    assert picks.points_zyx[1].tolist() == other.points_zyx[1].tolist()
    assert picks.ids.tolist() == [0, 1, 3]
