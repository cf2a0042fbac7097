"""The requests and bytes that reading takes, bounded by what the portal's format implies."""

import concurrent.futures

import numpy as np
import pytest
import zarr

from napari_cryoet.streaming import open_pyramid
from napari_cryoet.task import Task
from portal_images import CHUNKS_OF_A_PLANE, SHAPE, block_bytes, frames_of, noise, write_array
from server import Server

PLANE = ((30, 31), (0, 300), (0, 280))
FINEST = r"/0/\d+/\d+/\d+$"  # chunks of the finest level
TABLES_BYTES = (
    CHUNKS_OF_A_PLANE * 2**14
)  # may be fetched twice: the starts of chunks, with their tables


@pytest.fixture(scope="module")
def frames(portal_images):
    return frames_of(portal_images / "image.zarr" / "0")


@pytest.fixture(scope="module")
def values():
    return noise(SHAPE)


@pytest.fixture
def server(portal_images):
    with Server(portal_images) as running:
        yield running


def test_opening_requests_metadata_in_parallel_without_listing(server):
    held = server.script(".", None)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        opened = pool.submit(open_pyramid, f"{server.url}/image.zarr", cache=None)
        server.wait_until(
            lambda: (
                {".zattrs", ".zarray"}
                <= {request.path.rpartition("/")[2] for request in server.to()}
            )
        )
        server.end(held)
        assert len(opened.result().shapes) == 3
    assert server.sent_bytes(FINEST) < 2**14  # at most the start of a chunk


def test_a_plane_fetches_only_its_blocks(server, frames, values):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    np.testing.assert_array_equal(pyramid.read(0, PLANE)[0], values[30])
    raw_bytes = 256 * 256 * 4  # of a plane of a chunk
    needed = sum(block_bytes(frame, 30 * raw_bytes, 31 * raw_bytes) for frame in frames)
    assert needed <= server.sent_bytes(FINEST) <= needed + TABLES_BYTES < sum(map(len, frames)) / 20
    assert len(server.to(FINEST)) <= 2 * CHUNKS_OF_A_PLANE  # a table and a run of blocks each
    assert server.repeated_bytes() <= TABLES_BYTES


def test_a_second_read_fetches_nothing(server, values):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    pyramid.read(0, PLANE)
    server.reset()
    np.testing.assert_array_equal(
        pyramid.read(0, ((31, 32), (100, 280), (20, 150)))[0], values[31, 100:280, 20:150]
    )
    np.testing.assert_array_equal(
        pyramid.levels[0][30, :256, :256].compute(), values[30, :256, :256]
    )
    assert not server.requests


def test_adjacent_planes_reuse_the_block_table(server):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    pyramid.read(0, PLANE)
    server.reset()
    pyramid.read(0, ((32, 34), (0, 300), (0, 280)))
    assert len(server.to(FINEST)) == CHUNKS_OF_A_PLANE


def test_reading_a_level_fetches_every_byte_once(server, frames, values):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    np.testing.assert_array_equal(pyramid.read(0), values)
    assert server.sent_bytes(FINEST) <= sum(map(len, frames)) + TABLES_BYTES
    assert server.repeated_bytes() <= TABLES_BYTES


def test_computing_a_level_with_dask_fetches_every_byte_once(server, values):
    level = open_pyramid(f"{server.url}/image.zarr", cache=None).levels[0]
    np.testing.assert_array_equal(level[: SHAPE[0], : SHAPE[1], : SHAPE[2]].compute(), values)
    assert server.repeated_bytes() <= TABLES_BYTES


def test_a_compressible_mask_takes_one_request_per_chunk(server):
    pyramid = open_pyramid(f"{server.url}/mask.zarr", cache=None)
    pyramid.read(0)
    assert len(server.to(FINEST)) <= CHUNKS_OF_A_PLANE + 1


def test_concurrent_readers_share_requests(server, values):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    held = server.script(FINEST, None)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(pyramid.read, 0, PLANE) for _ in range(3)]
        reads.append(pool.submit(pyramid.levels[0][30:31, : SHAPE[1], : SHAPE[2]].compute))
        server.wait_until(
            lambda: server.held >= CHUNKS_OF_A_PLANE - 1
        )  # one table may have come with the documents
        server.end(held)
        for read in reads:
            np.testing.assert_array_equal(read.result(), values[30:31])
    assert server.repeated_bytes() <= TABLES_BYTES
    assert len(server.to(FINEST)) <= 2 * CHUNKS_OF_A_PLANE


def test_stopping_one_reader_does_not_stop_others(server, values):
    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    held = server.script(FINEST, None)
    task = Task()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(pyramid.read, 0, PLANE, task=task)
        server.wait_until(lambda: server.held)
        other = pool.submit(pyramid.read, 0, PLANE)
        task.stop()
        assert stopped.exception() is not None
        server.end(held)
        np.testing.assert_array_equal(other.result(), values[30:31])


def test_requests_are_sent_in_parallel(server, tmp_path):
    write_array(tmp_path / "image.zarr", noise((8, 320, 320)), chunks=(8, 32, 32))
    with Server(tmp_path) as many:
        pyramid = open_pyramid(f"{many.url}/image.zarr", cache=None)
        held = many.script(r"/\d+\.\d+\.\d+$", None)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            read = pool.submit(pyramid.read, 0)
            many.wait_until(lambda: many.held >= 16)
            many.end(held)
            read.result()
        assert many.most_at_once <= 64
        assert many.connections <= 64


def test_inner_chunks_of_shards_are_fetched_individually(tmp_path):
    values = write_array(
        tmp_path / "image.zarr",
        noise((32, 128, 128)),
        zarr_format=3,
        chunks=(8, 32, 32),
        shards=(32, 128, 128),
    )
    shard = (tmp_path / "image.zarr" / "c" / "0" / "0" / "0").stat().st_size
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        np.testing.assert_array_equal(
            pyramid.read(0, ((0, 8), (0, 32), (0, 32))), values[:8, :32, :32]
        )
        assert server.sent_bytes("/c/") < shard / 16  # one of 64, and the index
        assert len(server.to("/c/")) <= 2


def test_a_plane_of_an_uncompressed_chunk_fetches_few_bytes(tmp_path):
    values = write_array(
        tmp_path / "image.zarr", noise((64, 256, 256)), chunks=(64, 256, 256), compressors=None
    )
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        np.testing.assert_array_equal(
            pyramid.read(0, ((40, 41), (0, 256), (0, 256))), values[40:41]
        )
        assert server.sent_bytes(r"/0\.0\.0") < values.nbytes / 8


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_missing_chunks_are_requested_only_once(zarr_format, tmp_path):
    array = zarr.create_array(
        str(tmp_path / "image.zarr"),
        shape=(16, 64, 64),
        dtype="<f4",
        chunks=(8, 32, 32),
        zarr_format=zarr_format,
    )
    array[:8, :32, :32] = 1
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        assert pyramid.read(0).sum() == 8 * 32 * 32
        server.reset()
        assert pyramid.read(0).sum() == 8 * 32 * 32
        assert not server.requests
