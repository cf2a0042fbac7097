"""The parts of a check, compared with their formulas: contrast, readings, evidence, duplicates."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from check.scene import DIAMETER_ANGSTROM, SHAPE_ZYX, SPACING_ANGSTROM, make_scene, volume_of_array
from napari_cryoet import Picks
from napari_cryoet.check.evidence import Pattern, cliffs_delta, measure_offset
from napari_cryoet.check.readings import Reading, all_readings, duplicates
from napari_cryoet.measure import measuring
from napari_cryoet.measure.measuring import PicksFrame, grid_for, read_contrast

SPACING_ZYX = (SPACING_ANGSTROM,) * 3
SHAPE, POINTS = (10, 20, 30), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=20)
readings = st.builds(
    Reading,
    st.permutations(range(3)).map(tuple),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from([1.0, 0.5, 10.0]),
)


def ranks_of(volume, diameter=DIAMETER_ANGSTROM):
    return read_contrast(volume, grid_for(volume, diameter), diameter)


@pytest.fixture(scope="module")
def scene():
    return make_scene()


class TestContrast:
    @pytest.fixture
    def pyramid(self, scene):
        """The scene with two coarser levels of block means."""
        shape = [n // 2 for n in SHAPE_ZYX]
        half = scene.grey.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
        quarter = half.reshape(shape[0] // 2, 2, shape[1] // 2, 2, shape[2] // 2, 2).mean(
            axis=(1, 3, 5)
        )
        return replace(scene.volume, levels=[scene.grey, half, quarter])

    def test_the_coarsest_level_that_resolves_the_particle_is_used(self, pyramid):
        for diameter, level in ((400.0, 2), (160.0, 2), (159.0, 1), (80.0, 1), (79.0, 0)):
            assert grid_for(pyramid, diameter).level == level

    def test_a_single_level_volume_is_binned_to_the_same_grid(self, scene, pyramid):
        coarse, averaged = ranks_of(pyramid), ranks_of(scene.volume)

        assert (coarse.grid.level, averaged.grid.level, averaged.grid.binned_by) == (1, 0, 2)
        assert coarse.grid.from_finest(np.array([[0.5, 2.5, 4.5]])).tolist() == [[0, 1, 2]]
        np.testing.assert_array_equal(coarse.grid.first_zyx, averaged.grid.first_zyx)
        np.testing.assert_allclose(coarse.ranks, averaged.ranks, atol=1e-3)

    def test_slabs_give_the_same_ranks_within_the_memory_limit(self, scene, monkeypatch):
        whole = ranks_of(scene.volume, 40.0).ranks
        monkeypatch.setattr(measuring, "SLAB_VOXELS", 72 * 64 * 5)
        np.testing.assert_allclose(ranks_of(scene.volume, 40.0).ranks, whole, atol=1e-4)
        monkeypatch.setattr(measuring, "MAX_VOXELS", 1000)
        assert np.prod(grid_for(scene.volume, 20.0).shape_zyx) <= 1000

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    @pytest.mark.parametrize("odd", [np.nan, 1e300, 1e10])
    def test_damaged_voxels_do_not_hide_particles(self, scene, odd):
        grey = scene.grey.astype(np.float64)
        count = 1 if odd == 1e10 else grey.size // 20
        grey.ravel()[np.random.default_rng(0).choice(grey.size, count, replace=False)] = odd
        contrast = ranks_of(volume_of_array(grey))

        assert np.median(contrast.nearest(contrast.grid.from_finest(scene.truth_zyx))) < -0.9
        assert not ranks_of(volume_of_array(np.full(SHAPE_ZYX, 0.1, np.float32))).ranks.any()


class TestReadings:
    def test_readings_describe_their_differences(self):
        assert Reading().words() == "they are taken as given"
        assert (
            Reading((0, 2, 1), (True, False, False)).words()
            == "x and y are swapped and z is flipped"
        )
        moved = Reading(shift_zyx=(0.0, -3.0, 12.5))
        assert moved.words() == "all are moved by +12.5 in x and -3 in y voxels"

    def test_all_48_orders_and_flips_are_tried_at_each_scale_once(self):
        tried = list(all_readings(10.0, 10.0))

        assert tried[0] == Reading()
        assert len(tried) == len(set(tried)) == 48 * len({reading.factor for reading in tried})
        assert {1.0, 0.1, 10.0, 2.0, 4.0, 0.5, 0.25} == {reading.factor for reading in tried}
        assert {reading.factor for reading in all_readings(2.0, 2.0)} == {1.0, 0.5, 2.0, 4.0, 0.25}

    @given(readings)
    def test_readings_transform_points_and_rotations(self, reading):
        quarter = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        picks = Picks(POINTS, 5.0, scores=[0.1, 0.2], rotations_zyx=np.stack([np.eye(3), quarter]))
        read = reading.applied_to(PicksFrame(picks, SHAPE, SPACING_ZYX))

        np.testing.assert_allclose(read.points_zyx, reading.apply(POINTS / 2, SHAPE))
        assert (read.spacing_angstrom, read.shape_zyx, read.scores.tolist()) == (
            10.0,
            SHAPE,
            [0.1, 0.2],
        )
        assert reading.words() in read.edits[-1]
        if np.linalg.det(reading.axes_zyx) < 0:
            assert read.rotations_zyx is None
        else:  # the end of an arrow moves with its pick
            ends = reading.apply(POINTS + picks.particle_axes_zyx(), SHAPE) - reading.apply(
                POINTS, SHAPE
            )
            np.testing.assert_allclose(read.particle_axes_zyx(), ends / reading.factor, atol=1e-9)


class TestDuplicates:
    LINE = np.array([[0.0, 0, 0], [0, 0, 4], [0, 0, 8], [0, 0, 100]])

    def test_the_first_or_best_pick_is_kept(self):
        assert duplicates(self.LINE, None, 5.0).tolist() == [1]
        assert duplicates(self.LINE, np.array([0.0, 1.0, 0.5, 0.0]), 5.0).tolist() == [0, 2]
        assert duplicates(self.LINE, np.array([np.nan, 1.0, np.nan, 0.0]), 5.0).tolist() == [0, 2]
        assert (
            duplicates(self.LINE, None, 4.0).tolist() == []
        )  # exactly this distance isn't too close
        assert duplicates(np.zeros((50, 3)), None, 1.0).tolist() == list(range(1, 50))

    @given(
        arrays(
            np.float64,
            st.tuples(st.integers(0, 25), st.just(3)),
            elements=st.integers(0, 12).map(float),
        )
    )
    def test_kept_picks_are_apart_and_duplicates_near_one(self, points):
        out = duplicates(points, None, 3.0)
        kept = np.delete(points, out, axis=0)
        apart = np.linalg.norm(kept[:, None] - kept[None], axis=-1) + 99 * np.eye(len(kept))

        assert not len(kept) or apart.min() >= 3.0
        assert all(np.linalg.norm(kept - points[row], axis=1).min() < 3.0 for row in out)


class TestEvidence:
    @given(numbers, numbers)
    def test_cliffs_delta_matches_counted_pairs(self, ones, others):
        pairs = [np.sign(one - other) for one in ones for other in others]

        assert cliffs_delta(np.array(ones), np.array(others)) == pytest.approx(np.mean(pairs))

    def test_sigma_is_standard_normal_for_picks_in_noise(self):
        contrast, sigmas = ranks_of(make_scene(n_particles=0).volume), []
        for seed in range(150):
            points = np.random.default_rng(seed).uniform(0, np.array(SHAPE_ZYX) - 1, (30, 3))
            pattern = Pattern(contrast, points, SHAPE_ZYX, DIAMETER_ANGSTROM, seed=seed)
            sigmas.append(pattern.judge(Reading()).sigma)
            lengths = np.linalg.norm(pattern.shifts * contrast.grid.spacing_zyx, axis=1)
            assert lengths.min() >= 1.25 * DIAMETER_ANGSTROM

        assert np.mean(sigmas) == pytest.approx(0, abs=0.3)
        assert 0.75 < np.std(sigmas) < 1.2  # it may be conservative

    def test_counting_from_one_is_detected(self):
        scene = make_scene(n_particles=110, seed=6, shape=(56, 84, 72))
        contrast = ranks_of(scene.volume)

        assert measure_offset(contrast, scene.truth_zyx, DIAMETER_ANGSTROM, 0) is None
        for one in (1.0, -1.0):
            offset = measure_offset(contrast, scene.truth_zyx + one, DIAMETER_ANGSTROM, 0)
            assert offset.is_one_based
            np.testing.assert_allclose(offset.voxels_zyx, -one, atol=0.4)
