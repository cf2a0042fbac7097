import threading

import numpy as np
import pytest

from fitness_scene import DIAMETER_ANGSTROM, make_scene, volume_of_array
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.fitness import density
from napari_cryoet.fitness.density import grid_for, read_contrast
from napari_cryoet.formats.portal_zarr import write_mrc, write_pyramid
from napari_cryoet.volumes import open_volume

SPACING = 10.0


@pytest.fixture(scope="module")
def scene():
    return make_scene()


@pytest.fixture
def pyramid(scene, tmp_path):
    write_pyramid(tmp_path / "TS.zarr", scene.grey, SPACING)
    volume = open_volume(tmp_path / "TS.zarr")
    yield volume
    volume.close()


@pytest.mark.parametrize(("diameter", "level"), [(400.0, 2), (160.0, 2), (159.0, 1), (80.0, 1), (79.0, 0), (10.0, 0)])
def test_the_coarsest_level_that_resolves_the_particle_is_taken(pyramid, diameter, level):
    assert grid_for(pyramid, (SPACING,) * 3, diameter).level == level


def test_only_that_level_is_read(pyramid, monkeypatch):
    read = []
    whole = type(pyramid.pyramid).read
    monkeypatch.setattr(
        type(pyramid.pyramid),
        "read",
        lambda self, level, box, **kw: read.append((level, box)) or whole(self, level, box, **kw),
    )
    read_contrast(pyramid, grid_for(pyramid, (SPACING,) * 3, DIAMETER_ANGSTROM), DIAMETER_ANGSTROM)

    assert {level for level, _ in read} == {1}
    assert max(box[0][1] for _, box in read) <= pyramid.pyramid.shapes[1][0]


def test_coarse_voxels_lie_in_the_middle_of_what_they_span(pyramid):
    grid = grid_for(pyramid, (SPACING,) * 3, DIAMETER_ANGSTROM)

    assert grid.places(np.array([[0.5, 0.5, 0.5], [2.5, 4.5, 6.5]])).tolist() == [[0, 0, 0], [1, 2, 3]]


def test_a_volume_of_one_level_is_averaged_to_the_same_grid(scene, pyramid, tmp_path):
    write_mrc(tmp_path / "TS.mrc", scene.grey, SPACING)
    single = open_volume(tmp_path / "TS.mrc")
    coarse, averaged = (grid_for(volume, (SPACING,) * 3, DIAMETER_ANGSTROM) for volume in (pyramid, single))

    assert (averaged.level, averaged.binned_by) == (0, 2)
    np.testing.assert_array_equal(coarse.first_zyx, averaged.first_zyx)
    np.testing.assert_allclose(
        read_contrast(pyramid, coarse, DIAMETER_ANGSTROM).ranks,
        read_contrast(single, averaged, DIAMETER_ANGSTROM).ranks,
        atol=1e-3,
    )
    single.close()


def test_what_is_kept_is_bounded_however_large_the_volume(monkeypatch):
    monkeypatch.setattr(density, "MAX_VOXELS", 1000)
    grid = grid_for(volume_of_array(np.zeros((40, 72, 64), np.float32)), (SPACING,) * 3, 20.0)

    assert np.prod(grid.shape_zyx) <= 1000
    assert grid.binned_by > 1


@pytest.mark.parametrize("polarity", [-1.0, 1.0])
def test_particles_rank_among_what_stands_out_most(polarity):
    scene = make_scene(polarity=polarity)
    contrast = read_contrast(scene.volume, grid_for(scene.volume, (SPACING,) * 3, DIAMETER_ANGSTROM), DIAMETER_ANGSTROM)
    at_particles = contrast.near(contrast.grid.places(scene.truth_zyx))

    assert np.median(polarity * at_particles) > 0.9
    assert abs(float(contrast.ranks.mean())) < 0.02


def test_slabs_meet_without_a_seam(scene, monkeypatch):
    grid = grid_for(scene.volume, (SPACING,) * 3, 40.0)
    whole = read_contrast(scene.volume, grid, 40.0).ranks
    monkeypatch.setattr(density, "_SLAB_VOXELS", 72 * 64 * 5)

    np.testing.assert_allclose(read_contrast(scene.volume, grid, 40.0).ranks, whole, atol=1e-4)


def test_nothing_stands_out_of_one_grey_and_odd_values_dont_spread():
    flat = np.full((16, 16, 16), 0.1, np.float32)
    grid = grid_for(volume_of_array(flat), (SPACING,) * 3, 40.0)
    assert not read_contrast(volume_of_array(flat), grid, 40.0).ranks.any()

    flat[8, 8, 8], flat[3, 3, 3] = np.nan, np.inf
    assert not read_contrast(volume_of_array(flat), grid, 40.0).ranks.any()


@pytest.mark.parametrize("spike", [1e10, 1e20, -3e38])
def test_a_damaged_voxel_hides_no_particle(scene, spike):
    grey = scene.grey.copy()
    grey[20, 40, 30] = spike
    damaged = volume_of_array(grey)
    contrast = read_contrast(damaged, grid_for(damaged, (SPACING,) * 3, DIAMETER_ANGSTROM), DIAMETER_ANGSTROM)

    at_particles = contrast.near(contrast.grid.places(scene.truth_zyx))
    assert np.median(at_particles) < -0.9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("no_value", [np.finfo(np.float32).max, -np.finfo(np.float32).max, np.nan, np.inf, 1e300])
def test_voxels_that_hold_no_value_hide_no_particle(scene, no_value):
    grey = scene.grey.astype(np.float64)
    grey.ravel()[np.random.default_rng(0).choice(grey.size, grey.size // 20, replace=False)] = no_value
    damaged = volume_of_array(grey)
    contrast = read_contrast(damaged, grid_for(damaged, (SPACING,) * 3, DIAMETER_ANGSTROM), DIAMETER_ANGSTROM)

    at_particles = contrast.near(contrast.grid.places(scene.truth_zyx))
    assert np.median(at_particles) < -0.9


def test_it_stops_when_nobody_wants_it_any_more(scene):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        read_contrast(scene.volume, grid_for(scene.volume, (SPACING,) * 3, 80.0), 80.0, stop=stop)
