"""Blocks cover an array exactly once, and levels are aligned by exact factors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.grid import (
    box_slices,
    coarse_box,
    coarse_indices,
    cut_part,
    intersect,
    level_factors,
    make_grid,
    whole_box,
)

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))


@given(SIZES, SIZES, SIZES)
def test_every_voxel_is_in_one_block_of_one_chunk(shape, chunk_shape, block_shape):
    grid = make_grid(shape, chunk_shape, block_shape, chunk_shape)
    count = np.zeros(shape, int)
    for block in grid.covering(whole_box(shape)):
        box = grid.box(block)
        count[box_slices(box)] += 1
        for (start, stop), index, size in zip(box, grid.chunk(block), chunk_shape, strict=True):
            assert index * size <= start < stop <= (index + 1) * size
    assert (count == 1).all()
    assert grid.shape == shape


@given(SIZES, SIZES, SIZES, st.data())
def test_covering_returns_exactly_the_blocks_of_a_box(shape, chunk_shape, block_shape, data):
    grid = make_grid(shape, chunk_shape, block_shape, chunk_shape)
    box = tuple(
        tuple(sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape
    )
    result = set(grid.covering(box))
    assert result == {
        block for block in grid.covering(whole_box(shape)) if intersect(grid.box(block), box)
    }
    assert grid.count(box) == len(result)
    if result:
        outer = grid.enclosing(box)
        assert intersect(outer, box) == box
        assert set(grid.covering(outer)) == result


@given(SIZES, SIZES, SIZES, st.integers(1, 9))
def test_runs_hold_each_block_once_within_one_chunk(shape, chunk_shape, block_shape, longest):
    grid = make_grid(shape, chunk_shape, block_shape, chunk_shape)
    blocks = list(grid.covering(whole_box(shape)))
    runs = grid.runs(blocks, longest)
    assert sorted(block for run in runs for block in run) == sorted(blocks)
    assert all(
        len(run) <= longest and len({grid.chunk(block) for block in run}) == 1 for run in runs
    )


def test_an_axis_with_too_many_blocks_is_refused():
    with pytest.raises(FormatError, match="too long"):
        make_grid((10**9, 1), (1, 1), (1, 1), (1, 1))


INDICES = st.one_of(
    st.integers(-7, 7),
    st.just(slice(None)),
    st.builds(slice, st.none() | st.integers(-7, 7), st.none() | st.integers(-7, 7)),
    st.just(Ellipsis),
)


@given(st.lists(st.lists(INDICES, max_size=4), min_size=1, max_size=3))
def test_cut_part_slices_like_numpy(steps):
    values = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    box, kept, expected = whole_box(values.shape), (0, 1, 2), values
    for index in map(tuple, steps):
        try:
            expected = expected[index]
        except IndexError:
            return
        cut = cut_part(box, kept, index)
        if cut is None:
            assert index.count(Ellipsis) > 1 or len(index) > len(kept)
            return
        box, kept = cut
        result = values[box_slices(box)].reshape([box[axis][1] - box[axis][0] for axis in kept])
        np.testing.assert_array_equal(result, expected)


@given(
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    st.booleans(),
    st.sampled_from([math.floor, math.ceil]),
)
def test_halved_levels_have_factors_of_two(shape, with_scales, rounding):
    shapes = [shape]
    for _ in range(2):
        shapes.append(tuple(max(1, rounding(size / 2)) for size in shapes[-1]))
    scales = [(13.48 * 2**level,) * 2 for level in range(3)] if with_scales else [None] * 3
    factors = level_factors(shapes, scales)
    for axis, size in enumerate(shape):
        if size >= 8:
            assert [factor[axis] for factor in factors] == [1, 2, 4]
        assert [factor[axis] for factor in factors] == sorted(factor[axis] for factor in factors)


def test_an_axis_that_is_not_downsampled_has_a_factor_of_one():
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], [None, None])[1] == (1, 2, 2)
    scales = [(1.0, 1.0, 1.0), (1.0, 2.0, 2.0)]
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], scales)[1] == (1, 2, 2)


@pytest.mark.parametrize("rounding", [math.floor, math.ceil])
@pytest.mark.parametrize("factor", [1.5, 2.5, 6.25])
@pytest.mark.parametrize("size", [100, 130, 182, 7])
def test_fractional_factors_come_from_the_scales(rounding, factor, size):
    shapes = [(size,), (rounding(size / factor),)]
    assert level_factors(shapes, [(13.48,), (13.48 * factor,)])[1] == pytest.approx((factor,))


@pytest.mark.parametrize("scale", [2.5, 1.2, 0.5])
def test_scales_that_contradict_the_shapes_are_ignored(scale):
    assert level_factors([(100,), (50,)], [(1.0,), (scale,)])[1] == (2,)


def test_fractional_factors_without_scales_come_from_the_shapes():
    assert level_factors([(100,), (67,)], [None, None])[1] == pytest.approx((100 / 67,))


@pytest.mark.parametrize("spacing", [1.0, 13.48, 0.1])
def test_resized_levels_cover_the_full_extent(spacing):
    sizes = [1023, 511, 255, 127, 63]  # resized as by ome-zarr-py, with matching scales
    ratios = [sizes[0] / size for size in sizes]
    factors = level_factors([(size,) for size in sizes], [(spacing * ratio,) for ratio in ratios])
    assert factors == tuple(pytest.approx((ratio,)) for ratio in ratios)


@given(st.integers(1, 50), st.sampled_from([1.0, 2.0, 4.0, 2.5]), st.data())
def test_a_voxel_maps_to_the_averaged_voxel_that_contains_it(size, factor, data):
    coarse_size = math.ceil(size / factor)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    (result,) = coarse_indices(((start, stop),), (factor,), (coarse_size,), "mean")
    centres = (np.arange(start, stop) + 0.5) / factor
    assert ((result <= centres) & (centres <= result + 1)).all()
    assert coarse_box(((start, stop),), (factor,), (coarse_size,), "mean") == (
        (result[0], result[-1] + 1),
    )


@given(st.integers(1, 50), st.sampled_from([1, 2, 4]), st.data())
def test_a_voxel_maps_to_the_nearest_voxel_of_a_strided_level(size, factor, data):
    kept = np.arange(0, size, factor)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    (result,) = coarse_indices(((start, stop),), (factor,), (len(kept),), "strided")
    distances = np.abs(kept[:, None] - np.arange(start, stop))
    assert (distances[result, np.arange(stop - start)] == distances.min(axis=0)).all()
    assert coarse_box(((start, stop),), (factor,), (len(kept),), "strided") == (
        (result[0], result[-1] + 1),
    )
