"""Real picks: where there is too little to tell, that is what is said."""

import numpy as np

from napari_cryoet import check_picks, read_picks
from napari_cryoet.volumes import Volume

SPACING_ANGSTROM = 4.99


def test_43_real_picks_in_a_volume_that_isnt_theirs_cant_be_told(real_data):
    picks = read_picks(real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson", spacing_angstrom=SPACING_ANGSTROM)
    noise = np.random.default_rng(1).standard_normal((46, 158, 158)).astype(np.float32)  # its tomogram, 8 times coarser
    found = check_picks(picks, Volume([noise], (8 * SPACING_ANGSTROM,) * 3))

    assert len(picks) == 43
    assert not len(found.outside)
    assert found.verdict == "unclear"
    assert "Not clear" in found.statements[1].text
    assert found.suggestion is None
