"""Picks against picks: frames, layers and what is said where there is nothing to say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_cryoet import compare
from napari_cryoet.comparison import plain_report
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.picks import Picks


def picks(*places, spacing=10.0, **options):
    return Picks(np.array(places, dtype=float).reshape(-1, 3), spacing, **options)


def turned(axis, *degrees):
    """Rotations about one axis, acting on z, y, x."""
    return Rotation.from_euler(axis, np.array(degrees)[:, None], degrees=True).as_matrix()[:, ::-1, ::-1]


A = picks([0, 0, 0], [5, 5, 5], [9, 9, 9], ids=[11, 12, 13], features={"cc": [0.1, 0.2, 0.3]})
B = picks([9, 9, 8], [0, 0, 2], [40, 40, 40], [50, 50, 50], ids=[70, 80, 90, 91])


def test_a_hand_made_case_comes_out():
    found = compare(A, B, radius_angstrom=25, beta=4)

    assert (found.rows_a.tolist(), found.rows_b.tolist()) == ([0, 2], [1, 0])
    assert found.distances_angstrom.tolist() == [20, 10]
    assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (2, 1, 2)
    assert (found.scores.precision, found.scores.recall) == (2 / 3, 0.5)
    assert found.scores.f_beta == pytest.approx(17 * 2 / (17 * 2 + 16 * 2 + 1))
    assert found.distance.counts.sum() == 2
    assert found.distance.edges[-1] == 25


def test_matches_and_the_rest_keep_their_ids_and_know_their_partners():
    found = compare(A, B, radius_angstrom=25)

    assert found.matched.ids.tolist() == [11, 13]
    assert found.matched.features["partner_id"].tolist() == [80, 70]
    assert found.matched.features["partner_distance_angstrom"].tolist() == [20, 10]
    assert found.matched.features["cc"].tolist() == [0.1, 0.3]
    assert found.only_a.ids.tolist() == [12]
    assert found.only_b.ids.tolist() == [90, 91]
    assert found.matched.edits == ("kept those that match the reference within 25 Å (optimal matching)",)


@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_picks_as_far_apart_as_the_radius_match_wherever_they_are(method):
    places = np.arange(0, 3000, 50)
    a = picks(*([3, place, 7] for place in places), spacing=13.48)
    b = picks(*([3, place + 5, 7] for place in places), spacing=13.48)

    found = compare(a, b, radius_angstrom=67.4, method=method)  # five voxels: rounded up in some places, down in others

    assert found.scores.true_positives == len(places) == found.distance.counts.sum()
    assert compare(a, b, radius_angstrom=67.399, method=method).scores.true_positives == 0


def test_the_same_places_counted_in_other_voxels_give_the_same_numbers():
    rescaled = compare(A, B.rescaled(3.7), radius_angstrom=25)

    np.testing.assert_allclose(rescaled.distances_angstrom, [20, 10])
    assert rescaled.notes == ("Voxels of A are 10 Å wide and those of B 3.7 Å.",)
    assert rescaled.only_b.spacing_angstrom == 3.7


def test_angles_are_those_of_matches_that_both_have_an_orientation():
    straight = turned("z", 0, 0, 0)
    straight[1] = np.nan
    a = A.changed(rotations_zyx=straight)
    found = compare(a, B.changed(rotations_zyx=turned("x", 40, 10, 0, 0)), radius_angstrom=25)

    np.testing.assert_allclose(found.rotation_errors_degree, [10, 40])
    np.testing.assert_allclose(found.tilt_errors_degree, [10, 40])
    np.testing.assert_allclose(found.matched.features["partner_tilt_degree"], [10, 40])
    assert found.rotation_error.count == 2
    assert found.why_no_angles == ""


def test_a_symmetric_particle_that_is_turned_by_its_symmetry_is_not_turned():
    a = A.changed(rotations_zyx=turned("z", 0, 0, 0))
    b = B.changed(rotations_zyx=turned("z", 90, 90, 90, 90))

    np.testing.assert_allclose(compare(a, b, radius_angstrom=25).rotation_errors_degree, 90)
    np.testing.assert_allclose(compare(a, b, radius_angstrom=25, symmetry="C4").rotation_errors_degree, 0, atol=1e-9)
    np.testing.assert_allclose(compare(a, b, radius_angstrom=25, symmetry="C3").rotation_errors_degree, 30)


def test_what_has_no_angles_says_why():
    oriented = A.changed(rotations_zyx=turned("z", 0, 0, 0))

    assert compare(A, B, radius_angstrom=25).why_no_angles == "A and B have no orientations."
    assert compare(oriented, B, radius_angstrom=25).why_no_angles == "B has no orientations."
    assert compare(oriented, oriented.changed(points_zyx=A.points_zyx + 99), radius_angstrom=5).why_no_angles == (
        "No pick matches another."
    )
    half = turned("z", 0, 0, 0)
    half[0] = np.nan
    lonely = oriented.take([0]), oriented.changed(rotations_zyx=half)
    assert "No two matched picks" in compare(*lonely, radius_angstrom=5).why_no_angles


@pytest.mark.parametrize(("a", "b"), [(picks(), picks()), (A, picks()), (picks(), A)])
def test_empty_sets_have_numbers_or_reasons(a, b):
    found = compare(a, b, radius_angstrom=10)
    told = found.plain()

    assert (len(found.matched), len(found.only_a), len(found.only_b)) == (0, len(a), len(b))
    for name in ("precision", "recall", "f_beta", "distance", "rotation_error"):
        assert (told[name] is None) == (name in told["why_undefined"])


def test_a_set_agrees_with_itself():
    found = compare(A, A, radius_angstrom=1)

    assert (found.scores.precision, found.scores.recall, found.scores.f_beta) == (1, 1, 1)
    assert found.rows_a.tolist() == found.rows_b.tolist() == [0, 1, 2]


def test_duplicates_count_by_themselves_and_are_told():
    found = compare(picks([1, 1, 1], [1, 1, 1]), picks([1, 1, 1]), radius_angstrom=10)

    assert found.scores.precision == 0.5
    assert "1 of A's picks lie exactly where another one does" in found.notes[0]


class TestFrames:
    def test_of_different_alignments_are_refused_unless_somebody_insists(self):
        a, b = A.changed(alignment_id=17), B.changed(alignment_id=18)

        with pytest.raises(ComparisonError, match="AL-17 and B to AL-18"):
            compare(a, b, radius_angstrom=25)
        assert "insisted" in compare(a, b, radius_angstrom=25, insist=True).notes[0]

    def test_of_different_runs_are_refused_too(self):
        with pytest.raises(ComparisonError, match="RN-1 and B to RN-2"):
            compare(A.changed(about={"run_id": 1}), B.changed(about={"run_id": 2}), radius_angstrom=25)
        found = compare(A.changed(about={"run_id": 1}), B.changed(about={"run_id": 2}), radius_angstrom=25, insist=True)
        assert found.notes == ("A is of RN-1 and B of RN-2: compared because you insisted.",)

    def test_of_unknown_alignment_are_compared_and_told(self):
        assert (
            "Nothing says on which alignment B was made"
            in (compare(A.changed(alignment_id=17), B, radius_angstrom=25).notes[0])
        )

    def test_without_a_voxel_spacing_are_refused(self):
        with pytest.raises(ComparisonError, match="how large the voxels of B are"):
            compare(A, picks([1, 1, 1], spacing=None), radius_angstrom=25)


@pytest.mark.parametrize(
    "options",
    [{"radius_angstrom": 0}, {"radius_angstrom": float("nan")}, {"beta": 0}, {"method": "best"}, {"symmetry": "D7"}],
)
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"radius|beta|matching|symmetry"):
        compare(A, B, **({"radius_angstrom": 10} | options))


def test_picks_need_a_radius():
    with pytest.raises(ComparisonError, match="Give a radius"):
        compare(A, B)


def test_the_plain_report_is_json_with_provenance_and_settings():
    a = A.changed(alignment_id=17, about={"annotation_id": 5, "run_name": "TS_026", "object_name": "ribosome"})
    told = json.loads(json.dumps(plain_report(compare(a, B, radius_angstrom=25, beta=4, method="greedy"))))

    assert told["a"]["name"] == "TS_026 · ribosome · AN-5"
    assert told["a"]["about"]["annotation_id"] == 5
    assert (told["reference"], told["method"], told["radius_angstrom"], told["beta"]) == ("b", "greedy", 25, 4)
    assert told["software"].startswith("napari-cryoet ")
    assert sum(told["distance"]["histogram"]["counts"]) == told["true_positives"] == 2
