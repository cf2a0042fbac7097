"""Real picks compared: what moves them by a known amount is found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_cryoet import compare, open_annotation
from napari_cryoet.picks import Picks

SPACING_ANGSTROM = 4.99


def test_real_picks_that_were_moved_are_off_by_just_that(real_data: Path) -> None:
    picks = open_annotation(
        real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson", spacing_angstrom=SPACING_ANGSTROM
    )
    assert isinstance(picks, Picks)
    moved = picks.take(np.arange(40)).changed(points_zyx=picks.points_zyx[:40] + np.array([3, 0, 4]))

    found = compare(moved.rescaled(13.48), picks, radius_angstrom=30)

    assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (40, 0, 3)
    np.testing.assert_allclose(found.distances_angstrom, 5 * SPACING_ANGSTROM)
    assert found.only_b.ids.tolist() == [40, 41, 42]
    assert compare(moved, picks, radius_angstrom=20).scores.true_positives == 0
