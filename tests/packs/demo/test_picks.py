"""Annotators err as they are said to, and files hold voxel coordinates in x, y, z."""

import json

import numpy as np
import pytest

from napari_cryoet.packs.demo.content import RUNS, run_plan
from napari_cryoet.packs.demo.picks import ndjson, other_alignment, picks_of, to_other_alignment
from napari_cryoet.packs.demo.truth import scene_of_run

DEMO = run_plan("DEMO_001")


def annotation(number, binning=1):
    return next(plan for plan in DEMO.annotations if plan.number == number and plan.binning == binning)


def distances_to_truth(picks):
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz("ribosome")
    return np.linalg.norm(picks.positions_xyz[:, None] - truth[None], axis=-1).min(axis=1)


def test_planted_picks_are_the_truth():
    picks = picks_of(DEMO, annotation(100), "full")
    np.testing.assert_array_equal(picks.positions_xyz, scene_of_run("DEMO_001").positions_angstrom_xyz("ribosome"))
    np.testing.assert_array_equal(picks.rotations, scene_of_run("DEMO_001").rotations("ribosome"))
    assert (picks.precision, picks.recall) == (100, 100)


def test_a_person_misses_a_few_and_is_a_little_off():
    picks = picks_of(DEMO, annotation(101), "full")
    truth = scene_of_run("DEMO_001").count("ribosome")
    assert 0.85 * truth < len(picks.positions_xyz) < truth
    assert 0 < np.median(distances_to_truth(picks)) < 20


def test_template_matching_reports_its_true_precision_and_recall():
    picks = picks_of(DEMO, annotation(102), "full")
    hits = distances_to_truth(picks) < 25
    assert 100 * hits.mean() == pytest.approx(picks.precision, abs=2)
    assert 100 * hits.sum() / scene_of_run("DEMO_001").count("ribosome") == pytest.approx(picks.recall, abs=2)
    assert 80 < picks.recall < 95


def test_template_matching_finds_orientations_within_a_few_degrees():
    picks, truth = picks_of(DEMO, annotation(102), "full"), scene_of_run("DEMO_001")
    separations = np.linalg.norm(picks.positions_xyz[:, None] - truth.positions_angstrom_xyz("ribosome")[None], axis=-1)
    hits = separations.min(axis=1) < 25
    partners = truth.rotations("ribosome")[separations.argmin(axis=1)]
    traces = np.einsum("nij,nij->n", picks.rotations, partners)
    degrees = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
    assert 0 < np.median(degrees[hits]) < 10


def test_the_careless_program_is_shifted_and_mostly_misses():
    picks = picks_of(DEMO, annotation(103), "full")
    assert np.median(distances_to_truth(picks)) > 40
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz("ribosome")
    nearest = truth[np.linalg.norm(picks.positions_xyz[:, None] - truth[None], axis=-1).argmin(axis=1)]
    close = distances_to_truth(picks) < 110
    assert np.median((picks.positions_xyz - nearest)[close], axis=0) == pytest.approx([38, -26, 22], abs=15)


@pytest.mark.parametrize("size", ["full", "tiny"])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_pick_is_inside_the_volume(run, size):
    for plan in run.annotations:
        if plan.subject in {"organelle", "vesicles", "scene"}:
            continue
        z, y, x = run.shape_zyx(size, plan.binning)
        voxels = picks_of(run, plan, size).positions_xyz / run.spacing_angstrom(size, plan.binning)
        assert len(voxels)
        assert (voxels >= 0).all()
        assert (voxels <= np.array([x, y, z]) - 1).all()


def test_a_file_holds_voxels_in_x_y_z_and_matrices_with_particle_axes_as_columns():
    plan = annotation(100)
    picks = picks_of(DEMO, plan, "full")
    lines = [json.loads(line) for line in ndjson(picks, "OrientedPoint", 10.0).splitlines()]
    assert len(lines) == len(picks.positions_xyz)
    assert lines[3]["type"] == "orientedPoint"
    assert [10 * lines[3]["location"][axis] for axis in "xyz"] == pytest.approx(picks.positions_xyz[3])
    np.testing.assert_array_equal(lines[3]["xyz_rotation_matrix"], picks.rotations[3])


def test_instances_carry_their_id_and_are_counted():
    picks = picks_of(DEMO, annotation(106), "full")
    lines = [json.loads(line) for line in ndjson(picks, "InstanceSegmentation", 10.0).splitlines()]
    assert {line["instance_id"] for line in lines} == {1, 2}
    assert {line["type"] for line in lines} == {"instancePoint"}
    assert picks.object_count == 2


def test_points_without_rotation_cannot_be_written_as_oriented():
    with pytest.raises(ValueError, match="OrientedPoint"):
        ndjson(picks_of(DEMO, annotation(107), "full"), "OrientedPoint", 10.0)


def test_the_other_alignment_is_a_turn_about_z_and_a_shift():
    matrix, offset = other_alignment(DEMO)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert matrix[2].tolist() == [0, 0, 1]
    points = np.array([[0.0, 0, 0], [100.0, 50, 20]])
    moved = to_other_alignment(points, DEMO)
    assert moved[0] == pytest.approx(offset)
    assert np.linalg.norm(moved[1] - moved[0]) == pytest.approx(np.linalg.norm(points[1]))
    assert np.linalg.norm(moved - points, axis=1).min() > 40
