"""Real picks: where there is too little to tell, that is what is said."""

import numpy as np
from PIL import Image, ImageSequence

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


def test_a_few_points_in_the_real_microtubule_cant_be_told(real_data):
    picture = Image.open(real_data / "tomograms" / "13pf_MT.tif")
    grey = np.stack([np.array(plane) for plane in ImageSequence.Iterator(picture)])
    picks = read_picks(real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson")
    shrunk = picks.changed(points_zyx=picks.points_zyx / picks.points_zyx.max(axis=0) * (np.array(grey.shape) - 1))
    found = check_picks(shrunk, Volume([grey], (10.52,) * 3))

    assert found.verdict == "unclear"
