"""Picks against a mask: which lie inside, and how far from the surface each is."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from comparison.reference import signed_distance
from napari_cryoet import Mask, compare
from napari_cryoet.comparison import mask as mask_module
from napari_cryoet.comparison import picks_against_mask
from napari_cryoet.exceptions import ComparisonError, FormatError, StoppedError
from napari_cryoet.picks import Picks


def picks(*places, spacing=10.0, **options):
    return Picks(np.array(places, dtype=float).reshape(-1, 3), spacing, **options)


def ball(size=41, radius=12):
    z, y, x = np.indices((size,) * 3) - size // 2
    return (z**2 + y**2 + x**2 <= radius**2).astype(np.int8)


voxels = arrays(np.uint8, (5, 4, 3), elements=st.integers(0, 1))
places = arrays(np.float64, (6, 3), elements=st.floats(-2, 7, allow_nan=False, width=32))


@settings(max_examples=50)
@given(voxels, places)
def test_distances_are_those_to_the_nearest_of_all_faces(values, points):
    found = compare(Picks(points, 10.0), Mask(values, 10.0))

    expected = np.array([signed_distance(point, values) for point in points]) * 10
    assert found.surface_error_angstrom == 0
    np.testing.assert_allclose(found.surface_distances_angstrom, np.where(np.isfinite(expected), expected, np.nan))


@settings(max_examples=25)
@given(voxels, places)
def test_slabs_and_portions_change_nothing(values, points):
    at_once = compare(Picks(points, 10.0), Mask(values, 10.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_module, "_VOXELS_AT_ONCE", 1)
        patch.setattr(picks_against_mask, "_FACES_AT_ONCE", 3)
        patch.setattr(picks_against_mask, "_LOOKS_AT_ONCE", 2)
        in_portions = compare(Picks(points, 10.0), Mask(values, 10.0))

    np.testing.assert_allclose(in_portions.surface_distances_angstrom, at_once.surface_distances_angstrom)
    np.testing.assert_array_equal(in_portions.labels, at_once.labels)


def test_far_from_a_curved_surface_the_error_is_bounded_and_told(monkeypatch):
    monkeypatch.setattr(picks_against_mask, "_NEAREST_LOOKED_AT", (4,))
    values = ball()
    found = compare(picks([20, 20, 20], [20, 20, 33], [2, 3, 4]), Mask(values, 10.0))

    exact = np.array([signed_distance(point, values) for point in found.picks.points_zyx]) * 10
    errors = np.abs(found.surface_distances_angstrom) - np.abs(exact)
    assert 0 < found.surface_error_angstrom <= 7.1
    assert (errors >= -1e-9).all()
    assert (errors <= found.surface_error_angstrom).all()


def test_the_inside_of_a_ball_is_counted_and_measured():
    found = compare(picks([20, 20, 20], [20, 20, 32], [20, 20, 33], [20, 20, 60]), Mask(ball(), 10.0))

    assert found.is_inside.tolist() == [True, True, False, False]
    assert found.share_inside == 0.5
    assert found.labels.tolist() == [1, 1, 0, picks_against_mask.NO_LABEL]
    np.testing.assert_allclose(found.surface_distances_angstrom[1:], [-5, 5, 275])
    assert found.surface_distances_angstrom[0] == pytest.approx(-113, abs=15)
    assert found.plain()["outside_of_volume"] == 1


def test_the_places_are_those_in_angstrom():
    finer = compare(picks([20, 20, 20], [20, 20, 33]).rescaled(3.0), Mask(ball(), 10.0))

    assert finer.is_inside.tolist() == [True, False]
    np.testing.assert_allclose(finer.surface_distances_angstrom[1], 5)


def test_picks_keep_their_ids_and_know_label_and_distance():
    found = compare(picks([20, 20, 20], [0, 0, 0], ids=[7, 8]), Mask(ball() * 3, 10.0))

    assert (found.inside.ids.tolist(), found.outside.ids.tolist()) == ([7], [8])
    assert found.inside.features["mask_label"].tolist() == [3]
    assert found.outside.features["surface_distance_angstrom"][0] > 0


def test_a_mask_without_a_surface_says_so():
    empty, full = np.zeros((4, 4, 4), np.int8), np.ones((4, 4, 4), np.int8)

    assert "no surface" in compare(picks([1, 1, 1]), Mask(empty, 10.0)).why_undefined["surface_distance"]
    inside = compare(picks([1, 1, 1]), Mask(full, 10.0))
    assert (inside.share_inside, inside.distance) == (1, None)
    nobody = compare(picks(), Mask(ball(), 10.0))
    assert (nobody.share_inside, nobody.distance, nobody.surface_error_angstrom) == (None, None, 0)
    assert "share_inside" in nobody.why_undefined


def test_a_lazy_mask_is_read_slab_by_slab_and_each_plane_once(monkeypatch):
    monkeypatch.setattr(mask_module, "_VOXELS_AT_ONCE", 41 * 41 * 6)
    read = []

    class Noted:
        shape = (41, 41, 41)

        def __getitem__(self, planes):
            read.append((planes.start, planes.stop))
            return ball()[planes]

    compare(picks([20, 20, 20]), Mask(Noted(), 10.0))

    assert read == [(start, min(start + 6, 41)) for start in range(0, 41, 6)]


def test_padding_of_a_lazy_mask_is_no_part_of_it():
    padded = da.from_array(np.pad(np.ones((3, 3, 3), np.int8), (0, 1)))
    found = compare(picks([1, 1, 1], [3, 3, 3]), Mask(padded, 10.0, shape_zyx=(3, 3, 3)))

    assert found.labels.tolist() == [1, picks_against_mask.NO_LABEL]
    assert np.isnan(found.surface_distances_angstrom).all()


@pytest.mark.parametrize("values", [[[[0.5]]], [[[np.nan]]], [[[-1]]], [[[2**63]]], [[[2.0**60]]], [[[1j]]], [[["a"]]]])
def test_what_holds_no_labels_is_no_mask(values):
    with pytest.raises(FormatError, match="mask"):
        compare(picks([0, 0, 0]), Mask(np.array(values), 10.0))


def test_masks_of_float_numbers_and_truth_values_are_read():
    for dtype in (np.float32, bool, np.uint16, np.int64):
        assert compare(picks([20, 20, 20]), Mask(ball().astype(dtype), 10.0)).share_inside == 1


def test_frames_and_directions_are_checked():
    with pytest.raises(ComparisonError, match="AL-1 and B to AL-2"):
        compare(picks([0, 0, 0], alignment_id=1), Mask(ball(), 10.0, alignment_id=2))
    with pytest.raises(ComparisonError, match="Let the picks be A"):
        compare(Mask(ball(), 10.0), picks([0, 0, 0]))
    with pytest.raises(ValueError, match="three dimensions"):
        Mask(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="wide"):
        Mask(ball(), 0.0)


def test_it_can_be_stopped():
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        compare(picks([0, 0, 0]), Mask(ball(), 10.0), stop=stop)


@pytest.mark.parametrize("far", [1e19, 1e160])
def test_a_position_beyond_all_volumes_is_named(far):
    with pytest.raises(ComparisonError, match=r"Pick 2 of A can't be compared: it is 1e\+\d+ Å from the first voxel"):
        compare(picks([20, 20, 20], [20, far, 20], spacing=1.0), Mask(ball(), 1.0))
