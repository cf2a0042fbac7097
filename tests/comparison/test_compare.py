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
from napari_cryoet.comparison import match
from napari_cryoet.comparison.report import spread_of
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.task import Task, stoppable
from napari_cryoet.volumes import volume

coordinates = st.integers(0, 3).map(float) | st.floats(
    0, 4, allow_nan=False, width=32
)  # many ties and duplicates


def points(max_count):
    return st.integers(0, max_count).flatmap(
        lambda n: arrays(np.float64, (n, 3), elements=coordinates)
    )


def matched(a, b, radius, **options):
    return compare(Picks(a, 1.0), Picks(b, 1.0), radius_angstrom=radius, **options)


def in_a_row(*objects):
    return np.array(objects, dtype=np.uint16).reshape(1, 1, -1)


class TestPicks:
    @settings(max_examples=60)
    @given(points(30), points(30), st.sampled_from([0.5, 1.0, 2.5]))
    def test_clusters_give_the_optimal_assignment(self, a, b, radius):
        result = matched(a, b, radius)

        distances = np.linalg.norm(a[:, None] - b[None], axis=2)
        costs = np.where(distances <= radius * (1 + 1e-9), distances, 1e4)
        rows_a, rows_b = linear_sum_assignment(costs)
        is_match = costs[rows_a, rows_b] < 1e4
        assert (
            len(result.rows_a)
            == len(set(result.rows_a))
            == len(set(result.rows_b))
            == is_match.sum()
        )
        assert result.distances_angstrom.sum() == pytest.approx(
            costs[rows_a, rows_b][is_match].sum()
        )
        np.testing.assert_allclose(
            result.distances_angstrom, distances[result.rows_a, result.rows_b]
        )

    def test_a_slab_leaves_out_what_lies_beside_it(self):
        a = np.array([[1.0, 0, 0], [5, 0, 0], [9, 0, 0]])
        result = matched(a, a[1:], 0.5, region_angstrom=[(2, 9)])
        assert (result.scores.true_positives, len(result.a), len(result.b)) == (1, 1, 1)
        mask = Mask(np.ones((10, 1, 1), np.uint8), 1.0)
        assert compare(Picks(a, 1.0), mask, region_angstrom=[(2, 9)]).a.ids.tolist() == [1]
        with pytest.raises(ValueError, match="end"):
            matched(a, a, 1, region_angstrom=[(9, 2)])

    def test_far_too_large_radii_are_refused(self, monkeypatch):
        heap = np.random.default_rng(0).uniform(0, 1, (50, 3))
        for limit in ("MAX_CLUSTER", "MAX_PAIRS"):
            monkeypatch.setattr(match, limit, 1000)
            with pytest.raises(ComparisonError, match="radius"):
                matched(heap, heap, 2)

    def test_long_calls_can_be_stopped(self):
        is_started, may_end = threading.Event(), threading.Event()
        task = Task()
        threading.Thread(target=lambda: is_started.wait(30) and task.stop()).start()

        with pytest.raises(StoppedError):
            stoppable(lambda: is_started.set() or may_end.wait(30), task)
        may_end.set()

    def test_angles_require_orientations_on_both_sides(self):
        positions = np.arange(3.0)[:, None] * (9, 9, 9)
        rotated = Rotation.from_euler("x", [[40], [10], [20]], degrees=True).as_matrix()[
            :, ::-1, ::-1
        ]
        straight = np.stack([np.eye(3), np.full((3, 3), np.nan), np.eye(3)])
        a, b = (
            Picks(positions, 10.0, rotations_zyx=rotations) for rotations in (straight, rotated)
        )
        result = compare(a, b, radius_angstrom=25)

        np.testing.assert_allclose(result.rotation_errors_degree, [40, np.nan, 20])
        assert result.rotation_error.count == 2
        assert compare(a.take([1]), b, radius_angstrom=25).why_undefined["tilt_error"]

    def test_duplicates_lower_precision_and_unknown_alignments_are_noted(self):
        twice = Picks([[1.0, 1, 1]] * 2, 10.0, alignment_id=17)
        result = compare(twice, Picks([[1.0, 1, 1]], 10.0), radius_angstrom=10)

        assert result.scores.precision == 0.5
        assert "AL-17" in result.warnings[0]


class TestMasks:
    def test_slabs_give_the_same_result_as_the_whole(self, monkeypatch):
        a, b = np.random.default_rng(0).integers(0, 4, (2, 7, 4, 3)).astype(np.uint16)
        positions = np.random.default_rng(1).uniform(-1, 8, (60, 3))
        wholes = (
            compare(Mask(a, 10.0), Mask(b, 10.0)),
            compare(Picks(positions, 10.0), Mask(a, 10.0)),
        )
        monkeypatch.setattr(volume, "SLAB_VOXELS", 1)
        parts = (
            compare(Mask(a, 10.0), Mask(b, 10.0)),
            compare(Picks(positions, 10.0), Mask(a, 10.0)),
        )

        assert [part.to_dict() for part in parts] == [whole.to_dict() for whole in wholes]
        np.testing.assert_array_equal(
            parts[1].surface_distances_angstrom, wholes[1].surface_distances_angstrom
        )

    def test_a_region_holds_the_voxels_whose_centres_are_in_it(self, monkeypatch):
        monkeypatch.setattr(volume, "SLAB_VOXELS", 1)
        fine = np.random.default_rng(0).integers(0, 4, (8, 4, 4)).astype(np.uint16)
        coarse = fine[::2, ::2, ::2]
        region = [(15, 60), None, (0, 30)]
        found = compare(Mask(coarse, 20.0), Mask(fine, 10.0), region_angstrom=region)
        repeated = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        expected = compare(Mask(repeated[2:6, :, :3], 10.0), Mask(fine[2:6, :, :3], 10.0))

        assert (found.voxels_a, found.voxels_b, found.voxels_both, found.instances.scores) == (
            *(expected.voxels_a, expected.voxels_b, expected.voxels_both),
            expected.instances.scores,
        )
        assert "z 1.5 nm to 6 nm · x 0 nm to 3 nm" in found.text

    def test_a_single_label_is_an_instance_only_if_recorded(self):
        one, several = in_a_row(1, 1, 0, 0), Mask(in_a_row(1, 1, 2, 2), 10.0)

        result = compare(
            Mask(one, 10.0, about={"shape_type": "InstanceSegmentationMask"}), several
        ).instances
        assert (
            result.scores.true_positives,
            result.scores.false_positives,
            result.scores.false_negatives,
        ) == (1, 0, 1)
        assert compare(Mask(one, 10.0), several).instances is None
        assert compare(Mask(0 * one, 10.0), several).instances.scores.recall == 0

    def test_cropped_and_padded_masks_are_compared_where_they_overlap(self):
        fine = Mask(np.ones((5, 4, 4), np.uint8), 10.0)
        padded = compare(Mask(np.ones((3, 2, 2), np.uint8), 20.0), fine)
        cropped = compare(Mask(np.ones((2, 2, 2), np.uint8), 20.0), fine)

        assert (padded.voxels_a, padded.voxels_b, padded.dice) == (80, 80, 1)
        assert (cropped.voxels_a, cropped.voxels_b) == (64, 64)

    @pytest.mark.parametrize(
        ("shape", "spacing", "why"),
        [((2, 2, 3), 10.0, "volume"), ((9, 9, 9), 20.0, "volume"), ((2, 2, 2), 12.0, "multiple")],
    )
    def test_incompatible_grids_are_refused_with_the_reason(self, shape, spacing, why):
        with pytest.raises(ComparisonError, match=why):
            compare(
                Mask(np.zeros((2, 2, 2), np.uint8), 10.0), Mask(np.zeros(shape, np.uint8), spacing)
            )

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_labels_may_be_integers_of_any_type(self):
        values = np.zeros((4, 5, 6))
        values[1:3, 2:4, 1:5] = 1
        for dtype in (bool, np.int8, np.uint64, np.float16, np.float64):
            assert (
                compare(Mask(values.astype(dtype), 10.0), Mask(values.astype(np.uint8), 10.0)).iou
                == 1
            )
        for value in (np.inf, 2**31, 2**63, 1j):
            with pytest.raises(FormatError, match="mask"):
                compare(Mask(np.array([[[value]]]), 10.0), Mask(in_a_row(1), 10.0))


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1))
def test_histograms_contain_every_value(values):
    spread = spread_of(np.array([*values, np.nan]), "Å")

    assert spread.counts.sum() == spread.count == len(values)
    assert (spread.mean, spread.median, spread.largest) == (
        np.mean(values),
        np.median(values),
        max(values),
    )
    assert spread.edges[0] <= min(values)
    assert max(values) <= spread.edges[-1]
