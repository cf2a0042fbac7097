"""The demo's own picks, whose truth is known: as they are, and flipped."""

import numpy as np
import pytest

from napari_cryoet import check_picks, load_annotation, open_portal
from napari_cryoet.layer_spec import PICKS_KEY


@pytest.fixture(scope="module")
def ribosomes(demo_pack):
    page = open_portal(demo_pack).run_page(9001)
    tomogram = page.default_tomogram
    file = next(
        file
        for file in page.annotation_files
        if file.format == "ndjson"
        and file.alignment_id == tomogram.alignment_id
        and file.shape.annotation.object_id == "GO:0022626"
    )
    return load_annotation(file, tomogram)[0].options["metadata"][PICKS_KEY], tomogram


def test_the_demos_ribosomes_make_sense(ribosomes):
    picks, tomogram = ribosomes
    found = check_picks(picks, tomogram)

    assert (found.verdict, found.oddities) == ("fits", ())
    assert found.judgement.given.effect < -0.8  # protein is dark
    assert found.diameter_angstrom == 300


@pytest.mark.parametrize("axis", range(3))
def test_a_flipped_axis_is_found_and_orientations_arent_mirrored(ribosomes, axis):
    picks, tomogram = ribosomes
    flipped = picks.points_zyx.copy()
    flipped[:, axis] = tomogram.shape_zyx[axis] - 1 - flipped[:, axis]
    found = check_picks(picks.changed(points_zyx=flipped), tomogram)

    assert found.suggestion.words() == f"{'zyx'[axis]} is flipped"
    better = found.suggested_picks()
    np.testing.assert_allclose(better.points_zyx, picks.points_zyx, atol=1e-9)
    assert better.rotations_zyx is None
