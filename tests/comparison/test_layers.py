"""What a comparison shows: three layers that anybody can tell apart."""

from __future__ import annotations

import numpy as np
from napari.layers import Points

from napari_cryoet import Mask, compare, comparison_layers
from napari_cryoet.comparison.layers import LOOKS
from napari_cryoet.layer_spec import METADATA_KEY, PICK_ID, PICKS_KEY
from napari_cryoet.picks import Picks

RIBOSOMES = {"object_name": "cytosolic ribosome", "annotation_id": 5, "layer_id": "x", "annotation_file_id": 9}
A = Picks(np.array([[0, 0, 0], [5.0, 5, 5]]), 10.0, ids=np.array([3, 4]), about=RIBOSOMES)
B = Picks(np.array([[0, 0, 1], [9.0, 9, 9]]) * 2, 5.0)


def test_what_matches_and_what_only_one_has_becomes_three_layers():
    matched, only_a, only_b = comparison_layers(compare(A, B, radius_angstrom=15))

    assert [len(spec.data) for spec in (matched, only_a, only_b)] == [1, 1, 1]
    assert matched.name == "matched · cytosolic ribosome · AN-5"
    assert only_b.name == "only B"
    assert (matched.options["scale"][0], only_b.options["scale"][0]) == (10, 5)
    assert matched.options["features"]["partner_distance_angstrom"].tolist() == [10]
    assert matched.options["features"][PICK_ID].tolist() == [3]
    assert matched.options["metadata"][PICKS_KEY].ids.tolist() == [3]


def test_they_are_nobodys_rows_but_know_where_they_come_from():
    about = comparison_layers(compare(A, B, radius_angstrom=15))[1].options["metadata"][METADATA_KEY]

    assert "layer_id" not in about
    assert about["annotation_file_id"] == 9
    assert about["edits"] == ["kept those not in the reference within 15 Å (optimal matching)"]


def test_each_has_a_colour_and_a_symbol_of_its_own():
    assert len({color for color, _ in LOOKS.values()}) == len({symbol for _, symbol in LOOKS.values()}) == 3


def test_points_that_outline_instances_are_told_apart_by_colour_too():
    clouds = [picks.changed(instance_ids=np.array([1, 2])) for picks in (A, B)]
    layers = [Points(spec.data, **spec.options) for spec in comparison_layers(compare(*clouds, radius_angstrom=15))]

    assert len({tuple(layer.face_color[0].tolist()) for layer in layers}) == 3


def test_napari_makes_layers_of_them_also_of_empty_ones():
    for spec in comparison_layers(compare(A, B.take([], ""), radius_angstrom=15)):
        layer = Points(spec.data, **spec.options)
        assert len(layer.data) == len(spec.data)


def test_picks_against_a_mask_become_an_inside_and_an_outside():
    values = np.zeros((8, 8, 8), np.uint8)
    values[4:7, 4:7, 4:7] = 1
    inside, outside = comparison_layers(compare(A, Mask(values, 10.0)))

    assert (inside.options["features"][PICK_ID].tolist(), outside.options["features"][PICK_ID].tolist()) == ([4], [3])
