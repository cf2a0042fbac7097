"""A pyramid's levels behave like other arrays, in expressions, threads and other processes."""

import concurrent.futures
import pickle
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest

from fresh_process import Imports
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.streaming import open_pyramid
from portal_images import noise, write_array, write_image
from server import Server

EVEN, ODD = (12, 40, 32), (5, 7, 9)
SIZES = [EVEN, ODD]

EXPRESSIONS = {
    "all of it": lambda a: a + 0,
    "minimum": lambda a: (a * 1).min(),
    "mean": lambda a: (a * 1).mean(),
    "mean along an axis": lambda a: (a + 1).mean(axis=1),
    "last values": lambda a: a[-1, -2:, ::-1] + 0,
    "a step": lambda a: a[::2, 1::3] * 2,
    "some planes": lambda a: a[[3, 0, 1]] - 1,
    "one value": lambda a: a[2, 3, 4],
    "another axis order": lambda a: a.transpose(2, 0, 1) + 0,
    "flat": lambda a: a.reshape(-1)[5:50],
    "with itself": lambda a: a + a[::-1],
    "a new axis": lambda a: a[None, :, 0] + a[:, None, 0],
    "a comparison": lambda a: (a > 1.5).sum(axis=0),
    "as another type": lambda a: a.astype("f8").sum(),
}


def write_levels(path, shape):
    values = 1 + np.random.default_rng(0).random(shape, "f4")
    return write_image(path, values, chunks=(4, 16, 16))


class TestNoPadding:
    @pytest.mark.parametrize("shape", SIZES)
    def test_levels_have_the_stored_shapes(self, shape, tmp_path):
        stored = write_levels(tmp_path / "a.zarr", shape)
        assert [level.shape for level in open_pyramid(tmp_path / "a.zarr").levels] == [
            each.shape for each in stored
        ]

    @pytest.mark.parametrize("shape", SIZES)
    def test_expressions_equal_those_of_the_stored_arrays(self, shape, tmp_path):
        stored = write_levels(tmp_path / "a.zarr", shape)
        levels = open_pyramid(tmp_path / "a.zarr").levels
        for name, expression in EXPRESSIONS.items():
            np.testing.assert_allclose(
                expression(levels[0]), expression(stored[0]), rtol=1e-5, err_msg=name
            )
        for level, values in zip(levels, stored, strict=True):
            np.testing.assert_array_equal(level.compute(), values)
            np.testing.assert_allclose(level.mean(), values.mean(), rtol=1e-6)

    @pytest.mark.parametrize("shape", SIZES)
    def test_levels_combine_with_numpy_and_dask_arrays(self, shape, tmp_path):
        stored = write_levels(tmp_path / "a.zarr", shape)[0]
        level = open_pyramid(tmp_path / "a.zarr").levels[0]
        np.testing.assert_array_equal(level - stored, np.zeros(shape))
        np.testing.assert_array_equal(
            np.where(stored > 1.5, level, 0), np.where(stored > 1.5, stored, 0)
        )
        np.testing.assert_array_equal(
            da.concatenate([level, da.from_array(stored)]), np.concatenate([stored] * 2)
        )
        np.testing.assert_array_equal(level.map_blocks(np.sqrt), np.sqrt(stored))
        np.testing.assert_array_equal(
            level.rechunk(shape).map_blocks(np.cumsum, axis=1), np.cumsum(stored, axis=1)
        )

    def test_partial_chunks_are_not_padded(self, tmp_path):
        values = write_array(tmp_path / "a.zarr", 1 + noise((11, 19, 23), "<u2"), chunks=(4, 8, 8))
        level = open_pyramid(tmp_path / "a.zarr").levels[0]
        assert level.shape == values.shape
        assert (level * 1).min().compute() == values.min()
        np.testing.assert_array_equal(level + 0, values)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_levels_compute_with_any_scheduler(scheduler, tmp_path):
    stored = write_levels(tmp_path / "a.zarr", EVEN)
    with Server(tmp_path) as server, dask.config.set(scheduler=scheduler):
        levels = open_pyramid(f"{server.url}/a.zarr", cache=None).levels
        np.testing.assert_array_equal(levels[0] + 0, stored[0])
        np.testing.assert_array_equal(dask.compute(*levels)[2], stored[2])


def test_a_level_becomes_a_dask_array_when_it_is_used(tmp_path):
    write_levels(tmp_path / "a.zarr", ODD)
    code = """
from napari_cryoet.streaming import open_pyramid, pyramid_of
levels = open_pyramid(sys.argv[1]).levels
assert levels[0].shape == (5, 7, 9) and pyramid_of(levels) is not None
assert not isinstance(levels[0], list) and "dask.array" not in sys.modules
doubled = (levels[0] * 2)[1:]
import dask.array as da
assert isinstance(doubled, da.Array) and isinstance(levels[0], da.Array)
"""
    assert "dask.array" in Imports(code, tmp_path / "a.zarr").importers


def test_threads_read_concurrently(tmp_path):
    stored = write_levels(tmp_path / "a.zarr", EVEN)[0]
    with Server(tmp_path) as server, concurrent.futures.ThreadPoolExecutor(12) as pool:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        boxes = [((z, z + 1), (0, 40), (0, 32)) for z in range(12)] * 2
        for box, read in zip(boxes, pool.map(lambda box: pyramid.read(0, box), boxes), strict=True):
            np.testing.assert_array_equal(read, stored[slice(*box[0])])
        for z, plane in enumerate(pool.map(lambda z: pyramid.levels[0][z].compute(), range(12))):
            np.testing.assert_array_equal(plane, stored[z])


def test_pickled_levels_are_read_in_another_process(tmp_path):
    stored = write_levels(tmp_path / "a.zarr", EVEN)
    reads = "import dask, pickle, sys; pickle.dump(dask.compute(*pickle.load(sys.stdin.buffer)), sys.stdout.buffer)"
    with Server(tmp_path) as server:
        far, near = (
            open_pyramid(f"{server.url}/a.zarr", cache=None).levels,
            open_pyramid(tmp_path / "a.zarr").levels,
        )
        sent = pickle.dumps([far[0] + 1, far[1][3], near[0] + 1, near[1][3]])
        answer = subprocess.run(
            [sys.executable, "-c", reads], input=sent, capture_output=True, check=True
        )
    for read, expected in zip(
        pickle.loads(answer.stdout), [stored[0] + 1, stored[1][3]] * 2, strict=True
    ):
        np.testing.assert_array_equal(read, expected)


def test_writing_to_a_result_does_not_change_later_reads(tmp_path):
    stored = write_levels(tmp_path / "a.zarr", EVEN)[0]
    pyramid = open_pyramid(tmp_path / "a.zarr")
    read, computed = pyramid.read(0), pyramid.levels[0].compute()
    read[:] = 0
    if computed.flags.writeable:
        computed[:] = 0
    np.testing.assert_array_equal(pyramid.read(0), stored)
    np.testing.assert_array_equal(pyramid.levels[0] + 0, stored)


@pytest.mark.parametrize(
    "box", [((0, 13), (0, 40), (0, 32)), ((-1, 2), (0, 40), (0, 32)), ((3, 2), (0, 40), (0, 32))]
)
def test_a_box_outside_its_level_is_refused(box, tmp_path):
    write_levels(tmp_path / "a.zarr", EVEN)
    with pytest.raises(ValueError, match=r"box|level"):
        open_pyramid(tmp_path / "a.zarr").read(0, box)


def test_reading_a_closed_pyramid_is_an_error(tmp_path):
    write_levels(tmp_path / "a.zarr", EVEN)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    pyramid.close()
    with pytest.raises(CryoETError):
        pyramid.read(0)
