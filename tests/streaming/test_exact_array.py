"""A level computes the same values in one go as dask computes block by block, whatever part of it is asked for."""

import copy
import itertools
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from dask.callbacks import Callback
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, Zstd

from napari_cryoet.exceptions import StreamError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import exact_array, open_pyramid, pyramid_of
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.exact_array import ExactArray
from napari_cryoet.streaming.fetcher import Fetcher

SHAPE = (70, 180, 190)
LZ4 = Blosc("lz4", 5, Blosc.SHUFFLE)
LAYOUTS = {
    "blosc in blocks of planes": {"zarr_format": 2, "chunks": (64, 160, 160), "compressors": LZ4},
    "blosc in blocks of no whole planes": {
        "zarr_format": 2,
        "chunks": (64, 150, 170),
        "compressors": Blosc("lz4", 5, Blosc.SHUFFLE, 100_000),
    },
    "small chunks": {"zarr_format": 2, "chunks": (16, 32, 32), "compressors": Zstd(1)},
    "plain": {"zarr_format": 3, "chunks": (64, 160, 160), "compressors": None},
    "read through zarr": {"zarr_format": 2, "chunks": (64, 60, 70), "compressors": LZ4, "order": "F"},
    "sharded": {"zarr_format": 3, "chunks": (32, 32, 32), "shards": (64, 64, 64)},
}
#: Limits of the memory cache: one that keeps everything, and one so small that every read is too large to be kept.
LIMITS = {"kept": 2**30, "not kept": 2**16}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All layouts of a volume, each with a chunk that is missing: the folder and the values."""
    folder = tmp_path_factory.mktemp("layouts")
    values = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    for name, options in LAYOUTS.items():
        array = zarr.create_array(str(folder / name), shape=SHAPE, dtype="f4", fill_value=7.5, **options)
        array[...] = values
    expected = {}
    for name in LAYOUTS:
        chunks = sorted(path for path in (folder / name).rglob("*") if path.is_file() and path.name[-1].isdigit())
        chunks[1].unlink()
        expected[name] = zarr.open_array(str(folder / name), mode="r")[...]
        assert 0 < (expected[name] == 7.5).mean() < 0.5
    return folder, expected


@st.composite
def indices(draw, shape):
    """Integers, slices, an ellipsis and new axes, as somebody might write them between brackets."""
    index = []
    for size in shape:
        slices = st.slices(size) if draw(st.booleans()) else st.builds(slice, st.integers(-size, size), st.none())
        index.append(draw(slices if size == 0 else st.one_of(st.integers(-size, size - 1), slices)))
    first, last = sorted(draw(st.tuples(st.integers(0, len(shape)), st.integers(0, len(shape)))))
    if draw(st.booleans()):
        index[first:last] = [Ellipsis]
    else:
        del index[last:]
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        index.insert(draw(st.integers(0, len(index))), None)
    return tuple(index)


@pytest.mark.parametrize("index", [(..., None), (slice(None),) * 3 + (None,), (3, 4, 5, None), (slice(2), ..., None)])
def test_a_new_axis_at_the_end_is_computed_too(index, written):
    folder, expected = written
    computed = open_pyramid(folder / "plain").levels[0][index].compute()
    assert np.array_equal(computed, expected["plain"][index])
    assert computed.shape == expected["plain"][index].shape


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_part_of_any_layout_computes_to_what_zarr_reads(layout, limit, written, data):
    folder, expected = written
    pyramid = open_pyramid(folder / layout, fetcher=Fetcher(MemoryCache(LIMITS[limit])))
    lazy, values = pyramid.levels[0], expected[layout]
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(indices(values.shape))
        lazy, values = lazy[index], values[index]
    computed = lazy.compute()
    assert computed.shape == lazy.shape == values.shape
    assert computed.dtype == values.dtype
    assert np.array_equal(computed, values)
    assert np.array_equal(np.asarray(lazy), values)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("shape", [(37, 50, 41), (300, 33, 270), (1, 2, 3)])
def test_padded_levels_compute_the_same_in_one_go_as_block_by_block(shape, limit, tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.random.default_rng(1).normal(size=shape).astype("f4"), 13.48)
    pyramid = open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(LIMITS[limit])))
    for level in pyramid.levels:
        ends = [[(0, size), (size - 2, size), (size // 3, size)] for size in level.shape]
        for spans in itertools.islice(itertools.product(*ends), 0, None, 4):
            part = level[tuple(slice(max(0, start), stop) for start, stop in spans)]
            assert np.array_equal(part.compute(), part.compute(scheduler="synchronous"))


@pytest.mark.parametrize("axis", [0, -1, (1, 2), None])
@pytest.mark.parametrize("name", ["min", "max", "mean", "sum", "std", "any"])
def test_what_is_summed_up_has_no_padding_in_it(name, axis, tmp_path):
    values = np.random.default_rng(1).uniform(1, 2, (37, 50, 41)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 13.48)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    for level, array in enumerate(pyramid.levels):
        expected = getattr(np, name)(pyramid.read(level), axis=axis)
        inside = tuple(slice(size) for size in expected.shape)
        for found in (getattr(np, name)(array, axis=axis), getattr(array, name)(axis=axis), getattr(array, name)(axis)):
            assert type(found) is da.Array
            assert np.allclose(found.compute()[inside], expected)


def test_parts_are_summed_up_without_padding_too(tmp_path):
    values = np.random.default_rng(1).uniform(1, 2, (37, 50, 41)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 13.48)
    finest = open_pyramid(tmp_path / "a.zarr").levels[0]
    assert finest.shape == (40, 52, 44)
    assert np.allclose(np.median(finest[3], axis=1)[:50], np.median(values[3], axis=1))
    assert np.allclose(np.min(finest[30:, 20:], axis=0)[:30, :41], values[30:, 20:].min(axis=0))
    assert np.isclose(np.mean(finest[:, 4]), values[:, 4].mean())
    assert np.max(finest[38:]) == 0  # nothing but padding
    with pytest.raises(np.exceptions.AxisError):
        np.max(finest, axis=3)


def test_a_level_as_it_is_stored_is_an_array_of_its_own(tmp_path):
    values = np.random.default_rng(1).integers(0, 9, (37, 50, 41)).astype("u2")
    write_pyramid(tmp_path / "a.zarr", values, 13.48, "instances")
    pyramid = open_pyramid(tmp_path / "a.zarr")
    for level, padded in enumerate(pyramid.levels):
        stored = padded.as_stored()
        assert (stored.name == padded.name) == (padded.shape == pyramid.shapes[level])
        for array in (stored, pickle.loads(pickle.dumps(stored)), stored.as_stored()):
            assert np.array_equal(array.compute(scheduler="synchronous"), pyramid.read(level))
        assert pyramid_of(stored) is (None if level else pyramid)
        assert padded[3:].as_stored().shape == padded[3:].shape
    finest = pyramid.levels[0].as_stored()
    finest[36, 49, 40] = 500
    assert finest[-1, -1, -1].compute() == 500
    assert finest.painted_image is pyramid
    assert finest.as_stored() is finest


def test_what_is_a_box_is_read_in_one_go_and_everything_else_is_dasks(written):
    folder, _ = written
    level = open_pyramid(folder / "sharded").levels[0]
    for part in (level, level[3], level[..., 5:9], level[1:40, 7][:, 100:], level[5:5], level[np.int64(4)]):
        assert isinstance(part, ExactArray)
    derived = (level[::2], level[::-1], level[[1, 5]], level[None], level + 1, level.T, level.astype("f8"))
    for part in (*derived, np.mean(level, axis=0), np.stack([level, level]), level.rechunk(50), copy.copy(level)):
        assert type(part) is da.Array
    assert pyramid_of(level[:]) is pyramid_of(level) is not None
    assert pyramid_of(level[3:]) is None


def test_a_box_needs_no_task_of_dasks_unless_a_scheduler_is_named_or_watched(written):
    folder, expected = written
    part = open_pyramid(folder / "plain").levels[0][10:30]
    values = expected["plain"][10:30]
    tasks = []

    def scheduler(graph, keys, **options):
        tasks.append(keys)
        return dask.get(graph, keys, **options)

    assert np.array_equal(part.compute(num_workers=2), values)
    assert np.array_equal(part.compute(scheduler=scheduler), values)
    assert len(tasks) == 1
    with dask.config.set(scheduler=scheduler):
        assert np.array_equal(part.compute(), values)
    assert len(tasks) == 2
    with Callback(start=tasks.append):
        assert np.array_equal(part.compute(), values)
    assert len(tasks) == 3


def test_what_is_written_into_a_part_is_computed(written):
    folder, expected = written
    level = open_pyramid(folder / "plain").levels[0]
    part = level[:4, :5, :6]
    part[1] = 3
    values = expected["plain"][:4, :5, :6].copy()
    values[1] = 3
    assert np.array_equal(part.compute(), values)
    assert np.array_equal(part[0:2].compute(), values[0:2])
    np.add(part, 1, out=part)
    assert np.array_equal(part.compute(), values + 1)
    assert np.array_equal(level[:4, :5, :6].compute(), expected["plain"][:4, :5, :6])


def test_what_is_written_into_a_level_is_in_no_other_that_somebody_gets(written):
    folder, expected = written
    pyramid = open_pyramid(folder / "plain")
    pyramid.levels[0][3] = 1
    assert np.array_equal(pyramid.levels[0][3].compute(), expected["plain"][3])
    painted = pyramid.levels[0]
    painted[3] = 1
    assert pyramid_of(painted) is None
    assert pyramid_of(pyramid.levels[0]) is pyramid
    assert (painted[3].compute() == 1).all()
    assert np.array_equal(pyramid.levels[0][3].compute(), expected["plain"][3])


@pytest.mark.parametrize("layout", ["plain", "small chunks"])
def test_many_changes_of_a_draft_are_one_of_its_array(layout, written, monkeypatch):
    folder, expected = written
    pyramid, made = open_pyramid(folder / layout), []
    make = exact_array._dask_array
    level, before, values = pyramid.levels[0], pyramid.levels[0], expected[layout].copy()
    monkeypatch.setattr(exact_array, "_dask_array", lambda *arguments: made.append(arguments) or make(*arguments))
    with level.draft() as draft:
        for number in range(20):
            box = (slice(number, number + 9), slice(30, 40), slice(2 * number, 2 * number + 30))
            seen = draft[box]
            assert type(seen) is np.ndarray
            assert np.array_equal(seen, values[box])
            draft[box] = values[box] = seen + 1
            draft[number, 7] = values[number, 7] = number
            assert np.array_equal(level[box].compute(), expected[layout][box]), "not before all is done"
    assert len(made) == 1
    assert np.array_equal(level.compute(), values)
    assert np.array_equal(level.compute(scheduler="synchronous"), values)
    assert np.array_equal(before.compute(), expected[layout])


def test_a_draft_that_dask_writes_into_loses_nothing(written):
    folder, expected = written
    level, values = open_pyramid(folder / "plain").levels[0], expected["plain"].copy()
    with level.draft() as draft:
        draft[3, 4:9] = values[3, 4:9] = 1
        draft[::2, 5, 6] = values[::2, 5, 6] = 2
        draft[4:6, 5] = values[4:6, 5] = 3
        assert np.array_equal(draft[:8, :9].compute(), values[:8, :9])
        assert np.array_equal(draft[1::2].compute(), values[1::2])
    assert np.array_equal(level.compute(), values)
    with level.draft() as draft:
        draft[7] = values[7] = 4
    assert np.array_equal(level.compute(), values)


def test_what_was_changed_before_something_went_wrong_is_kept(written):
    folder, expected = written
    level, values = open_pyramid(folder / "plain").levels[0], expected["plain"].copy()

    def change_too_much():
        with level.draft() as draft:
            draft[3] = 1
            draft[500] = 2

    with pytest.raises(IndexError):
        change_too_much()
    values[3] = 1
    assert np.array_equal(level.compute(), values)


def test_what_cannot_be_read_is_an_error_also_in_one_go(tmp_path):
    array = zarr.create_array(str(tmp_path / "a"), shape=(64, 160, 160), chunks=(64, 160, 160), dtype="f4")
    array[...] = 1
    (chunk,) = (path for path in (tmp_path / "a").rglob("*") if path.name == "0" and path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(StreamError):
        open_pyramid(tmp_path / "a").levels[0].compute()


def test_a_level_of_any_size_is_cut_without_being_read(tmp_path):
    zarr.create_array(str(tmp_path / "b"), shape=(2048, 8192, 8192), chunks=(256, 256, 256), dtype="f4")
    level = open_pyramid(tmp_path / "b").levels[0]
    assert level.nbytes > 5e11
    assert not level[1000, 4000:4100, 17].compute().any()


@pytest.mark.filterwarnings("error::FutureWarning", "error::RuntimeWarning", "error::UserWarning")  # of numpy and dask
@pytest.mark.parametrize(
    "sum_up",
    [
        lambda values: np.amin(values, axis=0),
        lambda values: np.nanargmin(values, 0),
        lambda values: np.quantile(values, 0.1, axis=0),
        lambda values: np.quantile(values, 0.1, 0),
        lambda values: np.nanquantile(values, 0.1, axis=0),
        lambda values: np.ptp(values, axis=0),
    ],
)
def test_rarer_functions_of_numpys_sum_up_without_padding_too(sum_up, tmp_path):
    values = np.random.default_rng(1).uniform(1, 2, (37, 50, 41)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 13.48)
    found = sum_up(open_pyramid(tmp_path / "a.zarr").levels[0])
    assert np.allclose(found.compute()[:50, :41], sum_up(values))


@pytest.mark.parametrize("name", ["argmin", "argmax"])
def test_where_the_least_and_the_largest_value_are_is_told_of_the_array_as_it_is(name, tmp_path):
    values = np.random.default_rng(1).uniform(1, 2, (37, 50, 41)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 13.48)
    finest = open_pyramid(tmp_path / "a.zarr").levels[0]
    for array, inside in ((finest, values), (finest[30:, 4], values[30:, 4])):
        expected = np.unravel_index(getattr(np, name)(inside), inside.shape)
        for found in (getattr(np, name)(array), getattr(np, f"nan{name}")(array), getattr(array, name)()):
            assert np.unravel_index(int(found.compute()), array.shape) == expected
