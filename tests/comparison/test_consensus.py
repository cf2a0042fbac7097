"""The consensus of several people: votes, mean positions, agreement, and the command."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet import (
    ComparisonError,
    Picks,
    consensus,
    load_picks,
    read_picks,
    write_picks,
)
from napari_cryoet.cli import main
from napari_cryoet.comparison.consensus import NO_PICK, SCATTER, VOTES
from napari_cryoet.provenance import Provenance


def picks(*points, spacing=10.0, **options):
    return Picks(np.array(points, dtype=float).reshape(-1, 3), spacing, **options)


def people(seed, count=4, size=12):
    """The picks of people who agree on some, and whose own are near to others."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 40, (size, 3))
    return [
        Picks(truth[random.random(size) < 0.7] + random.normal(0, 1, 3), 1.0) for _ in range(count)
    ]


ANNA = picks([0, 0, 0], [9, 9, 9])
BEN = picks([0, 0, 2], [9, 9, 9], [30, 30, 30])
CARLA = picks([0, 0, 8], spacing=5.0)  # 40 Å in x: 20 Å from Ben's, 40 Å from Anna's


def test_a_small_example_matches_hand_calculation():
    found = consensus([ANNA, BEN, CARLA], 25)

    assert found.picks.positions_angstrom_zyx.tolist() == [
        [0, 0, 20],
        [90, 90, 90],
        [300, 300, 300],
    ]
    assert found.picks.features[VOTES].tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.picks.features[SCATTER], [40 / 3, 0, 0])
    assert found.members.tolist() == [[0, 0, 0], [1, 1, NO_PICK], [NO_PICK, 2, NO_PICK]]
    assert found.n_by_votes.tolist() == [0, 1, 1, 1]
    assert len(found.at_least(2)) == 2
    # F1 of Anna and Ben is 4/5, of Anna and Carla 0, of Ben and Carla 2/4
    assert found.agreement == pytest.approx((0.8 + 0 + 0.5) / 3)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 12))
def test_each_pick_is_in_one_group_within_the_radius_and_of_other_people(seed, radius):
    given_picks = people(seed)
    found = consensus(given_picks, radius)

    for number, each in enumerate(given_picks):
        rows = found.members[:, number]
        assert sorted(rows[rows != NO_PICK]) == list(range(len(each)))
        apart = np.linalg.norm(
            each.points_zyx[rows[rows != NO_PICK]] - found.picks.points_zyx[rows != NO_PICK], axis=1
        )
        assert (apart <= radius + 1e-9).all()
    assert (found.picks.features[VOTES] == (found.members != NO_PICK).sum(axis=1)).all()
    assert (np.diff(found.picks.features[VOTES]) <= 0).all()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_people_does_not_matter(seed):
    given_picks = people(seed, count=3)
    expected = consensus(given_picks, 4).picks.points_zyx
    for order in itertools.permutations(given_picks):
        np.testing.assert_allclose(consensus(order, 4).picks.points_zyx, expected)


def test_people_who_picked_nothing_have_no_agreement():
    found = consensus([picks(), picks()], 10)
    assert (len(found.picks), found.agreement) == (0, None)
    assert consensus([picks(), picks([1, 1, 1])], 10).agreement == 0


def test_the_consensus_says_what_all_agree_on():
    abouts = [
        Provenance(run_id=7, run_name="TS_7", object_name=name)
        for name in ("ribosome", "proteasome")
    ]
    found = consensus([picks([1, 1, 1], about=about) for about in abouts], 10)
    assert (found.picks.about.run_name, found.picks.about.object_name) == ("TS_7", "")
    with pytest.raises(ComparisonError, match="RN-8"):
        consensus([picks(about={"run_id": 7}), picks(about={"run_id": 8})], 10)
    with pytest.raises(ComparisonError, match="spacing"):
        consensus([ANNA, picks(spacing=None)], 10)
    with pytest.raises(ComparisonError, match="two"):
        consensus([ANNA], 10)


def test_many_people_with_many_picks_in_one_place_are_refused_at_once():
    crowd = picks(*[[0, 0, 0]] * 500)
    with pytest.raises(ComparisonError, match="radius"):
        consensus([crowd] * 10, 10)


def test_the_consensus_becomes_a_layer():
    (layer,) = load_picks(consensus([ANNA, BEN, CARLA], 25).picks, name="consensus")
    assert layer.options["features"][VOTES].tolist() == [3, 2, 1]


def test_the_command_prints_and_saves_the_consensus(tmp_path, capsys):
    files = [str(tmp_path / f"{name}.ndjson") for name in ("anna", "ben", "carla")]
    for file, each in zip(files, (ANNA, BEN, CARLA.rescaled(10.0)), strict=True):
        write_picks(each, file)
    to = tmp_path / "consensus.csv"
    arguments = ["consensus", *files, "--radius", "25", "--spacing", "10"]

    assert main([*arguments, "--to", str(to), "--min-votes", "2"]) == 0
    assert "1  by 2 of 3" in capsys.readouterr().out
    assert read_picks(to).features[VOTES].tolist() == [3, 2]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["people"] == ["anna.ndjson", "ben.ndjson", "carla.ndjson"]
    assert main(["consensus", *files[:1], "--radius", "25", "--spacing", "10"]) == 1
    assert main([*arguments, "--min-votes", "4"]) == 2
    assert main([*arguments, "--unit", "angstrom"]) == 0
