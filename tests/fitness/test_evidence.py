from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fitness_scene import DIAMETER_ANGSTROM, SPACING_ANGSTROM, make_scene
from napari_cryoet.fitness.density import grid_for, read_contrast
from napari_cryoet.fitness.evidence import Pattern, cliffs_delta, judge, peaks, sigma_needed
from napari_cryoet.fitness.offsets import measure_offset
from napari_cryoet.fitness.readings import Reading

numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=20)


@given(numbers, numbers)
def test_cliffs_delta_is_what_counting_pairs_gives(ones, others):
    pairs = [np.sign(one - other) for one in ones for other in others]

    assert cliffs_delta(np.array(ones), np.array(others)) == pytest.approx(np.mean(pairs))


def test_more_tries_need_more_sigma():
    assert sigma_needed(1, 0.05) == pytest.approx(norm.isf(0.025))
    assert sigma_needed(336) > sigma_needed(48) > sigma_needed(1)


@pytest.fixture(scope="module")
def contrast():
    volume = make_scene(n_particles=0).volume
    return read_contrast(volume, grid_for(volume, (SPACING_ANGSTROM,) * 3, DIAMETER_ANGSTROM), DIAMETER_ANGSTROM)


def test_sigma_of_picks_in_noise_is_a_sigma(contrast):
    shape, sigmas = (40, 72, 64), []
    for seed in range(150):
        points = np.random.default_rng(seed).uniform(0, np.array(shape) - 1, (30, 3))
        pattern = Pattern.of(contrast, points, shape, diameter_angstrom=DIAMETER_ANGSTROM, seed=seed)
        sigmas.append(judge(pattern, Reading()).sigma)

    assert np.mean(sigmas) == pytest.approx(0, abs=0.3)
    assert 0.75 < np.std(sigmas) < 1.2  # it may err on the careful side
    assert np.max(np.abs(sigmas)) < 4.5


def test_moves_are_never_so_small_that_a_pick_still_sees_its_particle(contrast):
    pattern = Pattern.of(contrast, np.zeros((5, 3)), (40, 72, 64), diameter_angstrom=DIAMETER_ANGSTROM, seed=1)
    lengths = np.linalg.norm(pattern.shifts * contrast.grid.spacing_zyx, axis=1)

    assert lengths.min() >= 1.25 * DIAMETER_ANGSTROM
    assert (np.abs(pattern.shifts) <= pattern.reach_zyx).all()


def test_a_parabola_finds_its_height_and_no_height_where_there_is_none():
    steps = np.array([-1.0, 0.0, 1.0])
    heights, is_there = peaks(np.stack([-((steps - 0.3) ** 2) + 5, (steps + 0.5) ** 2 - 5, -(steps**2) + 5]))
    assert heights.tolist() == pytest.approx([0.3, -0.5, 0.0])
    assert is_there

    heights, is_there = peaks(np.array([[1.0, 2.0, 3.0]]))
    assert np.isnan(heights).all()
    assert not is_there


def test_counting_from_one_is_told_where_it_can_be_measured():
    scene = make_scene(n_particles=110, seed=6, shape=(56, 84, 72))
    grid = grid_for(scene.volume, (SPACING_ANGSTROM,) * 3, DIAMETER_ANGSTROM)
    contrast = read_contrast(scene.volume, grid, DIAMETER_ANGSTROM)
    measure = partial(measure_offset, contrast, diameter_angstrom=DIAMETER_ANGSTROM, seed=0)

    assert measure(scene.truth_zyx) is None
    for one in (1.0, -1.0):
        offset = measure(scene.truth_zyx + one)
        assert offset.is_one_based
        np.testing.assert_allclose(offset.voxels_zyx, -one, atol=0.4)
