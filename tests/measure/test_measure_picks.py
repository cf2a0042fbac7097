"""Columns of picks in a volume and in a mask, in nanometres, whatever the picks' own spacing."""

import numpy as np
import pytest

from napari_cryoet import (
    CryoETError,
    FormatError,
    Mask,
    Picks,
    StoppedError,
    Volume,
    compare,
    measure_picks,
)
from napari_cryoet.review import Order, Review, Subject
from napari_cryoet.task import Task

MEMBRANE = np.zeros((12, 20, 20), np.uint8)
MEMBRANE[4:7] = 3
POINTS = np.array(
    [[5.0, 10, 10], [9.5, 10, 10], [20.0, 10, 10]]
)  # inside, above, outside the volume
PICKS = Picks(POINTS / 2, 20.0, scores=[0.1, 0.2, 0.3])  # in voxels twice as wide


def test_picks_are_measured_in_a_mask():
    table = measure_picks(PICKS, Mask(MEMBRANE, 10.0)).to_dataframe()

    assert table["surface_distance_nm"].tolist() == [-1.5, 3.0, 13.5]
    assert table["is_inside"].tolist() == [True, False, False]
    assert table["mask_label"].tolist() == [3, 0, -1]
    assert table["nearest_neighbour_nm"].tolist() == [4.5, 4.5, 10.5]
    assert table["edge_distance_nm"].tolist() == [5.5, 2.0, -8.5]
    assert table["z_angstrom"].tolist() == [50, 95, 200]
    assert table["score"].tolist() == [0.1, 0.2, 0.3]


def test_comparisons_have_the_same_columns():
    mask = Mask(MEMBRANE, 10.0)
    table = compare(PICKS, mask).to_dataframe()

    names = ["surface_distance_nm", "is_inside", "mask_label"]
    measured = measure_picks(PICKS, mask).to_dataframe()
    assert table[names].equals(measured[names])


def test_picks_are_measured_in_a_volume_that_starts_elsewhere():
    z = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], MEMBRANE.shape)
    volume = Volume([z], (10.0,) * 3, start_angstrom=(10.0, 0.0, 0.0))
    table = measure_picks(PICKS, volume, diameter_angstrom=30).to_dataframe()

    assert table["density"].tolist()[:2] == pytest.approx([4.0, 8.5])
    assert table["edge_distance_nm"].tolist() == [4.5, 3.0, -7.5]
    assert table["contrast"].abs().max() <= 1
    assert table.loc[2, ["density", "contrast"]].isna().all()


def test_dark_particles_have_a_low_contrast():
    grey = np.random.default_rng(0).normal(0, 0.1, (24, 24, 24)).astype(np.float32)
    grey[10:15, 10:15, 10:15] -= 1
    volume = Volume([grey], (10.0,) * 3)
    picks = Picks([[12.0, 12, 12], [4, 4, 4]], 10.0)
    contrast = measure_picks(picks, volume, columns="contrast", diameter_angstrom=50).features

    assert list(contrast) == ["contrast"]
    assert contrast["contrast"][0] < -0.95 < contrast["contrast"][1]


def test_reviews_sort_by_the_distance_to_a_membrane(tmp_path):
    measured = measure_picks(PICKS, Mask(MEMBRANE, 10.0))
    review = Review(measured, Subject("key", "name"), tmp_path)
    review.look_at(Order("surface_distance_nm", is_descending=True), "is_inside = 0")

    assert review.rows.tolist() == [2, 1]


def test_invalid_input_is_refused_with_what_fits():
    volume = Volume([MEMBRANE], (10.0,) * 3)
    for arguments, error, noun in (
        ((PICKS, MEMBRANE), TypeError, "Volume"),
        ((POINTS, volume), TypeError, "Picks"),
        ((PICKS, Volume([MEMBRANE])), FormatError, "spacing"),
    ):
        with pytest.raises(error, match=noun):
            measure_picks(*arguments)
    with pytest.raises(CryoETError, match="column"):
        measure_picks(PICKS, volume, columns="is_inside")
    with pytest.raises(ValueError, match="diameter"):
        measure_picks(PICKS, volume, diameter_angstrom=(30, 40))
    for levels, spacing in (([MEMBRANE], 10.0), (MEMBRANE, None), ([MEMBRANE[0]], None)):
        with pytest.raises(ValueError, match="three"):
            Volume(levels, spacing)
    task = Task()
    task.stop()
    for each in (volume, Mask(MEMBRANE, 10.0)):
        with pytest.raises(StoppedError):
            measure_picks(PICKS, each, task=task)


def test_representations_take_one_line():
    mask = Mask(MEMBRANE, 10.0)
    for shown in (PICKS, mask, mask.volume, compare(PICKS, mask), compare(mask, mask)):
        assert len(repr(shown)) < 120
        assert "\n" not in repr(shown)
