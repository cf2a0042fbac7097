"""How far points reach, however many there are."""

import numpy as np
import pytest

from napari_cryoet._qt.arrows import Vectors
from napari_cryoet._qt.extents import corners_of


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_corners_are_the_least_and_the_largest_of_each_axis(count, dtype):
    points = np.random.default_rng(count).uniform(-500, 500, (count, 3)).astype(dtype)
    expected = [[column.min() for column in points.T], [column.max() for column in points.T]]

    np.testing.assert_array_equal(corners_of(points), expected)
    np.testing.assert_array_equal(corners_of(points[:, ::-1]), np.array(expected)[:, ::-1])


def test_no_points_reach_nowhere():
    assert np.isnan(corners_of(np.empty((0, 3)))).all()


def test_arrows_reach_as_far_as_they_begin():
    starts = np.random.default_rng(0).uniform(0, 90, (3000, 3))
    arrows = Vectors(np.stack([starts, np.full((3000, 3), 1000.0)], axis=1))

    np.testing.assert_allclose(arrows.corners(), [starts.min(axis=0), starts.max(axis=0)])
