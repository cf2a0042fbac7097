"""Mask against mask: overlaps voxel by voxel and object by object, whatever the grids."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_cryoet import Mask, compare
from napari_cryoet.comparison import mask as mask_module
from napari_cryoet.comparison import plain_report
from napari_cryoet.exceptions import ComparisonError, FormatError, StoppedError
from napari_cryoet.mask_files import write_mask
from napari_cryoet.volumes import open_volume

labels = arrays(np.uint16, (5, 4, 3), elements=st.integers(0, 3))


def mask(values, spacing=10.0, **options):
    return Mask(np.asarray(values), spacing, **options)


@settings(max_examples=50)
@given(labels, labels, st.booleans())
def test_overlaps_are_those_of_whole_arrays(a, b, in_slabs):
    with pytest.MonkeyPatch.context() as patch:
        if in_slabs:
            patch.setattr(mask_module, "_VOXELS_AT_ONCE", 1)
        found = compare(mask(a), mask(b))

    both, either = ((a > 0) & (b > 0)).sum(), ((a > 0) | (b > 0)).sum()
    assert (found.voxels_a, found.voxels_b, found.voxels_both) == ((a > 0).sum(), (b > 0).sum(), both)
    assert found.iou == (both / either if either else None)
    assert found.dice == (pytest.approx(2 * both / (found.voxels_a + found.voxels_b)) if either else None)
    if found.instances is not None:
        for name_a, name_b, iou in zip(
            found.instances.labels_a, found.instances.labels_b, found.instances.ious, strict=True
        ):
            assert iou == ((a == name_a) & (b == name_b)).sum() / ((a == name_a) | (b == name_b)).sum() >= 0.5
        enough = [
            (i, j)
            for i in range(1, 4)
            for j in range(1, 4)
            if ((a == i) | (b == j)).any() and 2 * ((a == i) & (b == j)).sum() > ((a == i) | (b == j)).sum()
        ]
        assert set(enough) <= set(
            zip(found.instances.labels_a.tolist(), found.instances.labels_b.tolist(), strict=True)
        )


def in_a_row(*objects):
    return np.array(objects, dtype=np.uint16).reshape(1, 1, -1)


def test_objects_are_matched_by_overlap_whatever_their_numbers():
    a = in_a_row(7, 7, 7, 7, 0, 2, 2, 0, 9)
    b = in_a_row(4, 4, 4, 0, 0, 0, 5, 5, 0)
    found = compare(mask(a), mask(b)).instances

    assert (found.labels_a.tolist(), found.labels_b.tolist(), found.ious.tolist()) == ([7], [4], [0.75])
    assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (1, 2, 1)
    assert found.panoptic_quality == 0.75 / (1 + 3 / 2)
    lower = compare(mask(a), mask(b), iou_threshold=0.3).instances
    assert lower.labels_a.tolist() == [2, 7]
    assert lower.ious.tolist() == [1 / 3, 0.75]
    np.testing.assert_allclose(lower.dices, [2 * 1 / (2 + 2), 2 * 3 / (4 + 3)])


def test_a_mask_agrees_with_itself():
    found = compare(mask(in_a_row(1, 2, 2, 0)), mask(in_a_row(1, 2, 2, 0)))

    assert (found.dice, found.iou, found.precision, found.recall) == (1, 1, 1, 1)
    assert found.instances.panoptic_quality == 1


def test_masks_that_do_not_tell_objects_apart_have_no_numbers_for_objects():
    found = compare(mask(in_a_row(1, 1, 0)), mask(in_a_row(1, 2, 0)))

    assert found.instances is None
    assert "tell objects apart" in found.why_undefined["instances"]


def test_one_object_found_of_several_counts_where_the_record_says_that_it_is_one():
    one, several = in_a_row(1, 1, 0, 0), mask(in_a_row(1, 1, 2, 2))

    found = compare(mask(one, about={"shape_type": "InstanceSegmentationMask"}), several).instances

    assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (1, 0, 1)
    assert compare(mask(one, about={"shape_type": "SegmentationMask"}), several).instances is None


def test_who_finds_no_object_misses_all_of_them():
    found = compare(mask(in_a_row(0, 0, 0)), mask(in_a_row(1, 2, 2)), beta=4).instances

    assert (found.scores.true_positives, found.scores.false_positives, found.scores.false_negatives) == (0, 0, 2)
    assert (found.scores.precision, found.scores.recall, found.scores.f_beta) == (None, 0, 0)


def test_empty_masks_have_reasons_instead_of_numbers():
    empty, some = mask(in_a_row(0, 0)), mask(in_a_row(0, 1))

    nothing = compare(empty, empty)
    assert (nothing.dice, nothing.iou, nothing.precision, nothing.recall) == (None,) * 4
    assert {"dice", "iou", "precision", "recall"} <= set(nothing.why_undefined)
    assert (compare(empty, some).dice, compare(empty, some).precision, compare(some, empty).recall) == (0, None, None)


@settings(max_examples=25)
@given(arrays(np.uint8, (3, 2, 2), elements=st.integers(0, 2)), st.sampled_from([2, 4]), st.booleans())
def test_a_coarse_mask_is_the_fine_one_whose_blocks_it_stands_for(coarse, factor, coarse_first):
    fine = np.kron(coarse, np.ones((factor,) * 3, np.uint8))
    pair = (mask(coarse, 10.0 * factor), mask(fine, 10.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_module, "_VOXELS_AT_ONCE", 1)
        found = compare(*(pair if coarse_first else pair[::-1]))

    assert found.spacing_angstrom == 10
    assert found.dice == (1 if coarse.any() else None)
    assert f"{factor}×{factor}×{factor}" in " ".join(found.notes)


def test_odd_sizes_that_were_cut_or_padded_are_compared_where_both_are():
    fine = np.ones((5, 4, 4), np.uint8)

    padded = compare(mask(np.ones((3, 2, 2), np.uint8), 20.0), mask(fine))
    cut = compare(mask(np.ones((2, 2, 2), np.uint8), 20.0), mask(fine))

    assert (padded.voxels_a, padded.voxels_b, padded.dice) == (80, 80, 1)
    assert (cut.voxels_a, cut.voxels_b) == (64, 64)
    assert "Only the 4×4×4 voxels that A covers were compared." in cut.notes


@pytest.mark.parametrize(
    ("b", "spacing", "why"),
    [
        (np.zeros((2, 2, 3)), 10.0, "cover the same volume"),
        (np.zeros((9, 9, 9)), 20.0, "cover the same volume"),
        (np.zeros((2, 2, 2)), 30.0, "interpolated"),
        (np.zeros((2, 2, 2)), 12.0, "interpolated"),
        (np.zeros((2, 2, 2)), None, "how large the voxels"),
    ],
)
def test_grids_that_do_not_fit_are_refused_with_the_reason(b, spacing, why):
    with pytest.raises(ComparisonError, match=why):
        compare(mask(np.zeros((2, 2, 2))), mask(b, spacing))


def test_the_plain_report_names_the_objects_that_match():
    told = plain_report(compare(mask(in_a_row(1, 2, 0)), mask(in_a_row(2, 1, 0))))

    assert told["instances"]["matches"] == [
        {"a": 1, "b": 2, "iou": 1.0, "dice": 1.0},
        {"a": 2, "b": 1, "iou": 1.0, "dice": 1.0},
    ]
    assert told["kind"] == "mask against mask"


def test_a_threshold_that_makes_no_sense_is_refused_and_a_comparison_can_be_stopped():
    with pytest.raises(ValueError, match="intersection"):
        compare(mask(in_a_row(1)), mask(in_a_row(1)), iou_threshold=0)
    with pytest.raises(ValueError, match="beta"):
        compare(mask(in_a_row(1)), mask(in_a_row(1)), beta=-1)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        compare(mask(in_a_row(1)), mask(in_a_row(1)), stop=stop)


def test_a_layers_level_is_compared_without_what_was_added_to_it(tmp_path):
    values = np.zeros((17, 35, 45), np.uint8)
    values[3:10, 4:30, 5:40] = 1
    opened = open_volume(write_mask(values, tmp_path / "a.zarr", spacing_angstrom=10).path)
    assert opened.levels[0].shape != values.shape

    found = compare(Mask(opened.levels[0], 10.0), mask(values))
    assert found.iou == 1
    assert found.voxels_a == values.sum()


@pytest.mark.filterwarnings("error")
def test_masks_of_half_precision_are_read_and_infinite_numbers_refused():
    values = np.zeros((2, 3, 4), np.float16)
    values[1, 2, 3] = 1
    assert compare(mask(values), mask(values)).voxels_both == 1

    values[0, 0, 0] = np.inf
    with pytest.raises(FormatError, match="negative or very large numbers"):
        compare(mask(values), mask(values))


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_labels_as_large_as_hashes_are_told_apart(kind):
    of_a, of_b = np.zeros((4, 5, 6), np.int64), np.zeros((4, 5, 6), kind)
    of_a[:2], of_a[2] = 2**62, 2**62 + 1
    of_b[0], of_b[1:3] = 2**62 + 2, 2**62 + 3
    found = compare(mask(of_a), mask(of_b))

    assert (found.voxels_a, found.voxels_b, found.voxels_both) == (90, 90, 90)
    assert sorted(zip(found.instances.labels_a, found.instances.labels_b, found.instances.ious, strict=True)) == [
        (2**62, 2**62 + 2, 0.5),
        (2**62 + 1, 2**62 + 3, 0.5),
    ]


def test_labels_of_many_slabs_are_counted_together_however_large_they_are(monkeypatch):
    monkeypatch.setattr(mask_module, "_VOXELS_AT_ONCE", 1)
    ids = np.random.default_rng(0).integers(0, 4, (9, 5, 6))
    small, large = compare(mask(ids), mask(ids + 1)), compare(mask(ids * 2**40), mask((ids + 1) * 2**40))

    assert large.instances.labels_a.tolist() == [label * 2**40 for label in small.instances.labels_a.tolist()]
    assert large.instances.ious.tolist() == small.instances.ious.tolist()
    assert large.voxels_both == small.voxels_both


def test_whole_numbers_of_64_bits_without_a_sign_keep_their_digits():
    of_a, of_b = np.zeros((4, 5, 6), np.int64), np.zeros((4, 5, 6), np.uint64)
    of_a[0], of_a[1] = 2_000_000_000, 2_000_000_001
    of_b[0], of_b[1] = 1_000_000_001, 1_000_000_003
    found = compare(mask(of_a), mask(of_b)).instances

    assert found.labels_b.tolist() == [1_000_000_001, 1_000_000_003]


def test_labels_that_are_too_large_to_compare_are_named():
    ids = np.full((4, 5, 6), 2**63, np.uint64)

    with pytest.raises(FormatError, match=r"the label 9,223,372,036,854,775,808; labels that can be compared go to 9"):
        compare(mask(ids), mask(ids))


def test_files_that_place_their_first_voxels_differently_are_told(tmp_path):
    from napari_cryoet.comparison import open_annotation
    from napari_cryoet.provenance import ORIGIN_KEY

    about = {ORIGIN_KEY: [30.0, -20.0, 10.0], "voxel_spacing_angstrom": 10.0}
    write_mask(np.ones((4, 5, 6), "u1"), tmp_path / "a.mrc", spacing_angstrom=10, about=about)
    write_mask(np.ones((4, 5, 6), "u1"), tmp_path / "b.mrc", spacing_angstrom=10)
    a, b = (open_annotation(str(tmp_path / name)) for name in ("a.mrc", "b.mrc"))

    (note,) = compare(a, b).notes
    assert "at x, y, z = 10, -20, 30 and B's at 0, 0, 0 Å" in note
    assert compare(a, a).notes == ()
