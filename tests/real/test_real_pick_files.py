"""The 43 real picks, through every format and back."""

import json

import numpy as np
import pytest

from napari_cryoet.formats.registry import FORMATS, SUFFIXES, read_picks, write_picks

SPACING_ANGSTROM, SHAPE_ZYX = 4.99, (368, 1260, 1260)


@pytest.fixture(scope="module")
def source(real_data):
    return real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"


@pytest.mark.parametrize("name", FORMATS)
def test_real_picks_keep_their_places_in_every_format(source, tmp_path, name):
    picks = read_picks(source, spacing_angstrom=SPACING_ANGSTROM, shape_zyx=SHAPE_ZYX)
    lines = [json.loads(line)["location"] for line in source.read_text().splitlines()]
    expected_zyx = [[line["z"], line["y"], line["x"]] for line in lines]
    assert len(picks) == 43
    assert picks.points_zyx.tolist() == expected_zyx

    found = read_picks(write_picks(picks, tmp_path / f"a{SUFFIXES[name]}", format=name).path)
    np.testing.assert_allclose(found.points_zyx, expected_zyx, atol=1e-9)
    assert found.spacing_angstrom == SPACING_ANGSTROM
    assert found.rotations_zyx is None
