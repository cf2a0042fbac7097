import numpy as np
import pytest

from napari_cryoet.contrast import robust_limits

NOISE = np.random.default_rng(0).normal(50, 10, (2, 300, 300)).astype(np.float32)


def test_limits_hold_nearly_all_of_the_noise():
    low, high = robust_limits(NOISE)

    assert low == pytest.approx(50 - 25.8, abs=1)
    assert high == pytest.approx(50 + 25.8, abs=1)


@pytest.mark.parametrize("outlier", [1e30, -1e30, np.nan, np.inf])
def test_outliers_do_not_matter(outlier):
    values = NOISE.copy()
    values[0, 0, :9] = outlier

    assert robust_limits(values) == pytest.approx(robust_limits(NOISE), abs=0.5)


def test_padding_with_zeros_does_not_matter():
    values = NOISE.copy()
    values[:, :, 100:] = 0

    assert robust_limits(values) == pytest.approx(robust_limits(NOISE), abs=1)


def test_zeros_of_whole_numbers_count():
    values = np.arange(256, dtype=np.uint8)

    assert robust_limits(values) == pytest.approx((1.3, 253.7), abs=0.1)


def test_a_few_bright_voxels_in_nothing_are_seen():
    values = np.zeros(10_000, np.uint8)
    values[:3] = 200

    assert robust_limits(values) == (0, 200)


@pytest.mark.parametrize("values", [np.zeros(9), np.full(9, 7.0), np.full(9, np.nan), np.empty(0)])
def test_where_all_is_the_same_there_are_none(values):
    assert robust_limits(values) is None


def test_of_very_many_values_a_part_is_enough():
    values = np.random.default_rng(1).normal(50, 10, 5_000_000).astype(np.float32)

    assert robust_limits(values) == pytest.approx((50 - 25.8, 50 + 25.8), abs=0.5)
