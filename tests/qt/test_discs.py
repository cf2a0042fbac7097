import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Vectors

from napari_cryoet._qt.picks.discs import show_as_discs

SCALE = (2.0, 2.0, 2.0)
CENTRE = np.array([[20.0, 10.0, 10.0]])


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((50, 20, 20)), scale=SCALE)
    return viewer


@pytest.fixture
def points(viewer):
    points = Points(CENTRE, size=12, scale=SCALE, projection_mode="rescale_spherical", ndim=3)
    viewer.layers.append(points)
    assert show_as_discs(points)
    return points


@pytest.mark.parametrize(
    ("plane", "size"), [(20, 12), (23, 2 * np.sqrt(36 - 9)), (15, 2 * np.sqrt(36 - 25)), (27, None)]
)
def test_a_point_is_the_disc_that_the_plane_cuts_out_of_its_sphere(viewer, points, plane, size):
    viewer.dims.set_current_step(0, plane)

    assert points._view_size.tolist() == ([] if size is None else [pytest.approx(size)])


def test_the_same_holds_across_other_axes(viewer, points):
    viewer.dims.order = (2, 0, 1)
    viewer.dims.set_current_step(2, 14)

    assert points._view_size.tolist() == [pytest.approx(2 * np.sqrt(36 - 16))]


@pytest.mark.parametrize(("plane", "size"), [(20, 12), (21, 2 * np.sqrt(36 - 16)), (22, None), (18, None)])
def test_particles_are_spheres_where_voxels_are_deeper_than_wide(viewer, points, plane, size):
    viewer.layers[0].scale = points.scale = (8, 2, 2)
    viewer.dims.set_point(0, 8 * plane)

    assert points._view_size.tolist() == ([] if size is None else [pytest.approx(size)])


def test_all_points_show_in_three_dimensions(viewer, points):
    viewer.dims.ndisplay = 3

    assert points._view_size.tolist() == [12]


def test_arrows_show_as_far_as_their_particle_reaches(viewer):
    arrows = Vectors(np.stack([CENTRE, np.array([[0.0, 0.0, 12.0]])], axis=1), scale=SCALE, projection_mode="fade")
    viewer.layers.append(arrows)
    assert show_as_discs(arrows)

    seen = []
    for plane in range(10, 30):
        viewer.dims.set_current_step(0, plane)
        if len(arrows._view_indices):
            seen.append(plane)
    assert (seen[0], seen[-1]) == (14, 26)


def test_nobody_elses_slice_gets_thicker(viewer, points):
    theirs = viewer.add_points(CENTRE, scale=SCALE)
    viewer.dims.set_current_step(0, 22)

    assert len(theirs._view_indices) == 0
    assert len(points._view_indices) == 1
    assert viewer.dims.thickness == (0, 0, 0)


def test_a_napari_without_the_seam_draws_points_in_their_own_plane(viewer, monkeypatch):
    monkeypatch.setattr("napari_cryoet._qt.streaming.napari_internals.POINT_REQUESTS", ("no_such_method",))
    points = Points(CENTRE, size=12, scale=SCALE, projection_mode="rescale_spherical", ndim=3)
    viewer.layers.append(points)

    assert not show_as_discs(points)
    viewer.dims.set_current_step(0, 20)
    assert points._view_size.tolist() == [12]
