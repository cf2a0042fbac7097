"""Blocks cover an array once, and levels lie over each other by exact factors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.geometry import box_slices, intersect, level_factors, make_grid, padded_shapes

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))


@given(SIZES, SIZES, SIZES)
def test_every_voxel_lies_in_exactly_one_block_and_that_in_one_chunk(shape, chunk_shape, block_shape):
    grid = make_grid(shape, chunk_shape, block_shape)
    count = np.zeros(shape, int)
    for block in grid.covering(tuple((0, size) for size in shape)):
        box = grid.box(block)
        count[box_slices(box)] += 1
        chunk = grid.chunk(block)
        for (start, stop), index, size in zip(box, chunk, chunk_shape, strict=True):
            assert index * size <= start < stop <= (index + 1) * size
    assert (count == 1).all()
    assert grid.shape == shape


@given(SIZES, SIZES, SIZES, st.data())
def test_covering_finds_the_blocks_of_a_box_and_no_others(shape, chunk_shape, block_shape, data):
    grid = make_grid(shape, chunk_shape, block_shape)
    box = tuple(tuple(sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape)
    found = set(grid.covering(box))
    everything = grid.covering(tuple((0, size) for size in shape))
    assert found == {block for block in everything if intersect(grid.box(block), box)}
    if found:
        outer = grid.enclosing(box)
        assert intersect(outer, box) == box
        assert set(grid.covering(outer)) == found


@given(SIZES, SIZES, SIZES)
def test_blocks_of_a_chunk_have_places_in_the_order_of_its_voxels(shape, chunk_shape, block_shape):
    grid = make_grid(shape, chunk_shape, block_shape)
    by_chunk: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for block in sorted(grid.covering(tuple((0, size) for size in shape))):
        by_chunk.setdefault(grid.chunk(block), []).append(block)
    for chunk, inside in by_chunk.items():
        assert [grid.place(block) for block in inside] == [(chunk, position) for position in range(len(inside))]
        assert [grid.at_place(chunk, position) for position in range(-1, len(inside) + 1)] == [None, *inside, None]


@given(SIZES, SIZES, SIZES, st.integers(1, 9), st.booleans())
def test_runs_hold_each_block_once_and_stay_in_one_chunk(shape, chunk_shape, block_shape, longest, in_turn):
    grid = make_grid(shape, chunk_shape, block_shape)
    blocks = list(grid.covering(tuple((0, size) for size in shape)))
    runs = grid.runs(blocks, longest, in_turn=in_turn)
    assert sorted(block for run in runs for block in run) == sorted(blocks)
    assert all(len(run) <= longest and len({grid.chunk(block) for block in run}) == 1 for run in runs)


def test_runs_in_turn_begin_in_every_chunk_and_are_of_all_lengths():
    grid = make_grid((64, 40, 40), (32, 20, 20), (2, 20, 20))
    runs = grid.runs(grid.covering(((0, 64), (0, 40), (0, 40))), 4, in_turn=True)
    assert len({grid.chunk(run[0]) for run in runs[:8]}) == 8
    assert [len(run) for run in runs[:8]] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert {len(run) for run in runs[8:24]} == {4}


@given(st.tuples(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 2000)), st.booleans())
def test_halved_levels_have_factors_of_two_and_are_padded_to_ratios_of_two(shape, with_scales):
    shapes = [shape]
    for _ in range(2):
        shapes.append(tuple(-(-size // 2) for size in shapes[-1]))
    scales = [(13.48 * 2**level,) * 3 for level in range(3)] if with_scales else [None] * 3
    factors = level_factors(shapes, scales)
    if with_scales:
        assert factors == ((1, 1, 1), (2, 2, 2), (4, 4, 4))
    padded = padded_shapes(shapes, factors)
    for axis in range(3):
        for level in range(3):
            assert padded[0][axis] == padded[level][axis] * factors[level][axis]
            assert 0 <= padded[level][axis] - shapes[level][axis] < 4


@pytest.mark.parametrize("size", [5, 6, 7, 301, 303])
def test_sizes_rounded_down_have_factors_of_two_as_well(size):
    shapes = [(size,) * 3, (size // 2,) * 3]
    factors = level_factors(shapes, [None, None])
    assert factors[1] == (2, 2, 2)
    padded = padded_shapes(shapes, factors)
    assert padded[0][0] == 2 * padded[1][0] >= size


def test_an_axis_that_is_not_halved_has_a_factor_of_one():
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], [None, None])[1] == (1, 2, 2)
    scales = [(1.0, 1.0, 1.0), (1.0, 2.0, 2.0)]
    assert level_factors([(41, 1024, 1000), (41, 512, 500)], scales)[1] == (1, 2, 2)


@pytest.mark.parametrize("rounded", [math.floor, math.ceil])
@pytest.mark.parametrize("factor", [1.5, 2.5, 6.25])
@pytest.mark.parametrize("size", [100, 130, 182, 7])
def test_factors_that_are_no_whole_numbers_are_those_of_the_scales(rounded, factor, size):
    shapes = [(size,) * 3, (rounded(size / factor),) * 3]
    factors = level_factors(shapes, [(13.48,) * 3, (13.48 * factor,) * 3])
    assert factors[1] == pytest.approx((factor,) * 3)
    assert padded_shapes(shapes, factors) == tuple(shapes)


@pytest.mark.parametrize("scale", [2.5, 1.2, 0.5])
def test_scales_that_the_shapes_do_not_allow_say_nothing(scale):
    assert level_factors([(100,), (50,)], [(1.0,), (scale,)])[1] == (2,)


def test_factors_that_are_no_whole_numbers_are_those_of_the_shapes_without_scales():
    shapes = [(100, 100, 100), (67, 67, 67)]
    assert level_factors(shapes, [None, None])[1] == pytest.approx((100 / 67,) * 3)


@pytest.mark.parametrize("spacing", [1.0, 13.48, 0.1])
def test_levels_that_were_stretched_to_their_shapes_reach_as_far_as_the_finest(spacing):
    sizes = [1023, 511, 255, 127, 63]  # as ome-zarr-py makes them: resized, and scales say by how much
    ratios = [sizes[0] / size for size in sizes]
    factors = level_factors([(size,) for size in sizes], [(spacing * ratio,) for ratio in ratios])
    assert factors == tuple(pytest.approx((ratio,)) for ratio in ratios)


def test_large_factors_are_not_padded_for():
    shapes = [(100, 100, 100), (7, 7, 7)]
    factors = level_factors(shapes, [(1.0,) * 3, (16.0,) * 3])
    assert factors[1] == (16, 16, 16)
    assert padded_shapes(shapes, factors) == tuple(shapes)


@pytest.mark.parametrize(
    ("shape", "chunk", "block", "n", "expected"),
    [
        ((20, 6), (8, 6), (2, 6), 2, ((0, 4, 8, 12, 16, 20), (0, 6))),
        ((20, 6), (8, 6), (2, 6), 3, ((0, 6, 8, 14, 16, 20), (0, 6))),
        ((20, 6), (7, 6), (2, 6), 2, ((0, 4, 7, 11, 14, 18, 20), (0, 6))),
        ((20, 6), (8, 6), (2, 6), 99, ((0, 8, 16, 20), (0, 6))),
        ((5, 6), (8, 4), (2, 4), 2, ((0, 4, 5), (0, 4, 6))),
        ((3, 9), (1, 6), (1, 2), 2, ((0, 1, 2, 3), (0, 4, 6, 9))),
        ((4, 4), (2, 2), (2, 2), 8, ((0, 2, 4), (0, 2, 4))),
    ],
)
def test_blocks_are_taken_together_within_a_chunk(shape, chunk, block, n, expected):
    assert make_grid(shape, chunk, block).taken_together(n) == expected


def test_chunks_that_say_to_be_huge_are_no_more_work_than_what_is_in_them():
    grid = make_grid((3, 5), (2**40, 2**40), (1, 4))
    assert grid.borders == ((0, 1, 2, 3), (0, 4, 5))


def test_more_blocks_than_anybody_needs_are_refused():
    with pytest.raises(FormatError, match="too long"):
        make_grid((2**40, 5), (2**40, 5), (1, 5))
