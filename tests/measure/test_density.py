import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.measure.measuring import densities_at, distances_nm, nearest_neighbours
from napari_cryoet.task import Task
from napari_cryoet.volumes import Volume, are_inside, edge_distances


def test_distances_are_in_nanometres_for_anisotropic_voxels():
    points = np.array([[10.0, 10, 10], [10, 10, 13], [10, 20, 10]])
    columns = distances_nm(points, (21, 100, 100), np.array([40.0, 20.0, 10.0]))

    assert columns["nearest_neighbour_nm"].tolist() == [3.0, 3.0, 20.0]
    assert columns["edge_distance_nm"].tolist() == [10.5, 13.5, 10.5]
    assert np.isnan(
        distances_nm(points[:1], (21, 100, 100), np.ones(3))["nearest_neighbour_nm"]
    ).all()
    assert distances_nm(points[:0], (21, 100, 100), np.ones(3))["edge_distance_nm"].tolist() == []


def test_edge_distances_are_negative_outside():
    positions, shape = (
        np.array([[0.0, 5, 5], [-0.5, 5, 5], [-2.0, 5, 5], [5, 5, 9.0]]),
        (10, 10, 10),
    )

    assert edge_distances(positions, shape).tolist() == [0.5, 0.0, -1.5, 0.5]
    assert edge_distances(positions, shape, (-2.0, 2.0, 2.0)).tolist() == [
        1.0,
        0.0,
        -3.0,
        1.0,
    ]  # mirrored in the world
    assert are_inside(positions, shape).tolist() == [True, True, False, True]


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=2, max_size=20))
def test_nearest_neighbours_match_brute_force(points):
    points = np.array(points, dtype=float)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)

    assert nearest_neighbours(points).tolist() == pytest.approx(distances.min(axis=1).tolist())


def test_density_is_the_mean_in_a_sphere_around_each_pick():
    z, _, _ = np.meshgrid(*(np.arange(size) for size in (60, 130, 210)), indexing="ij")
    points = np.array(
        [[10.0, 20, 30], [40, 100, 200], [40, 20, 30], [-50, 20, 30], [0, 0, 0], [25.5, 64, 100]]
    )
    volume, reported = Volume([z.astype(np.float32)], (10.0,) * 3), []
    densities = densities_at(volume, points, 80.0, task=Task(lambda *step: reported.append(step)))

    assert densities[[0, 1, 2, 5]].tolist() == pytest.approx([10, 40, 40, 25.5], abs=1e-3)
    assert np.isnan(densities[3])
    assert 0 < densities[4] < 3
    assert reported[-1] == (1.0, "6 of 6 picks")
    assert densities_at(volume, np.empty((0, 3)), 80.0).tolist() == []
    task = Task()
    task.stop()
    with pytest.raises(StoppedError):
        densities_at(volume, points, 80.0, task=task)


def test_huge_spheres_give_the_mean_density():
    z = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None], (40, 40, 40))
    densities = densities_at(Volume([z], (1.0,) * 3), np.full((200, 3), 20.0), 4000.0)

    assert np.allclose(densities, 20, atol=2)
