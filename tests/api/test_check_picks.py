"""Checks of picks in the demo's tomogram, with known ground truth, and in a small scene."""

from __future__ import annotations

import json

import numpy as np
import pytest

from api.files import noise, point, write_lines, write_zarr
from napari_cryoet import CryoETError, Findings, Picks, StoppedError, check_picks, open_annotation
from napari_cryoet.task import Task


@pytest.fixture(scope="module")
def truth(find):
    """The demo's true ribosomes."""
    return open_annotation(find("OrientedPoint", object_name="ribosome", ground_truth_status=True))


def flipped(picks, axis, size):
    points = np.array(picks.points_zyx)
    points[:, axis] = size - 1 - points[:, axis]
    return picks.changed(points_zyx=points)


def test_correct_picks_fit(truth, tomogram):
    findings = check_picks(truth, tomogram)

    assert isinstance(findings, Findings)
    assert (findings.verdict, findings.warnings, findings.suggestion) == ("fits", (), None)
    assert (findings.diameter_angstrom, findings.diameter_is_known) == (300, True)
    assert len(findings.outside) == 0


def test_mirrored_and_swapped_picks_are_detected_and_corrected(truth, tomogram):
    mirrored = [flipped(truth, axis, tomogram.shape_zyx[axis]) for axis in range(3)]
    for wrong in (*mirrored, truth.changed(points_zyx=truth.points_zyx[:, ::-1])):
        findings = check_picks(wrong, tomogram)
        better = findings.suggested_picks()
        data = json.loads(json.dumps(findings.to_dict()))

        assert findings.verdict == data["verdict"] == "better"
        assert [each["text"] for each in data["statements"] if each["is_odd"]] == list(
            findings.warnings
        )
        np.testing.assert_allclose(better.points_zyx, truth.points_zyx, atol=1e-9)
        assert better.rotations_zyx is None  # mirrored orientations don't exist


def test_shifted_picks_are_detected_and_corrected(truth, tomogram):
    shift_zyx = np.array([0.0, 80.0, 0.0]) / truth.spacing_angstrom
    findings = check_picks(truth.changed(points_zyx=truth.points_zyx + shift_zyx), tomogram)

    assert findings.verdict == "better"
    off = findings.suggested_picks().positions_angstrom_zyx - truth.positions_angstrom_zyx
    assert np.abs(off).max() < truth.spacing_angstrom


def test_picks_at_another_voxel_spacing_fit(truth, tomogram):
    assert check_picks(truth.rescaled(10.0), tomogram).verdict == "fits"


def test_check_reports_progress_and_can_be_stopped(truth, tomogram):
    fractions = []
    task = Task()
    check_picks(truth, tomogram, task=Task(lambda fraction, _text: fractions.append(fraction)))
    task.stop()

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with pytest.raises(StoppedError):
        check_picks(truth, tomogram, task=task)


def test_bare_files_must_be_volumes_with_a_spacing(tmp_path):
    write_zarr(tmp_path / "a.zarr", noise(), None)
    write_lines(tmp_path / "a.ndjson", [point(1, 2, 3)])
    for picks, name in ((Picks([[1.0, 2, 3]]), "a.zarr"), (Picks([[1.0, 2, 3]], 10.0), "a.ndjson")):
        with pytest.raises(CryoETError, match="vo"):
            check_picks(picks, tmp_path / name)
