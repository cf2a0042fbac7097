"""Data fetched by one process is available to the next, within a limit and despite faults."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from napari_cryoet.exceptions import StreamError
from napari_cryoet.streaming import DiskCache, open_pyramid
from portal_images import SHAPE, noise, write_image
from server import Server, status

MB = 10**6
CHUNKS = r"/\d/\d+/\d+/\d+$"
#: Reads planes of an image through a cache, and prints the hash of each.
READER = """
import hashlib, sys
from napari_cryoet.streaming import DiskCache, open_pyramid

address, folder, *planes = sys.argv[1:]
cache = DiskCache(folder, 500 * 10**6)
pyramid = open_pyramid(address, cache=cache)
for z in planes:
    plane = pyramid.read(0, ((int(z), int(z) + 1), *((0, size) for size in pyramid.shapes[0][1:])))
    print(hashlib.sha256(plane.tobytes()).hexdigest(), flush=True)
pyramid.close()
cache.flush(60)  # at exit it waits for 3 s only, which a slow disk can take
cache.close()
"""


@pytest.fixture(scope="module")
def values():
    return noise(SHAPE)


@pytest.fixture
def server(portal_images):
    with Server(portal_images) as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pixels"


@pytest.fixture(autouse=True)
def _always_revalidate(monkeypatch):
    monkeypatch.setenv("NAPARI_CRYOET_CACHE_ASK_AGAIN", "0 s")


def start_reader(address, folder, planes):
    call = [sys.executable, "-c", READER, address, str(folder), *map(str, planes)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def hashes_of(values, planes):
    return [hashlib.sha256(values[z].tobytes()).hexdigest() for z in planes]


def output_of(reader):
    with reader:
        output, _ = reader.communicate(timeout=100)
    assert reader.returncode == 0
    return output.split()


def read_here(address, folder, planes, limit_bytes=500 * MB):
    with (
        closing(DiskCache(folder, limit_bytes)) as cache,
        closing(open_pyramid(address, cache=cache)) as pyramid,
    ):
        return [pyramid.read(0, ((z, z + 1), (0, SHAPE[1]), (0, SHAPE[2])))[0] for z in planes]


def size_on_disk(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_second_process_reads_pixels_from_the_cache(server, folder, values):
    address, planes = f"{server.url}/image.zarr", (3, 30, 59)
    assert output_of(start_reader(address, folder, planes)) == hashes_of(values, planes)
    server.reset()
    np.testing.assert_array_equal(read_here(address, folder, planes), values[list(planes)])
    assert not server.sent_bytes(CHUNKS)


def test_cached_planes_are_readable_without_the_server(portal_images, folder, values):
    with Server(portal_images) as server:
        address = f"{server.url}/image.zarr"
        read_here(address, folder, [30])
    np.testing.assert_array_equal(read_here(address, folder, [30]), values[30:31])


def test_only_missing_planes_are_fetched(server, folder, values):
    address = f"{server.url}/image.zarr"
    read_here(address, folder, [30])
    server.reset()
    np.testing.assert_array_equal(read_here(address, folder, [30, 40]), values[[30, 40]])
    assert server.sent_bytes(CHUNKS)
    assert server.repeated_bytes(CHUNKS) == 0
    server.reset()
    read_here(address, folder, [30, 40])
    assert not server.sent_bytes(CHUNKS)


def test_a_missing_chunk_reads_the_same_from_the_cache(tmp_path, folder):
    write_image(tmp_path / "a.zarr", noise((20, 64, 64)), chunks=(10, 32, 32))
    (tmp_path / "a.zarr" / "0" / "1" / "0" / "0").unlink()
    with Server(tmp_path) as server:
        expected = open_pyramid(f"{server.url}/a.zarr", cache=None).read(0)
        with closing(DiskCache(folder, 500 * MB)) as cache:
            for _ in range(2):
                with closing(open_pyramid(f"{server.url}/a.zarr", cache=cache)) as pyramid:
                    np.testing.assert_array_equal(pyramid.read(0), expected)


def test_the_cache_stays_within_its_disk_limit(server, folder, values):
    address, limit_bytes = f"{server.url}/image.zarr", 8 * MB
    for planes in (range(0, 60, 2), range(1, 60, 7)):
        np.testing.assert_array_equal(
            read_here(address, folder, planes, limit_bytes), values[list(planes)]
        )
        assert size_on_disk(folder) < 1.25 * limit_bytes  # including the index
    assert size_on_disk(folder) > 0.25 * limit_bytes


def test_a_limit_of_zero_caches_nothing(server, folder, values):
    np.testing.assert_array_equal(
        read_here(f"{server.url}/image.zarr", folder, [30], 0), values[30:31]
    )
    assert not folder.exists() or size_on_disk(folder) < MB


@pytest.mark.parametrize("n_planes", [1, 9])
def test_a_killed_writer_leaves_a_valid_cache(n_planes, server, folder, values):
    address = f"{server.url}/image.zarr"
    with start_reader(address, folder, range(60)) as reader:
        for _ in range(n_planes):
            reader.stdout.readline()
        reader.kill()
    for _ in range(2):
        np.testing.assert_array_equal(read_here(address, folder, range(0, 60, 3)), values[::3])
    server.reset()
    read_here(address, folder, range(0, 60, 3))
    assert not server.sent_bytes(CHUNKS)  # and the cache still works


@pytest.mark.parametrize("damage", ["other bytes", "cut", "empty", "deleted"])
def test_damaged_cache_files_are_never_shown(damage, server, folder, values):
    address, planes = f"{server.url}/image.zarr", [3, 30]
    read_here(address, folder, planes)
    garbage = random.Random(0)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            match damage:
                case "other bytes":
                    file.write_bytes(garbage.randbytes(file.stat().st_size))
                case "cut":
                    os.truncate(file, file.stat().st_size // 2)
                case "empty":
                    os.truncate(file, 0)
                case "deleted":
                    file.unlink()
    for _ in range(3):
        np.testing.assert_array_equal(read_here(address, folder, planes), values[planes])
    server.reset()
    read_here(address, folder, planes)
    assert not server.sent_bytes(CHUNKS)  # the cache was rebuilt


def test_flipped_bits_in_cache_files_are_never_shown(server, folder, values):
    address, planes, chance = f"{server.url}/image.zarr", [3, 30], random.Random(0)
    read_here(address, folder, planes)
    for file in [
        file for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_size
    ]:
        content = bytearray(file.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
    np.testing.assert_array_equal(read_here(address, folder, planes), values[planes])


def test_images_are_readable_without_a_usable_cache_folder(server, tmp_path, values):
    (tmp_path / "file").write_text("no folder")
    np.testing.assert_array_equal(
        read_here(f"{server.url}/image.zarr", tmp_path / "file", [30]), values[30:31]
    )


def test_concurrent_processes_share_the_cache(server, folder, values):
    address, planes = f"{server.url}/image.zarr", [range(0, 60, 2), range(59, -1, -3)]
    readers = [start_reader(address, folder, some) for some in planes]
    for reader, some in zip(readers, planes, strict=True):
        assert output_of(reader) == hashes_of(values, some)
    server.reset()
    np.testing.assert_array_equal(read_here(address, folder, range(60)), values)
    assert server.sent_bytes(CHUNKS) < MB  # parts written during another's look-up may be lost


def test_a_changed_image_is_fetched_again(tmp_path, folder):
    old, new = noise((20, 64, 64), seed=1), noise((20, 64, 64), seed=2)
    write_image(tmp_path / "a.zarr", old, chunks=(20, 32, 32))
    with Server(tmp_path) as server:
        for values in (old, new):
            with closing(DiskCache(folder, 500 * MB)) as cache:
                pyramid = open_pyramid(f"{server.url}/a.zarr", cache=cache)
                np.testing.assert_array_equal(pyramid.read(0), values)
                pyramid.close()
            if values is old:
                shutil.rmtree(tmp_path / "a.zarr")
                write_image(tmp_path / "a.zarr", new, chunks=(20, 32, 32))


def test_refusals_are_not_cached(server, folder, values):
    address = f"{server.url}/image.zarr"
    refused = server.script(CHUNKS, status(403))
    with pytest.raises(StreamError):
        read_here(address, folder, [30])
    server.end(refused)
    np.testing.assert_array_equal(read_here(address, folder, [30]), values[30:31])
