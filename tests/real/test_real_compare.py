"""Real picks compared: what moves them by a known amount is found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_cryoet import Mask, compare, open_annotation, open_portal
from napari_cryoet.packs.pack import Pack
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


@pytest.mark.slow
def test_picks_and_masks_on_the_real_microtubule_are_counted_as_numpy_counts_them(real_pack: Pack) -> None:
    run_id = next(row["id"] for row in real_pack.tables["runs"] if row["name"] == "TS_026")
    files = open_portal(real_pack.folder).run_page(run_id).annotation_files
    file = next(file for file in files if file.format == "zarr")
    points = next(file for file in files if file.format == "ndjson" and file.shape.shape_type == "Point")
    mask, picks = open_annotation(file), open_annotation(points)
    assert isinstance(mask, Mask)
    assert isinstance(picks, Picks)
    voxels = np.asarray(zarr.open_group(file.https_path.removeprefix("file://"), mode="r")["0"]) > 0
    z, y, x = np.round(picks.points_zyx).astype(int).T

    found = compare(picks, mask)
    assert found.is_inside.tolist() == voxels[z, y, x].tolist()
    assert 0 < found.is_inside.sum() < len(picks)
    assert (found.surface_distances_angstrom[found.is_inside] < 0).all()

    shifted = np.roll(voxels, 1, axis=2)
    overlap = compare(Mask(shifted.astype(np.uint8), mask.spacing_angstrom), mask)
    assert 0.2 < overlap.dice < 1
    np.testing.assert_allclose(overlap.dice, 2 * (voxels & shifted).sum() / (voxels.sum() + shifted.sum()))
