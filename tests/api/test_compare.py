"""Comparisons of picks and masks, checked with slow and simple computations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from api.files import points_zyx_of
from napari_cryoet import (
    ComparisonError,
    FormatError,
    Mask,
    MaskComparison,
    Picks,
    PicksComparison,
    PicksInMask,
    StoppedError,
    compare,
    open_annotation,
)
from napari_cryoet.task import Task


def picks(*points, spacing=10.0, **options):
    return Picks(np.array(points, dtype=float).reshape(-1, 3), spacing, **options)


def turned(axis, *degrees):
    """Rotations about one axis, acting on z, y, x."""
    return Rotation.from_euler(axis, np.array(degrees)[:, None], degrees=True).as_matrix()[
        :, ::-1, ::-1
    ]


A = picks([0, 0, 0], [5, 5, 5], [9, 9, 9], ids=[11, 12, 13], features={"cc": [0.1, 0.2, 0.3]})
B = picks([9, 9, 8], [0, 0, 2], [40, 40, 40], [50, 50, 50], ids=[70, 80, 90, 91])
BALL = (np.square(np.indices((25,) * 3) - 12).sum(axis=0) <= 64).astype(np.int8)


def greedy_matching(a, b, radius):
    """Greedy matching: repeatedly take the nearest remaining pair."""
    pairs = sorted(
        (math.dist(p, q), i, j) for (i, p), (j, q) in itertools.product(enumerate(a), enumerate(b))
    )
    matches = []
    for distance, i, j in pairs:
        if (
            distance <= radius
            and i not in {m[0] for m in matches}
            and j not in {m[1] for m in matches}
        ):
            matches.append((i, j))
    return sorted(matches)


def signed_distance(point, mask):
    """Distance of a point, in voxels, to the nearest face of the mask: negative inside, infinite without faces."""
    nearest = math.inf
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        for voxel in np.ndindex(*(np.array(mask.shape) - step)):
            if mask[voxel] != mask[tuple(voxel + step)]:
                apart = np.abs(np.asarray(point) - (np.array(voxel) + 0.5 * step)) - np.where(
                    step, 0.0, 0.5
                )
                nearest = min(nearest, float(np.linalg.norm(np.maximum(apart, 0))))
    voxel = np.floor(np.asarray(point) + 0.5).astype(int)
    is_inside = (voxel >= 0).all() and (voxel < mask.shape).all() and mask[tuple(voxel)]
    return -nearest if is_inside else nearest


class TestPicksAgainstPicks:
    def test_a_small_example_matches_hand_calculation(self):
        result = compare(A, B, radius_angstrom=25, beta=4)

        assert isinstance(result, PicksComparison)
        assert (result.rows_a.tolist(), result.rows_b.tolist()) == ([0, 2], [1, 0])
        assert result.distances_angstrom.tolist() == [20, 10]
        scores = result.scores
        assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (2, 1, 2)
        assert (scores.precision, scores.recall) == (2 / 3, 0.5)
        assert scores.f_beta == pytest.approx(17 * 2 / (17 * 2 + 16 * 2 + 1))
        assert (result.distance.mean, result.distance.largest) == (15, 20)

    @settings(max_examples=40)
    @given(st.integers(0, 2**32 - 1), st.floats(5, 60))
    def test_greedy_matching_takes_the_nearest_pairs_first(self, seed, radius):
        a, b = np.random.default_rng(seed).uniform(0, 100, (2, 12, 3))
        result = compare(Picks(a, 1.0), Picks(b, 1.0), radius_angstrom=radius, method="greedy")

        assert list(
            zip(result.rows_a.tolist(), result.rows_b.tolist(), strict=True)
        ) == greedy_matching(a, b, radius)

    @given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 7]))
    def test_rotation_errors_are_the_smallest_over_symmetric_rotations(self, seed, fold):
        a, b = Rotation.random(5, rng=seed), Rotation.random(5, rng=seed + 1)
        points = np.arange(15).reshape(5, 3) * 100.0
        sides = (
            Picks(points, 1.0, rotations_zyx=each.as_matrix()[:, ::-1, ::-1]) for each in (a, b)
        )
        result = compare(*sides, radius_angstrom=1, symmetry=f"C{fold}")

        turns = [Rotation.from_euler("z", 360 * turn / fold, degrees=True) for turn in range(fold)]
        least = np.min([(a.inv() * b * turn).magnitude() for turn in turns], axis=0)
        np.testing.assert_allclose(result.rotation_errors_degree, np.degrees(least), atol=1e-5)
        cosines = np.einsum("ni,ni->n", a.as_matrix()[:, :, 2], b.as_matrix()[:, :, 2])
        np.testing.assert_allclose(
            result.tilt_errors_degree, np.degrees(np.arccos(cosines)), atol=1e-5
        )

    def test_matches_keep_their_ids_and_know_their_partners(self):
        result = compare(A, B, radius_angstrom=25)

        assert result.matched.ids.tolist() == [11, 13]
        assert result.matched.features["partner_id"].tolist() == [80, 70]
        assert result.matched.features["partner_distance_angstrom"].tolist() == [20, 10]
        assert result.matched.features["cc"].tolist() == [0.1, 0.3]
        assert (result.only_a.ids.tolist(), result.only_b.ids.tolist()) == ([12], [90, 91])
        assert result.matched.edits

    def test_undefined_scores_have_a_reason(self):
        none = compare(A.take([]), B, radius_angstrom=10)

        assert (none.scores.precision, none.scores.recall) == (None, 0)
        assert none.why_undefined["precision"]
        assert np.isnan(compare(A, B, radius_angstrom=25).rotation_errors_degree).all()


class TestPicksAgainstMasks:
    @settings(max_examples=40)
    @given(
        arrays(np.uint8, (5, 4, 3), elements=st.integers(0, 1)),
        arrays(np.float64, (6, 3), elements=st.floats(-2, 7, allow_nan=False, width=32)),
    )
    def test_distances_are_measured_to_the_nearest_face(self, values, points):
        result = compare(Picks(points, 10.0), Mask(values, 10.0))
        expected = np.array([signed_distance(point, values) for point in points]) * 10

        np.testing.assert_allclose(
            result.surface_distances_angstrom, np.where(np.isfinite(expected), expected, np.nan)
        )

    def test_picks_inside_a_ball_are_counted(self):
        result = compare(
            picks([12, 12, 12], [12, 12, 20], [12, 12, 21], [12, 12, 60], ids=[1, 2, 3, 4]),
            Mask(BALL, 10.0),
        )

        assert isinstance(result, PicksInMask)
        assert result.is_inside.tolist() == [True, True, False, False]
        assert result.share_inside == 0.5
        assert (result.inside.ids.tolist(), result.outside.ids.tolist()) == ([1, 2], [3, 4])
        np.testing.assert_allclose(result.surface_distances_angstrom[1:], [-5, 5, 395])
        shifted = compare(picks([12, 12, 12], [12, 12, 21]).rescaled(3.0), Mask(BALL * 3, 10.0))
        assert (shifted.is_inside.tolist(), shifted.labels.tolist()) == ([True, False], [3, 0])


class TestMasksAgainstMasks:
    @settings(max_examples=40)
    @given(*(arrays(np.uint16, (5, 4, 3), elements=st.integers(0, 3)) for _ in range(2)))
    def test_overlaps_match_whole_array_computations(self, a, b):
        result = compare(Mask(a, 10.0), Mask(b, 10.0))
        both, either = ((a > 0) & (b > 0)).sum(), ((a > 0) | (b > 0)).sum()

        assert isinstance(result, MaskComparison)
        assert (result.voxels_a, result.voxels_b, result.voxels_both) == (
            (a > 0).sum(),
            (b > 0).sum(),
            both,
        )
        if either:
            assert result.iou == pytest.approx(both / either)
            assert result.dice == pytest.approx(2 * both / (both + either))
        else:
            assert result.iou is result.dice is None
            assert result.why_undefined["dice"]

    def test_objects_are_matched_by_overlap_regardless_of_label(self):
        a = np.array([[[7, 7, 7, 7, 0, 2, 2, 0, 9]]])
        b = np.array([[[4, 4, 4, 0, 0, 0, 5, 5, 0]]])
        result = compare(Mask(a, 10.0), Mask(b, 10.0)).instances

        assert (result.labels_a.tolist(), result.labels_b.tolist(), result.ious.tolist()) == (
            [7],
            [4],
            [0.75],
        )
        assert (
            result.scores.true_positives,
            result.scores.false_positives,
            result.scores.false_negatives,
        ) == (1, 2, 1)
        assert result.panoptic_quality == 0.75 / (1 + 3 / 2)
        lower = compare(Mask(a, 10.0), Mask(b, 10.0), iou_threshold=0.3).instances
        assert lower.labels_a.tolist() == [2, 7]

    def test_a_coarse_mask_equals_its_upsampled_copy(self):
        coarse = np.random.default_rng(0).integers(0, 3, (3, 4, 5))
        result = compare(Mask(np.kron(coarse, np.ones((4,) * 3, int)), 10.0), Mask(coarse, 40.0))

        assert (result.dice, result.iou) == (1, 1)
        same = compare(Mask(BALL, 10.0), Mask(BALL, 10.0))
        assert (same.dice, same.instances) == (1, None)
        assert same.why_undefined["instances"]


class TestErrors:
    def test_different_alignments_and_runs_are_compared_only_with_insist(self):
        for a, b in (
            (A.changed(alignment_id=17), B.changed(alignment_id=18)),
            (A.changed(about={"run_id": 1}), B.changed(about={"run_id": 2})),
        ):
            with pytest.raises(ComparisonError):
                compare(a, b, radius_angstrom=25)
            result = compare(a, b, radius_angstrom=25, insist=True)
            assert (len(result.rows_a), len(result.warnings)) == (2, 1)

    def test_incomplete_or_invalid_input_is_refused(self):
        for a, b, options, noun in (
            (A, picks([1, 1, 1], spacing=None), {"radius_angstrom": 25}, "voxel spacing"),
            (A, B, {}, "radius"),
            (Mask(BALL, 10.0), A, {}, "mask"),
        ):
            with pytest.raises(ComparisonError, match=noun):
                compare(a, b, **options)
        for wrong in (
            {"radius_angstrom": math.nan},
            {"radius_angstrom": (10, 20)},
            {"radius_angstrom": "10"},
            {"beta": 0},
            {"symmetry": 2},
            {"method": "x"},
            {"symmetry": "D7"},
        ):
            with pytest.raises(ValueError, match=r"radius|beta|method|symmetry"):
                compare(A, B, **({"radius_angstrom": 10} | wrong))
        with pytest.raises(FormatError, match="mask"):
            compare(A, Mask(np.array([[[0.5]]]), 10.0))
        with pytest.raises(TypeError, match="a"):
            compare("a.star", B, radius_angstrom=25)

    def test_every_comparison_can_be_stopped(self):
        task = Task()
        task.stop()
        for a, b in ((A, B), (A, Mask(BALL, 10.0)), (Mask(BALL, 10.0), Mask(BALL, 10.0))):
            with pytest.raises(StoppedError):
                compare(a, b, radius_angstrom=25, task=task)


class TestPortalAnnotations:
    def test_match_their_files(self, find, tmp_path):
        file = find("OrientedPoint", ground_truth_status=True)
        result = open_annotation(file)
        masks = [open_annotation(find("SegmentationMask", kind)) for kind in ("zarr", "mrc")]

        np.testing.assert_allclose(result.points_zyx, points_zyx_of(file.https_path))
        assert (result.spacing_angstrom, result.alignment_id) == (
            file.voxel_spacing.voxel_spacing,
            file.alignment_id,
        )
        assert compare(*masks).dice == 1
        with pytest.raises(FormatError, match="text"):
            open_annotation(find("GlobalCaption"))
        for path in (tmp_path / "a.em", tmp_path / "a.tif"):
            path.write_bytes(b"II*")
            with pytest.raises(FormatError, match=path.name):
                open_annotation(path)

    def test_score_as_the_portal_reports(self, run_page, find):
        truth = open_annotation(
            find("OrientedPoint", object_name="ribosome", ground_truth_status=True)
        )
        judged = [
            file
            for file in run_page.annotation_files
            if file.shape.annotation.confidence_recall is not None
            and file.shape.shape_type == "OrientedPoint"
            and not file.shape.annotation.ground_truth_status
        ]
        assert judged
        for file in judged:
            scores = compare(open_annotation(file), truth, radius_angstrom=50).scores
            annotation = file.shape.annotation
            assert 100 * scores.precision == pytest.approx(annotation.confidence_precision, abs=0.1)
            assert 100 * scores.recall == pytest.approx(annotation.confidence_recall, abs=0.1)
