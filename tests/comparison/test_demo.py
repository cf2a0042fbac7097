"""The demo knows who was planted: comparisons of its annotations find just that."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryoet import compare, open_annotation, open_portal, report_text
from napari_cryoet.packs.demo.picks import _HABITS
from napari_cryoet.packs.demo.truth import scene_of_run

TRUTH, MANUAL, TEMPLATES, SLOPPY, MEMBRANE, MEMBRANE_POINTS, INSTANCES = 9001, 9003, 9004, 9005, 9009, 9011, 9013


@pytest.fixture(scope="module")
def annotation(demo_pack):
    files = {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}
    return lambda number: open_annotation(files[number])


def test_template_matching_scores_what_the_portal_says(annotation):
    found = compare(annotation(TEMPLATES), annotation(TRUTH), radius_angstrom=50)

    portal = found.plain()["portal"]["a"]
    assert round(100 * found.scores.precision, 1) == portal["confidence_precision_percent"]
    assert round(100 * found.scores.recall, 1) == portal["confidence_recall_percent"]
    assert portal["ground_truth_used"] == "100/cytosolic_ribosome-1.0.json"
    assert found.distance.mean < 3 * _HABITS["template_matching"].jitter
    assert found.rotation_error.largest < 4 * _HABITS["template_matching"].turn


def test_what_the_portal_says_of_all_picks_stands_beside_no_number_of_some_of_them(annotation):
    some = annotation(TEMPLATES).take([0, 1, 2], "kept 3 of 81 in review")
    text = report_text(compare(some, annotation(TRUTH), radius_angstrom=50))

    assert "portal, A" not in text
    assert "The portal says of A, before it was changed: precision 90.1 %, recall 85.9 %" in text


def test_the_sloppy_annotation_is_off_by_the_shift_that_it_was_made_with(annotation):
    sloppy, truth = annotation(SLOPPY), annotation(TRUTH)
    found = compare(sloppy, truth, radius_angstrom=120)

    shifts = sloppy.positions_angstrom_zyx[found.rows_a] - truth.positions_angstrom_zyx[found.rows_b]
    np.testing.assert_allclose(np.median(shifts, axis=0), _HABITS["sloppy"].shift_xyz[::-1], atol=8)
    planted = len(scene_of_run("DEMO_001").particles["ribosome"])
    habits = _HABITS["sloppy"]
    real = planted - round(habits.missed * planted)
    assert abs(found.scores.true_positives - real) <= 3
    assert len(truth) == planted
    assert compare(sloppy, truth, radius_angstrom=20).scores.recall < 0.1


def test_a_careful_person_finds_most_and_invents_nothing(annotation):
    found = compare(annotation(MANUAL), annotation(TRUTH), radius_angstrom=60)

    assert found.scores.precision == 1
    assert found.scores.recall == pytest.approx(1 - _HABITS["manual"].missed, abs=0.01)


def test_points_on_the_membrane_lie_in_its_mask_and_ribosomes_do_not(annotation):
    assert compare(annotation(MEMBRANE_POINTS), annotation(MEMBRANE)).share_inside > 0.99
    assert compare(annotation(TRUTH), annotation(MEMBRANE)).share_inside == 0


def test_the_same_membranes_at_half_the_sampling_overlap(annotation):
    found = compare(annotation(INSTANCES), annotation(MEMBRANE))

    assert found.dice > 0.6
    assert "2×2×2" in " ".join(found.notes)
