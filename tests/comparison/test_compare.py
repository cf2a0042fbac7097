"""Cases not in `tests/api`: many points, many slabs, odd sizes, partial orientations, and error messages."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from napari_cryoet import ComparisonError, FormatError, Mask, Picks, compare
from napari_cryoet.comparison import masks, match
from napari_cryoet.comparison.report import spread_of
from napari_cryoet.exceptions import StoppedError, stoppable

coordinates = st.integers(0, 3).map(float) | st.floats(0, 4, allow_nan=False, width=32)  # many ties and duplicates


def points(most):
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, 3), elements=coordinates))


def matched(a, b, radius, **options):
    return compare(Picks(a, 1.0), Picks(b, 1.0), radius_angstrom=radius, **options)


def in_a_row(*objects):
    return np.array(objects, dtype=np.uint16).reshape(1, 1, -1)


class TestPicks:
    @settings(max_examples=60)
    @given(points(30), points(30), st.sampled_from([0.5, 1.0, 2.5]))
    def test_clusters_add_up_to_the_solution_of_the_whole_table(self, a, b, radius):
        found = matched(a, b, radius)

        distances = np.linalg.norm(a[:, None] - b[None], axis=2)
        costs = np.where(distances <= radius * (1 + 1e-9), distances, 1e4)
        rows_a, rows_b = linear_sum_assignment(costs)
        is_match = costs[rows_a, rows_b] < 1e4
        assert len(found.rows_a) == len(set(found.rows_a)) == len(set(found.rows_b)) == is_match.sum()
        assert found.distances_angstrom.sum() == pytest.approx(costs[rows_a, rows_b][is_match].sum())
        np.testing.assert_allclose(found.distances_angstrom, distances[found.rows_a, found.rows_b])

    def test_a_radius_that_is_far_too_large_is_refused_before_it_fills_the_memory(self, monkeypatch):
        heap = np.random.default_rng(0).uniform(0, 1, (50, 3))
        for limit in ("MAX_CLUSTER", "MAX_PAIRS"):
            monkeypatch.setattr(match, limit, 1000)
            with pytest.raises(ComparisonError, match="radius"):
                matched(heap, heap, 2)

    def test_a_call_that_takes_long_is_abandoned(self):
        stop, is_started, may_end = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=lambda: is_started.wait(30) and stop.set()).start()

        with pytest.raises(StoppedError):
            stoppable(lambda: is_started.set() or may_end.wait(30), stop)
        may_end.set()

    def test_angles_are_those_of_matches_that_both_have_an_orientation(self):
        places = np.arange(3.0)[:, None] * (9, 9, 9)
        turned = Rotation.from_euler("x", [[40], [10], [20]], degrees=True).as_matrix()[:, ::-1, ::-1]
        straight = np.stack([np.eye(3), np.full((3, 3), np.nan), np.eye(3)])
        a, b = (Picks(places, 10.0, rotations_zyx=rotations) for rotations in (straight, turned))
        found = compare(a, b, radius_angstrom=25)

        np.testing.assert_allclose(found.rotation_errors_degree, [40, np.nan, 20])
        assert found.rotation_error.count == 2
        assert compare(a.take([1]), b, radius_angstrom=25).why_undefined["tilt_error"]

    def test_duplicates_count_one_by_one_and_an_unknown_alignment_is_noted(self):
        twice = Picks([[1.0, 1, 1]] * 2, 10.0, alignment_id=17)
        found = compare(twice, Picks([[1.0, 1, 1]], 10.0), radius_angstrom=10)

        assert found.scores.precision == 0.5
        assert "AL-17" in found.notes[0]


class TestMasks:
    def test_slabs_add_up_to_the_whole(self, monkeypatch):
        a, b = np.random.default_rng(0).integers(0, 4, (2, 7, 4, 3)).astype(np.uint16)
        places = np.random.default_rng(1).uniform(-1, 8, (60, 3))
        wholes = compare(Mask(a, 10.0), Mask(b, 10.0)), compare(Picks(places, 10.0), Mask(a, 10.0))
        monkeypatch.setattr(masks, "SLAB_VOXELS", 1)
        parts = compare(Mask(a, 10.0), Mask(b, 10.0)), compare(Picks(places, 10.0), Mask(a, 10.0))

        assert [part.plain() for part in parts] == [whole.plain() for whole in wholes]
        np.testing.assert_array_equal(parts[1].surface_distances_angstrom, wholes[1].surface_distances_angstrom)

    def test_a_label_of_1_tells_objects_apart_only_if_the_record_says_so(self):
        one, several = in_a_row(1, 1, 0, 0), Mask(in_a_row(1, 1, 2, 2), 10.0)

        found = compare(Mask(one, 10.0, about={"shape_type": "InstanceSegmentationMask"}), several).instances
        assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (1, 0, 1)
        assert compare(Mask(one, 10.0), several).instances is None
        assert compare(Mask(0 * one, 10.0), several).instances.scores.recall == 0

    def test_odd_sizes_that_were_cut_or_padded_are_compared_where_both_are(self):
        fine = Mask(np.ones((5, 4, 4), np.uint8), 10.0)
        padded = compare(Mask(np.ones((3, 2, 2), np.uint8), 20.0), fine)
        cut = compare(Mask(np.ones((2, 2, 2), np.uint8), 20.0), fine)

        assert (padded.voxels_a, padded.voxels_b, padded.dice) == (80, 80, 1)
        assert (cut.voxels_a, cut.voxels_b) == (64, 64)

    @pytest.mark.parametrize(
        ("shape", "spacing", "why"),
        [((2, 2, 3), 10.0, "volume"), ((9, 9, 9), 20.0, "volume"), ((2, 2, 2), 12.0, "multiple")],
    )
    def test_grids_that_do_not_fit_are_refused_with_the_reason(self, shape, spacing, why):
        with pytest.raises(ComparisonError, match=why):
            compare(Mask(np.zeros((2, 2, 2), np.uint8), 10.0), Mask(np.zeros(shape, np.uint8), spacing))

    @pytest.mark.filterwarnings("error")
    def test_labels_are_whole_numbers_of_any_type(self):
        values = np.zeros((4, 5, 6))
        values[1:3, 2:4, 1:5] = 1
        for dtype in (bool, np.int8, np.uint64, np.float16, np.float64):
            assert compare(Mask(values.astype(dtype), 10.0), Mask(values.astype(np.uint8), 10.0)).iou == 1
        for value in (np.inf, 2**31, 2**63, 1j):
            with pytest.raises(FormatError, match="mask"):
                compare(Mask(np.array([[[value]]]), 10.0), Mask(in_a_row(1), 10.0))


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1))
def test_each_number_is_in_the_histogram_of_a_spread(values):
    spread = spread_of(np.array([*values, np.nan]), "Å")

    assert spread.counts.sum() == spread.count == len(values)
    assert (spread.mean, spread.median, spread.largest) == (np.mean(values), np.median(values), max(values))
    assert spread.edges[0] <= min(values)
    assert max(values) <= spread.edges[-1]
