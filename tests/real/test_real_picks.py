"""The 43 real picks: written in every format, compared with shifted ones, and checked inconclusively."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from napari_cryoet import (
    Mask,
    check_picks,
    compare,
    open_annotation,
    open_portal,
    read_picks,
    write_picks,
)
from napari_cryoet.formats.registry import FORMATS, SUFFIXES
from napari_cryoet.volumes import Volume

SPACING_ANGSTROM, SHAPE_ZYX = 4.99, (368, 1260, 1260)


@pytest.fixture
def source(real_data):
    return real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"


@pytest.fixture
def picks(source):
    return read_picks(source, spacing_angstrom=SPACING_ANGSTROM, shape_zyx=SHAPE_ZYX)


@pytest.mark.parametrize("name", FORMATS)
def test_positions_are_kept_in_every_format(source, picks, tmp_path, name):
    lines = [json.loads(line)["location"] for line in source.read_text().splitlines()]
    expected_zyx = [[line["z"], line["y"], line["x"]] for line in lines]
    assert len(picks) == 43
    assert picks.points_zyx.tolist() == expected_zyx

    result = read_picks(write_picks(picks, tmp_path / f"a{SUFFIXES[name]}", format=name).path)
    np.testing.assert_allclose(result.points_zyx, expected_zyx, atol=1e-9)
    assert result.spacing_angstrom == SPACING_ANGSTROM
    assert result.rotations_zyx is None


def test_moved_picks_have_the_expected_distances(picks):
    moved = picks.take(np.arange(40)).changed(
        points_zyx=picks.points_zyx[:40] + np.array([3, 0, 4])
    )
    result = compare(moved.rescaled(13.48), picks, radius_angstrom=30)

    assert (
        result.scores.true_positives,
        result.scores.false_positives,
        result.scores.false_negatives,
    ) == (40, 0, 3)
    np.testing.assert_allclose(result.distances_angstrom, 5 * SPACING_ANGSTROM)
    assert result.only_b.ids.tolist() == [40, 41, 42]
    assert compare(moved, picks, radius_angstrom=20).scores.true_positives == 0


def test_a_check_in_noise_is_unclear(picks):
    noise = (
        np.random.default_rng(1).standard_normal((46, 158, 158)).astype(np.float32)
    )  # its tomogram, 8 times coarser
    result = check_picks(picks, Volume([noise], (8 * SPACING_ANGSTROM,) * 3))

    assert len(result.outside) == 0
    assert result.verdict == "unclear"
    assert result.suggestion is None


@pytest.mark.slow
def test_comparisons_on_the_real_microtubule_match_numpy(real_pack):
    run_id = next(row["id"] for row in real_pack.tables["runs"] if row["name"] == "TS_026")
    files = open_portal(real_pack.folder).run_page(run_id).annotation_files
    file = next(file for file in files if file.format == "zarr")
    points = next(
        file for file in files if file.format == "ndjson" and file.shape.shape_type == "Point"
    )
    mask, picks = open_annotation(file), open_annotation(points)
    voxels = np.asarray(zarr.open_group(file.https_path.removeprefix("file://"), mode="r")["0"]) > 0
    z, y, x = np.round(picks.points_zyx).astype(int).T

    result = compare(picks, mask)
    assert result.is_inside.tolist() == voxels[z, y, x].tolist()
    assert 0 < result.is_inside.sum() < len(picks)
    assert (result.surface_distances_angstrom[result.is_inside] < 0).all()

    shifted = np.roll(voxels, 1, axis=2)
    overlap = compare(Mask(shifted.astype(np.uint8), mask.spacing_angstrom), mask)
    np.testing.assert_allclose(
        overlap.dice, 2 * (voxels & shifted).sum() / (voxels.sum() + shifted.sum())
    )
