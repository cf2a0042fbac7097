import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet.review import CropReader, RunningMean
from napari_cryoet.review.cropping import Cube
from napari_cryoet.review.crops import Crop
from napari_cryoet.review.volume import ArrayVolume

CUBES = np.random.default_rng(0).normal(5, 1, (6, 5, 5, 5)).astype(np.float32)
CUBES[2, :2] = np.nan  # partly outside of the volume


def crop(row):
    return Crop(row, CUBES[row], is_oriented=False)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_it_is_the_mean_of_what_is_in_it_whatever_was_added_and_taken_away(changes):
    mean = RunningMean()
    for row in changes:
        mean.change(crop(row))
    inside = sorted(mean.rows)

    assert inside == [row for row in range(6) if changes.count(row) % 2]
    if not inside:
        assert mean.mean is None
        assert mean.sections() is None
        return
    known = ~np.isnan(CUBES[inside])
    with np.errstate(invalid="ignore"):
        wanted = np.where(known, CUBES[inside], 0).sum(axis=0) / known.sum(axis=0)
    np.testing.assert_allclose(mean.mean, wanted, rtol=1e-5)


def test_only_what_is_not_in_memory_has_to_be_read():
    mean = RunningMean()
    assert mean.lacks([1, 2]) == ([1, 2], [])
    for row in (1, 2):
        mean.change(crop(row))

    assert mean.lacks([2]) == ([], [])
    assert mean.rows == {2}
    assert mean.lacks([1, 2, 4]) == ([4], [])
    assert mean.rows == {1, 2}


def test_the_sections_are_those_of_the_planes():
    mean = RunningMean()
    mean.change(crop(0))
    xy, xz, yz = mean.sections()

    np.testing.assert_array_equal(xy, CUBES[0, 2])
    np.testing.assert_array_equal(xz, CUBES[0, :, 2])
    np.testing.assert_array_equal(yz, CUBES[0, :, :, 2])


def test_particles_that_lie_any_way_are_one_once_they_are_aligned():
    """A particle that is a bright ball off its centre: aligned the balls meet, unaligned they don't."""
    rotations = Rotation.random(12, random_state=1).as_matrix()
    centers = np.array([[20.0, 20, 20 + 40 * i] for i in range(12)])
    grid = np.stack(np.meshgrid(*map(np.arange, (40, 40, 480)), indexing="ij"), axis=-1)
    volume = sum(
        np.exp(-((grid - (center + rotation @ [6.0, 0, 0])) ** 2).sum(axis=-1) / 8)
        for center, rotation in zip(centers, rotations, strict=True)
    )
    reader = CropReader(ArrayVolume(volume.astype(np.float32), (10.0,) * 3), centers, rotations)

    def peak(is_oriented):
        mean = RunningMean()
        for cube in reader.read(range(12), Cube(250, is_oriented=is_oriented)):
            mean.change(cube)
        found = mean.mean
        return found.max(), np.array(np.unravel_index(np.argmax(found), found.shape)) - found.shape[0] // 2

    height, place = peak(is_oriented=True)
    assert height > 0.9
    np.testing.assert_allclose(place * 1.0, [6, 0, 0], atol=1.01)
    assert peak(is_oriented=False)[0] < 0.6


def test_density_is_the_mean_of_a_ball_at_each_pick():
    from napari_cryoet.review.density import densities_at

    z, _, _ = np.meshgrid(*(np.arange(size) for size in (60, 130, 210)), indexing="ij")
    points = np.array([[10.0, 20, 30], [40, 100, 200], [40, 20, 30], [-50, 20, 30], [0, 0, 0], [25.5, 64, 100]])
    told = []
    found = densities_at(
        ArrayVolume(z.astype(np.float32), (10.0,) * 3), points, 80.0, progress=lambda *n: told.append(n)
    )

    assert found[[0, 1, 2, 5]].tolist() == pytest.approx([10, 40, 40, 25.5], abs=1e-3)
    assert np.isnan(found[3])
    assert 0 < found[4] < 3
    assert told[-1] == (6, 6)
    assert densities_at(ArrayVolume(z, (10.0,) * 3), np.empty((0, 3)), 80.0).tolist() == []


def test_a_large_ball_of_fine_voxels_is_looked_at_bit_by_bit(monkeypatch):
    from napari_cryoet.review import density

    seen = []
    means = density._means
    monkeypatch.setattr(
        density,
        "_means",
        lambda volume, level, points, offsets, stop: (
            seen.append((len(points), len(offsets))) or means(volume, level, points, offsets, stop)
        ),
    )
    z = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None], (40, 40, 40))
    points = np.full((600, 3), [20.0, 20.0, 20.0])

    found = density.densities_at(ArrayVolume(z, (1.0,) * 3), points, 4000.0)

    assert np.allclose(found, 20, atol=2)
    assert len(seen) > 1
    assert all(n_points * n_offsets <= 2**21 for n_points, n_offsets in seen)


def test_a_speck_brighter_than_all_the_rest_leaves_no_trace_once_its_pick_is_taken_out():
    mean = RunningMean()
    mean.change(crop(0))
    speck = Crop(9, np.full(CUBES[0].shape, 1e30, np.float32), is_oriented=False)
    mean.change(speck)
    mean.change(crop(1))
    mean.change(speck)

    np.testing.assert_array_equal(mean.mean, CUBES[:2].astype(float).mean(axis=0).astype(np.float32))
