import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import AXIS_SHARES, Orientation, orientation_vectors

Z_TO_X = np.array(
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
)  # in x, y, z: the particle's z lies along x


@pytest.fixture
def picks():
    rotations = np.stack([Z_TO_X[::-1, ::-1], np.full((3, 3), np.nan), np.diag([1.0, 1.0, -1.0])])
    return Picks([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], 10.0, rotations_zyx=rotations)


def test_arrows_follow_the_z_axis_with_the_given_length(picks):
    arrows = orientation_vectors(picks, Orientation.ARROWS, 30)

    assert arrows.rows.tolist() == [0]  # the second has none, the third is a mirror
    np.testing.assert_allclose(arrows.data, [[[1, 2, 3], [0, 0, 30]]], atol=1e-12)


def test_triads_have_three_axes_of_different_lengths(picks):
    triads = orientation_vectors(picks, Orientation.TRIADS, 40)

    assert (triads.rows.tolist(), triads.axes.tolist()) == ([0, 0, 0], [0, 1, 2])
    np.testing.assert_allclose(triads.data[:, 1], [[-20, 0, 0], [0, 30, 0], [0, 0, 40]], atol=1e-12)
    assert np.linalg.norm(triads.data[:, 1], axis=1).tolist() == pytest.approx(
        [40 * share for share in AXIS_SHARES]
    )


def test_hidden_or_unoriented_picks_have_no_vectors(picks):
    assert len(orientation_vectors(picks, Orientation.OFF, 30)) == 0
    assert (
        len(orientation_vectors(picks, Orientation.ARROWS, 30, np.array([False, True, True]))) == 0
    )
    assert len(orientation_vectors(Picks([[0, 0, 0]]), Orientation.TRIADS, 30)) == 0
    assert orientation_vectors(Picks([]), Orientation.TRIADS, 30).data.shape == (0, 2, 3)
