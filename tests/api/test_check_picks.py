"""Checks of picks in the demo's tomogram, whose truth is known, and in a small scene."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from scipy import ndimage

from api.files import noise, write_mrc, write_zarr
from napari_cryoet import CryoETError, Findings, Picks, StoppedError, check_picks, open_annotation


@pytest.fixture(scope="module")
def truth(find):
    """The ribosomes that were planted in the demo."""
    return open_annotation(find("OrientedPoint", object_name="ribosome", ground_truth_status=True))


def flipped(picks, axis, size):
    points = np.array(picks.points_zyx)
    points[:, axis] = size - 1 - points[:, axis]
    return picks.changed(points_zyx=points)


def test_right_picks_fit(truth, tomogram):
    found = check_picks(truth, tomogram)

    assert isinstance(found, Findings)
    assert (found.verdict, found.oddities, found.suggestion) == ("fits", (), None)
    assert (found.diameter_angstrom, found.diameter_is_known) == (300, True)
    assert len(found.outside) == 0


@pytest.mark.parametrize("axis", range(3))
def test_mirrored_picks_are_found_and_put_right(truth, tomogram, axis):
    found = check_picks(flipped(truth, axis, tomogram.shape_zyx[axis]), tomogram)

    assert found.verdict == "better"
    assert found.oddities
    assert "zyx"[axis] in found.suggestion.words()
    better = found.suggested_picks()
    np.testing.assert_allclose(better.points_zyx, truth.points_zyx, atol=1e-9)
    assert better.rotations_zyx is None  # a mirror image has no such orientations


def test_swapped_axes_are_found_and_put_right(truth, tomogram):
    found = check_picks(truth.changed(points_zyx=truth.points_zyx[:, ::-1]), tomogram)

    assert found.verdict == "better"
    np.testing.assert_allclose(found.suggested_picks().points_zyx, truth.points_zyx, atol=1e-9)


def test_shifted_picks_are_found_and_put_right(truth, tomogram):
    shift_angstrom = np.array([0.0, 80.0, 0.0])
    found = check_picks(truth.changed(points_zyx=truth.points_zyx + shift_angstrom / truth.spacing_angstrom), tomogram)

    assert found.verdict == "better"
    off = found.suggested_picks().positions_angstrom_zyx - truth.positions_angstrom_zyx
    assert np.abs(off).max() < truth.spacing_angstrom


def test_picks_of_another_voxel_spacing_are_put_where_they_belong(truth, tomogram):
    assert check_picks(truth.rescaled(10.0), tomogram).verdict == "fits"


def test_picks_outside_and_twice_are_named(truth, tomogram):
    near = set(check_picks(truth, tomogram).duplicates)
    more = truth.added([truth.points_zyx[0] + 0.1, [-90, 0, 0]])
    found = check_picks(more, tomogram)

    assert found.outside.tolist() == [len(truth) + 1]
    assert set(found.duplicates) - near in ({0}, {len(truth)})


def test_findings_are_sentences_and_plain_data(truth, tomogram):
    found = check_picks(flipped(truth, 1, tomogram.shape_zyx[1]), tomogram)
    data = json.loads(json.dumps(found.as_data()))

    assert data["verdict"] == "better"
    assert data["n_picks"] == len(truth)
    assert [each["text"] for each in data["statements"] if each["is_odd"]] == list(found.oddities)


@pytest.mark.parametrize("kind", ["zarr", "mrc"])
def test_a_bare_file_will_do(tmp_path, kind):
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(*(np.arange(8, n - 6, 12) for n in (30, 62, 50)), indexing="ij"), -1).reshape(-1, 3)
    centres = centres + rng.integers(-2, 3, centres.shape)
    dark = np.zeros((30, 62, 50), np.float32)
    dark[tuple(centres.T)] = -200
    volume = noise(dark.shape, 0, 1) + ndimage.gaussian_filter(dark, 2)
    path = tmp_path / f"a.{kind}"
    {"zarr": write_zarr, "mrc": write_mrc}[kind](path, volume)

    assert check_picks(Picks(centres, 10.0), path, diameter_angstrom=80).verdict == "fits"


def test_it_tells_how_far_it_is_and_can_be_stopped(truth, tomogram):
    told, stop = [], threading.Event()
    check_picks(truth, tomogram, progress=lambda share, _words: told.append(share))
    stop.set()

    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(StoppedError):
        check_picks(truth, tomogram, stop=stop)


def test_without_a_voxel_spacing_nothing_is_guessed(tmp_path):
    write_zarr(tmp_path / "a.zarr", noise(), None)
    with pytest.raises(CryoETError, match="voxel"):
        check_picks(Picks([[1.0, 2, 3]]), tmp_path / "a.zarr")


def test_a_file_of_picks_is_no_volume(tmp_path):
    (tmp_path / "a.ndjson").write_text('{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n')
    with pytest.raises(CryoETError, match="volume"):
        check_picks(Picks([[1.0, 2, 3]], 10.0), tmp_path / "a.ndjson")
