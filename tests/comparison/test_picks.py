"""Picks against picks, where `tests/api` says nothing: orientations of some, empty sets, layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from scipy.spatial.transform import Rotation

from napari_cryoet import Picks, compare, comparison_layers
from napari_cryoet.comparison.layers import LOOKS
from napari_cryoet.layer_spec import METADATA_KEY, PICK_ID, PICKS_KEY


def picks(*places, spacing=10.0, **options):
    return Picks(np.array(places, dtype=float).reshape(-1, 3), spacing, **options)


def turned(axis, *degrees):
    """Rotations about one axis, acting on z, y, x."""
    return Rotation.from_euler(axis, np.array(degrees)[:, None], degrees=True).as_matrix()[:, ::-1, ::-1]


A = picks([0, 0, 0], [5, 5, 5], [9, 9, 9], ids=[11, 12, 13])
B = picks([9, 9, 8], [0, 0, 2], [40, 40, 40], [50, 50, 50], ids=[70, 80, 90, 91])
ABOUT = {"object_name": "cytosolic ribosome", "annotation_id": 5, "layer_id": "x", "annotation_file_id": 9}


@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_picks_exactly_as_far_apart_as_the_radius_match_wherever_they_are(method):
    places = np.arange(0, 3000, 50)
    a = picks(*([3, place, 7] for place in places), spacing=13.48)
    b = picks(*([3, place + 5, 7] for place in places), spacing=13.48)

    found = compare(a, b, radius_angstrom=67.4, method=method)  # five voxels, rounded up here and down there
    assert found.scores.true_positives == len(places) == found.distance.counts.sum()
    assert found.distance.edges[-1] == 67.4
    assert compare(a, b, radius_angstrom=67.399, method=method).scores.true_positives == 0


def test_angles_are_those_of_matches_that_both_have_an_orientation():
    straight = turned("z", 0, 0, 0)
    straight[1] = np.nan
    a = A.changed(rotations_zyx=straight)
    found = compare(a, B.changed(rotations_zyx=turned("x", 40, 10, 0, 0)), radius_angstrom=25)

    np.testing.assert_allclose(found.rotation_errors_degree, [10, 40])
    np.testing.assert_allclose(found.matched.features["partner_tilt_degree"], [10, 40])
    assert (found.rotation_error.count, found.why_no_angles) == (2, "")


def test_without_orientations_there_is_a_reason():
    oriented = B.changed(rotations_zyx=turned("z", 0, 0, 0, 0))

    assert "A" in compare(A, oriented, radius_angstrom=25).why_no_angles
    assert compare(oriented.take([2]), oriented.take([0]), radius_angstrom=5).why_no_angles
    assert compare(A, oriented, radius_angstrom=25).rotation_error is None


@pytest.mark.parametrize(("a", "b"), [(picks(), picks()), (A, picks()), (picks(), A)])
def test_each_number_of_empty_sets_is_there_or_has_a_reason(a, b):
    found = compare(a, b, radius_angstrom=10)
    numbers = found.plain()

    assert (len(found.matched), len(found.only_a), len(found.only_b)) == (0, len(a), len(b))
    for name in ("precision", "recall", "f_beta", "distance", "rotation_error", "tilt_error"):
        assert (numbers[name] is None) == (name in numbers["why_undefined"])


def test_duplicates_count_by_themselves_and_unknown_frames_are_noted():
    found = compare(picks([1, 1, 1], [1, 1, 1], alignment_id=17), picks([1, 1, 1], spacing=5.0), radius_angstrom=10)

    assert found.scores.precision == 0.5
    for note in ("duplicate", "AL-17", "5 Å"):
        assert any(note in told for told in found.notes)


def test_layers_are_no_row_of_the_dock_but_know_where_they_come_from():
    specs = comparison_layers(compare(A.changed(about=ABOUT), B, radius_angstrom=25))

    assert [spec.name for spec in specs] == [
        "matched · cytosolic ribosome · AN-5",
        "only A · cytosolic ribosome · AN-5",
        "only B",
    ]
    assert [spec.options["features"][PICK_ID].tolist() for spec in specs] == [[11, 13], [12], [90, 91]]
    assert specs[0].options["metadata"][PICKS_KEY].ids.tolist() == [11, 13]
    about = specs[1].options["metadata"][METADATA_KEY]
    assert "layer_id" not in about
    assert about["annotation_file_id"] == 9
    assert "2.5 nm" in about["edits"][-1]


@pytest.mark.parametrize("b", [B, B.take([]), B.changed(instance_ids=[1, 2, 3, 4])])
def test_napari_makes_layers_that_differ_in_colour_and_symbol(b):
    a = A if b.instance_ids is None else A.changed(instance_ids=[1, 2, 3])
    layers = [Points(spec.data, **spec.options) for spec in comparison_layers(compare(a, b, radius_angstrom=25))]

    shown = [layer for layer in layers if len(layer.data)]
    assert len({tuple(layer.border_color[0].tolist()) for layer in shown}) == len(shown)
    assert len({color for color, _ in LOOKS.values()}) == len({symbol for _, symbol in LOOKS.values()}) == 3
