"""Where layers are drawn: steps, start and voxel spacing of moved, stretched and flipped layers."""

import numpy as np
import pytest
from napari.layers import Image, Points

from napari_cryoet._qt.layers.placement import (
    PlacementError,
    placement_of,
    shown_volumes,
    spacing_angstrom_of,
)


def volume(**options):
    return Image(np.zeros((4, 5, 6)), **{"scale": (10, 10, 10), "units": "angstrom"} | options)


def test_a_dragged_layer_has_the_steps_and_the_start_that_are_drawn():
    layer = volume(units="nm", translate=(1, 2, 3), affine=np.diag([2, 1, 0.5, 1]))
    placement = placement_of(layer)

    assert placement.steps.tolist() == [200, 100, 50]
    assert placement.start.tolist() == [20, 20, 15]
    assert not placement.is_own_grid
    points = np.array([[1.0, 2.0, 3.0], [0.5, 0, 0]])
    drawn_nm = np.array([layer.data_to_world(point) for point in points])
    np.testing.assert_allclose(placement.to_world(points), drawn_nm * 10)
    np.testing.assert_allclose(placement.to_grid(placement.to_world(points)), points)


def test_a_flipped_layer_has_a_positive_spacing():
    layer = volume(scale=(10, -10, 10))

    assert spacing_angstrom_of(layer) == 10
    assert [shown.spacing_angstrom for shown in shown_volumes([layer])] == [10]
    assert placement_of(layer, may_flip=True).spacing_angstrom == 10
    assert placement_of(layer, may_flip=True).steps.tolist() == [10, -10, 10]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"rotate": (0, 0, 30)}, "rotated"),
        ({"shear": (0.1, 0, 0)}, "sheared"),
        ({"scale": (10, -10, 10)}, "flipped"),
        ({"affine": np.diag([-1, 1, 1, 1])}, "flipped"),
    ],
)
def test_layers_that_are_not_along_the_axes_have_one_error(options, problem):
    with pytest.raises(PlacementError, match=problem):
        placement_of(volume(**options))


def test_without_a_unit_of_length_steps_are_in_the_layers_own_units():
    placement = placement_of(Points(np.zeros((1, 3)), scale=(2, 2, 2)))

    assert not placement.is_in_angstrom
    assert placement.spacing_angstrom is None
    assert placement.steps.tolist() == [2, 2, 2]
