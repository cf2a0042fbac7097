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
def test_every_voxel_lies_in_exactly_one_block_and_that_in_one_chunk(shape, chunk_shape, block_shape):
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
def test_covering_finds_the_blocks_of_a_box_and_no_others(shape, chunk_shape, block_shape, data):
    grid = make_grid(shape, chunk_shape, block_shape, chunk_shape)
    box = tuple(tuple(sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape)
    found = set(grid.covering(box))
    assert found == {block for block in grid.covering(whole_box(shape)) if intersect(grid.box(block), box)}
    assert grid.count(box) == len(found)
    if found:
        outer = grid.enclosing(box)
        assert intersect(outer, box) == box
        assert set(grid.covering(outer)) == found


@given(SIZES, SIZES, SIZES, st.integers(1, 9))
def test_runs_hold_each_block_once_and_stay_in_one_chunk(shape, chunk_shape, block_shape, longest):
    grid = make_grid(shape, chunk_shape, block_shape, chunk_shape)
    blocks = list(grid.covering(whole_box(shape)))
    runs = grid.runs(blocks, longest)
    assert sorted(block for run in runs for block in run) == sorted(blocks)
    assert all(len(run) <= longest and len({grid.chunk(block) for block in run}) == 1 for run in runs)


def test_an_axis_of_more_blocks_than_any_image_has_is_refused():
    with pytest.raises(FormatError, match="too long"):
        make_grid((10**9, 1), (1, 1), (1, 1), (1, 1))


INDICES = st.one_of(
    st.integers(-7, 7),
    st.just(slice(None)),
    st.builds(slice, st.none() | st.integers(-7, 7), st.none() | st.integers(-7, 7)),
    st.just(Ellipsis),
)


@given(st.lists(st.lists(INDICES, max_size=4), min_size=1, max_size=3))
def test_parts_are_those_that_numpy_cuts(steps):
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
        found = values[box_slices(box)].reshape([box[axis][1] - box[axis][0] for axis in kept])
        np.testing.assert_array_equal(found, expected)


@given(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), st.booleans(), st.sampled_from([math.floor, math.ceil]))
def test_halved_levels_have_factors_of_two(shape, with_scales, rounded):
    shapes = [shape]
    for _ in range(2):
        shapes.append(tuple(max(1, rounded(size / 2)) for size in shapes[-1]))
    scales = [(13.48 * 2**level,) * 2 for level in range(3)] if with_scales else [None] * 3
    factors = level_factors(shapes, scales)
    for axis, size in enumerate(shape):
        if size >= 8:
            assert [factor[axis] for factor in factors] == [1, 2, 4]
        assert [factor[axis] for factor in factors] == sorted(factor[axis] for factor in factors)


def test_an_axis_that_is_not_halved_has_a_factor_of_one():
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], [None, None])[1] == (1, 2, 2)
    scales = [(1.0, 1.0, 1.0), (1.0, 2.0, 2.0)]
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], scales)[1] == (1, 2, 2)


@pytest.mark.parametrize("rounded", [math.floor, math.ceil])
@pytest.mark.parametrize("factor", [1.5, 2.5, 6.25])
@pytest.mark.parametrize("size", [100, 130, 182, 7])
def test_factors_that_are_no_whole_numbers_are_those_of_the_scales(rounded, factor, size):
    shapes = [(size,), (rounded(size / factor),)]
    assert level_factors(shapes, [(13.48,), (13.48 * factor,)])[1] == pytest.approx((factor,))


@pytest.mark.parametrize("scale", [2.5, 1.2, 0.5])
def test_scales_that_the_shapes_do_not_allow_say_nothing(scale):
    assert level_factors([(100,), (50,)], [(1.0,), (scale,)])[1] == (2,)


def test_factors_without_scales_that_are_no_whole_numbers_are_those_of_the_shapes():
    assert level_factors([(100,), (67,)], [None, None])[1] == pytest.approx((100 / 67,))


@pytest.mark.parametrize("spacing", [1.0, 13.48, 0.1])
def test_levels_that_were_stretched_to_their_shapes_reach_as_far_as_the_finest(spacing):
    sizes = [1023, 511, 255, 127, 63]  # as ome-zarr-py makes them: resized, and scales say by how much
    ratios = [sizes[0] / size for size in sizes]
    factors = level_factors([(size,) for size in sizes], [(spacing * ratio,) for ratio in ratios])
    assert factors == tuple(pytest.approx((ratio,)) for ratio in ratios)


@given(st.integers(1, 50), st.sampled_from([1.0, 2.0, 4.0, 2.5]), st.data())
def test_of_a_level_made_by_means_each_voxel_is_that_which_it_went_into(size, factor, data):
    coarse_size = math.ceil(size / factor)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    (found,) = coarse_indices(((start, stop),), (factor,), (coarse_size,), "mean")
    centres = (np.arange(start, stop) + 0.5) / factor
    assert ((found <= centres) & (centres <= found + 1)).all()
    assert coarse_box(((start, stop),), (factor,), (coarse_size,), "mean") == ((found[0], found[-1] + 1),)


@given(st.integers(1, 50), st.sampled_from([1, 2, 4]), st.data())
def test_of_a_level_made_of_every_nth_voxel_each_voxel_is_the_nearest(size, factor, data):
    kept = np.arange(0, size, factor)
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    (found,) = coarse_indices(((start, stop),), (factor,), (len(kept),), "strided")
    distances = np.abs(kept[:, None] - np.arange(start, stop))
    assert (distances[found, np.arange(stop - start)] == distances.min(axis=0)).all()
    assert coarse_box(((start, stop),), (factor,), (len(kept),), "strided") == ((found[0], found[-1] + 1),)
