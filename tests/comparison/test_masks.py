"""Masks against masks and picks against masks, compared with NumPy over whole arrays."""

from __future__ import annotations

import math
import threading

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cryoet import ComparisonError, FormatError, Mask, Picks, StoppedError, compare
from napari_cryoet.comparison import masks

labels = arrays(np.uint16, (5, 4, 3), elements=st.integers(0, 3))
places = arrays(np.float64, (6, 3), elements=st.floats(-2, 7, allow_nan=False, width=32))


@pytest.fixture(autouse=True, scope="module")
def small_slabs():
    """Everything is read in many slabs; `tests/api` reads it as a whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "SLAB_VOXELS", 1)
        patch.setattr(masks, "FACES_AT_ONCE", 3)
        patch.setattr(masks, "QUERIES_AT_ONCE", 2)
        yield


def mask(values, spacing=10.0, **options):
    return Mask(np.asarray(values), spacing, **options)


def in_a_row(*objects):
    return np.array(objects, dtype=np.uint16).reshape(1, 1, -1)


def ball(size=21, radius=6):
    z, y, x = np.indices((size,) * 3) - size // 2
    return (z**2 + y**2 + x**2 <= radius**2).astype(np.int8)


def signed_distance(point, values):
    """In voxels, to the nearest face between mask and background: negative inside, NaN without a face."""
    nearest = math.inf
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        for voxel in np.ndindex(*(np.array(values.shape) - step)):
            if bool(values[voxel]) != bool(values[tuple(voxel + step)]):
                apart = np.abs(np.asarray(point) - (np.array(voxel) + 0.5 * step))
                nearest = min(nearest, float(np.linalg.norm(np.maximum(apart - np.where(step, 0.0, 0.5), 0))))
    voxel = np.floor(np.asarray(point) + 0.5).astype(int)
    is_inside = (voxel >= 0).all() and (voxel < values.shape).all() and values[tuple(voxel)]
    return math.nan if math.isinf(nearest) else -nearest if is_inside else nearest


class TestMasks:
    @settings(max_examples=50, deadline=None)
    @given(labels, labels)
    def test_overlaps_are_those_of_whole_arrays(self, a, b):
        found = compare(mask(a), mask(b))

        both, either = ((a > 0) & (b > 0)).sum(), ((a > 0) | (b > 0)).sum()
        assert (found.voxels_a, found.voxels_b, found.voxels_both) == ((a > 0).sum(), (b > 0).sum(), both)
        assert found.iou == (both / either if either else None)
        assert found.dice == (pytest.approx(2 * both / (found.voxels_a + found.voxels_b)) if either else None)
        assert found.precision == (both / found.voxels_a if found.voxels_a else None)
        assert found.recall == (both / found.voxels_b if found.voxels_b else None)
        if found.instances is None:
            assert found.why_no_instances
            return
        ious = {
            (i, j): ((a == i) & (b == j)).sum() / ((a == i) | (b == j)).sum()
            for i in range(1, 4)
            for j in range(1, 4)
            if ((a == i) | (b == j)).any()
        }
        pairs = zip(found.instances.labels_a.tolist(), found.instances.labels_b.tolist(), strict=True)
        told = dict(zip(pairs, found.instances.ious.tolist(), strict=True))
        assert told == pytest.approx({pair: ious[pair] for pair in told})
        assert {pair for pair, iou in ious.items() if iou > 0.5} <= set(told)

    def test_a_label_of_1_tells_objects_apart_only_if_the_record_says_so(self):
        one, several = in_a_row(1, 1, 0, 0), mask(in_a_row(1, 1, 2, 2))

        found = compare(mask(one, about={"shape_type": "InstanceSegmentationMask"}), several).instances
        assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (1, 0, 1)
        assert compare(mask(one), several).instances is None
        assert compare(mask(0 * one), several).instances.scores.recall == 0

    @settings(max_examples=25, deadline=None)
    @given(arrays(np.uint8, (3, 2, 2), elements=st.integers(0, 2)), st.sampled_from([2, 4]), st.booleans())
    def test_a_coarse_mask_is_the_fine_one_whose_blocks_it_stands_for(self, coarse, factor, coarse_first):
        fine = np.kron(coarse, np.ones((factor,) * 3, np.uint8))
        pair = (mask(coarse, 10.0 * factor), mask(fine, 10.0))
        found = compare(*(pair if coarse_first else pair[::-1]))

        assert found.spacing_angstrom == 10
        assert found.dice == (1 if coarse.any() else None)
        assert f"{factor}×{factor}×{factor}" in " ".join(found.notes)

    def test_odd_sizes_that_were_cut_or_padded_are_compared_where_both_are(self):
        fine = mask(np.ones((5, 4, 4), np.uint8))
        padded = compare(mask(np.ones((3, 2, 2), np.uint8), 20.0), fine)
        cut = compare(mask(np.ones((2, 2, 2), np.uint8), 20.0), fine)

        assert (padded.voxels_a, padded.voxels_b, padded.dice) == (80, 80, 1)
        assert (cut.voxels_a, cut.voxels_b) == (64, 64)
        assert "4×4×4" in cut.notes[-1]

    @pytest.mark.parametrize(
        ("shape", "spacing", "why"),
        [
            ((2, 2, 3), 10.0, "cover the same volume"),
            ((9, 9, 9), 20.0, "cover the same volume"),
            ((2, 2, 2), 30.0, "interpolated"),
            ((2, 2, 2), 12.0, "interpolated"),
            ((2, 2, 2), None, "voxel spacing"),
        ],
    )
    def test_grids_that_do_not_fit_are_refused_with_the_reason(self, shape, spacing, why):
        with pytest.raises(ComparisonError, match=why):
            compare(mask(np.zeros((2, 2, 2), np.uint8)), mask(np.zeros(shape, np.uint8), spacing))

    def test_settings_that_make_no_sense_are_refused_and_a_comparison_can_be_stopped(self):
        some, stop = mask(in_a_row(1)), threading.Event()
        for options in ({"iou_threshold": 0}, {"beta": -1}):
            with pytest.raises(ValueError, match=r"union|beta"):
                compare(some, some, **options)
        stop.set()
        with pytest.raises(StoppedError):
            compare(some, some, stop=stop)

    @pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, np.float64])
    def test_labels_may_be_of_any_type_that_holds_whole_numbers(self, dtype):
        values = np.zeros((4, 5, 6))
        values[1:3, 2:4, 1:5] = 1
        assert compare(mask(values.astype(dtype)), mask(da.from_array(values.astype(np.uint8)))).iou == 1

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -1, 2**31, 2**63, 1j, "a"])
    def test_what_holds_no_labels_is_no_mask(self, value):
        with pytest.raises(FormatError, match="mask"):
            compare(mask([[[value]]]), mask([[[1]]]))


class TestPicksInMask:
    @settings(max_examples=40, deadline=None)
    @given(labels, places)
    def test_distances_are_those_to_the_nearest_of_all_faces(self, values, points):
        found = compare(Picks(points, 10.0), mask(values))

        assert found.surface_error_angstrom == 0
        expected = [10 * signed_distance(point, values) for point in points]
        np.testing.assert_allclose(found.surface_distances_angstrom, expected)

    def test_far_from_a_curved_surface_the_error_is_bounded_and_told(self, monkeypatch):
        monkeypatch.setattr(masks, "NEAREST", (4,))
        monkeypatch.setattr(masks, "FACES_AT_ONCE", 1000)
        values = ball()
        found = compare(Picks([[10, 10, 10], [10, 10, 17], [2, 3, 4]], 10.0), mask(values))

        exact = np.array([10 * signed_distance(point, values) for point in found.picks.points_zyx])
        errors = np.abs(found.surface_distances_angstrom) - np.abs(exact)
        assert 0 < found.surface_error_angstrom <= 7.1
        assert (errors >= -1e-9).all()
        assert (errors <= found.surface_error_angstrom).all()

    def test_a_mask_without_a_surface_has_no_distances(self):
        for values, share in ((np.zeros((4, 4, 4), np.int8), 0), (np.ones((4, 4, 4), np.int8), 1)):
            found = compare(Picks([[1, 1, 1]], 10.0), mask(values))
            assert (found.share_inside, found.distance, found.surface_error_angstrom) == (share, None, 0)
            assert "surface_distance" in found.why_undefined
        nobody = compare(Picks(np.empty((0, 3)), 10.0), mask(ball()))
        assert (nobody.share_inside, nobody.distance) == (None, None)
