"""What is painted over a level is in whatever is computed of it, in pictures too, and in nothing else."""

import pickle
import tracemalloc

import dask
import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid, pyramid_of
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.own_levels import pyramid_below, unpadded_shape
from napari_cryoet.streaming.paint import Paint

SHAPE = (21, 90, 75)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).integers(0, 3, SHAPE).astype("i1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("mask") / "a.zarr"
    write_pyramid(folder, values, 10.0, "mask")
    return folder


@pytest.fixture
def pyramid(folder):
    return open_pyramid(folder, fetcher=Fetcher(MemoryCache(2**26)))


def boxes(shape):
    spans = [st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted).map(tuple) for size in shape]
    return st.tuples(*spans)


def slices(box):
    return tuple(slice(*span) for span in box)


@given(st.lists(boxes((20, 150, 140)), max_size=6), boxes((20, 150, 140)))
def test_what_was_painted_last_is_put_over(painted, box):
    expected, paint = np.zeros((20, 150, 140), "i2"), Paint()
    for value, each in enumerate(painted, 1):
        expected[slices(each)] = value
        shape = expected[slices(each)].shape
        values = np.full(shape, value, "i2") if value % 2 else np.broadcast_to(np.int16(value), shape)
        paint = paint.with_values(each, values)
    seen = np.zeros(expected[slices(box)].shape, "i2")
    paint.put_over(box, seen)
    assert np.array_equal(seen, expected[slices(box)])
    assert paint.is_in(box) or not seen.any()
    whole, is_painted = paint.all_of(box, np.dtype("i2")), expected[slices(box)] > 0
    assert np.array_equal(whole, expected[slices(box)]) if is_painted.all() else whole is None


@given(st.lists(st.tuples(boxes((20, 150, 140)), st.sampled_from([0, 0.01, 0.5, 1])), max_size=4), st.integers(0, 9))
def test_what_was_painted_in_some_places_is_put_over_there_only(painted, seed):
    random, expected, paint = np.random.default_rng(seed), np.zeros((20, 150, 140), "i2"), Paint()
    for value, (box, share) in enumerate(painted, 1):
        part = expected[slices(box)]
        where = random.random(part.shape) < share
        part[where] = value
        paint = paint.with_values(box, np.broadcast_to(np.int16(value), part.shape), where)
    seen = np.zeros(expected.shape, "i2")
    paint.put_over(tuple((0, size) for size in seen.shape), seen)
    assert np.array_equal(seen, expected)


@pytest.mark.parametrize("shape", [(300,), (130, 140), (3, 10, 70, 66)])
def test_arrays_of_any_number_of_axes_are_painted(shape):
    box = tuple((size // 3, size // 3 + size // 2) for size in shape)
    expected = np.zeros(shape, int)
    expected[slices(box)] = np.arange(expected[slices(box)].size).reshape(expected[slices(box)].shape)
    paint, seen = Paint().with_values(box, expected[slices(box)]), np.zeros(shape, int)
    paint.put_over(tuple((0, size) for size in shape), seen)
    assert np.array_equal(seen, expected)


def test_what_is_painted_later_is_not_in_what_was_painted_before():
    box = ((0, 2), (0, 2))
    first = Paint().with_values(box, np.ones((2, 2), int))
    first.with_values(box, np.full((2, 2), 2))
    seen = np.zeros((2, 2), int)
    first.put_over(box, seen)
    assert (seen == 1).all()


def test_one_value_over_much_takes_next_to_no_memory_and_is_painted_on():
    box, shape = ((0, 83), (0, 1000), (0, 1010)), (83, 1000, 1010)
    tracemalloc.start()
    paint = Paint().with_values(box, np.broadcast_to(np.uint8(3), shape))
    paint = paint.with_values(((5, 6), (70, 80), (70, 80)), np.full((1, 10, 10), 4, "u1"))
    taken_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken_bytes < np.prod(shape) / 20
    seen = np.zeros(shape, "u1")
    paint.put_over(box, seen)
    assert (seen == 4).sum() == 100
    assert (seen == 3).sum() == seen.size - 100


# --- levels


def painted(pyramid, values):
    """A level in which some was written in ways in which viewers and scripts do it, and its values."""
    level, expected = pyramid.levels[0], np.zeros(pyramid.padded_shapes[0], "i1")
    expected[slices(tuple((0, size) for size in SHAPE))] = values
    for key, value in [
        ((slice(3, 4), slice(10, 80), slice(20, 50)), np.full((1, 70, 30), 7, "i1")),
        ((5, 6, 7), 4),
        ((Ellipsis, 3), np.arange(expected.shape[1], dtype="i8")),
        (-2, 9),
        ((slice(0, 2), 4), [[1], [2]]),
        ((slice(4, 4),), 5),
        (expected == 1, 6),
        ((8, expected[8] > 0), 3),
        ((slice(9, 12), expected[9] == 2), 5),
        ((Ellipsis, expected[9, 10] == 2), 4),
        ((slice(2, 4), 5, expected[9, 10] == 1), np.arange((expected[9, 10] == 1).sum())),
        (expected == 2, np.arange((expected == 2).sum()) % 100),
        (np.zeros(expected.shape, bool), 1),
    ]:
        level[key] = value
        expected[key] = value
    return level, expected


def test_a_level_computes_what_was_written_into_it(pyramid, values):
    level, expected = painted(pyramid, values)
    assert np.array_equal(level.compute(), expected)
    assert np.array_equal(np.asarray(level), expected)
    assert np.array_equal(level[3, 5:30].compute(), expected[3, 5:30])
    assert np.array_equal(level[::3, ::-2].compute(), expected[::3, ::-2])
    assert np.array_equal((level + 1).sum(0).compute(), (expected + np.int8(1)).sum(0))
    assert np.array_equal(dask.compute(level[2:9], scheduler="synchronous")[0], expected[2:9])
    assert np.array_equal(pyramid.levels[0].compute()[slices(tuple((0, size) for size in SHAPE))], values)


def test_what_was_painted_is_not_read_anew(pyramid):
    level, _ = painted(pyramid, values=0)
    pyramid.close()
    assert (level[3:4, 15:70, 30:40].compute() == 7).all()
    with pytest.raises(StoppedError):
        level[3:4, 9:70, 30:40].compute()


def test_what_was_written_in_other_ways_is_computed_too(pyramid, values):
    level, expected = painted(pyramid, values)
    planes = np.arange(len(expected)) % 5 == 0
    level[planes] = 7
    expected[planes] = 7
    level[::2, 3] = 8
    expected[::2, 3] = 8
    level[level == 1] = 6
    expected[expected == 1] = 6
    level[4:6] = 2  # once more in the usual way
    expected[4:6] = 2
    assert pyramid_below(level) is None
    assert np.array_equal(level.compute(), expected)


def test_what_was_derived_before_is_of_before(pyramid, values):
    level = pyramid.levels[0]
    before, plane, copy = level.name, level[3], level.copy()
    level[3] = 5
    assert level.name != before  # by which dask may keep values
    assert np.array_equal(plane.compute()[: SHAPE[1], : SHAPE[2]], values[3])
    assert np.array_equal(copy[3].compute(), plane.compute())
    again = level.copy()
    level[3] = 6
    assert (again[3].compute() == 5).all()
    assert (level[3].compute() == 6).all()


def test_what_is_painted_while_a_part_is_taken_is_not_in_it(pyramid, values, monkeypatch):
    level, slice_array = pyramid.levels[0], dask.array.core.slice_array

    def painting(*args):
        level[:] = 5  # as another thread may
        return slice_array(*args)

    monkeypatch.setattr(dask.array.core, "slice_array", painting)
    plane = level[3]
    monkeypatch.undo()
    for scheduler in ("synchronous", None):
        assert np.array_equal(plane.compute(scheduler=scheduler)[: SHAPE[1], : SHAPE[2]], values[3])
    assert np.array_equal(dask.array.Array.compute(plane)[: SHAPE[1], : SHAPE[2]], values[3])
    assert (level[3].compute() == 5).all()


def test_what_is_written_into_a_level_without_its_padding_is_written_into_the_level(pyramid, values):
    level = pyramid.levels[0]
    assert level.shape > SHAPE
    stored = level.without_padding()
    assert stored.shape == SHAPE
    assert pyramid_below(stored) is pyramid
    stored[3:5, :, -2:] = 7
    expected = values.copy()
    expected[3:5, :, -2:] = 7
    assert (level == 7).sum().compute() == (expected == 7).sum()
    assert np.array_equal(stored.compute(), values)  # it is of before
    assert np.array_equal(level.without_padding().compute(), expected)
    assert level.without_padding().paint is level.paint
    with pytest.raises(NotImplementedError):
        stored[::2] = 1
    part = level[2:]
    assert part.without_padding() is part


def test_what_is_written_by_a_condition_that_is_here_streams_on(pyramid, values):
    level = pyramid.levels[0]
    level[np.asarray(level == 1)] = 6
    assert pyramid_below(level) is pyramid
    assert level.paint is not None
    with pytest.raises(ValueError, match="3"):
        level[level.compute() == 6] = [1, 2, 3]
    assert (level == 6).sum().compute() == (values == 1).sum()


def test_values_that_do_not_fit_are_refused_and_leave_the_level_as_it_is(pyramid, values):
    level = pyramid.levels[0]
    with pytest.raises(ValueError, match="NaN"):
        level[3] = float("nan")
    with pytest.raises(ValueError, match="broadcast"):
        level[3] = np.zeros((2, 3))
    with pytest.raises(IndexError):
        level[99] = 1
    assert pyramid_of(level) is pyramid


def test_painted_levels_go_to_other_processes(pyramid, values):
    level, expected = painted(pyramid, values)
    assert np.array_equal(pickle.loads(pickle.dumps(level)).compute(), expected)


def test_what_is_painted_here_and_there_goes_to_other_processes_packed(pyramid):
    level = pyramid.levels[0]
    before = len(pickle.dumps(level))
    level[:, 60:70, 60:70] = np.arange(100).reshape(10, 10)
    assert len(pickle.dumps(level)) - before < 10_000


def test_one_is_told_what_a_painted_level_lies_over(pyramid):
    level = pyramid.levels[0]
    assert pyramid_below(level) is pyramid
    assert pyramid_below(pyramid.levels) is pyramid
    level[3] = 5
    assert pyramid_of(level) is None  # it isn't what the files hold
    assert pyramid_below(level) is pyramid
    assert unpadded_shape(level) == SHAPE
    assert pyramid_below(level[2:]) is None
    assert pyramid_below(level + 1) is None
    assert pyramid_below([level, *pyramid.levels[1:]]) is None
    coarse = pyramid.levels[1]
    coarse[3] = 5
    assert pyramid_below(coarse) is None


# --- pictures


def whole(level):
    return tuple((0, size) for size in level.shape)


def test_pictures_show_what_was_painted_though_nothing_else_is_there(pyramid):
    display = pyramid.display(is_held=True)
    display.paint = Paint().with_values(((3, 4), (10, 20), (20, 30)), np.full((1, 10, 10), 7, "i1"))
    plane = np.asarray(display.levels[0][3])
    assert (plane[10:20, 20:30] == 7).all()
    assert plane.sum() == 700
    assert not display.state.is_exact
    assert not display.is_blank
    assert np.asarray(display.levels[0][4]).sum() == 0
    assert np.asarray(display.overviews[0][3]).sum() == 700
    volume = np.asarray(display.levels[0])
    assert volume.sum() == 700
    display.close()


def test_pictures_show_what_was_painted_over_what_has_come(pyramid, values):
    display = pyramid.display()
    expected = values[3].copy()
    expected[10:20, 20:30] = 7
    display.paint = Paint().with_values(((3, 4), (10, 20), (20, 30)), np.full((1, 10, 10), 7, "i1"))
    pyramid.read(0)
    assert np.array_equal(np.asarray(display.levels[0][3]), expected)
    assert display.state.is_exact
    display.paint = None
    assert np.array_equal(np.asarray(display.levels[0][3]), values[3])  # and nothing that is kept was painted
    display.close()


def test_coarser_levels_are_not_painted(pyramid):
    pyramid.read(1)
    display = pyramid.display()
    display.paint = Paint().with_values(((0, 9), (0, 40), (0, 30)), np.full((9, 40, 30), 7, "i1"))
    assert 7 not in np.asarray(display.levels[1][3])
    display.close()
