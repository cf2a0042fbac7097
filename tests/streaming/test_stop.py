"""Setting `stop` ends every call that waits for a server, however the server stalls."""

import concurrent.futures
import json
import shutil
import time

import numpy as np
import pytest

from napari_cryoet import load_annotation, load_captions, load_tomogram
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.streaming import find_labels, open_pyramid
from napari_cryoet.task import Task
from napari_cryoet.volumes import open_volume
from portal_images import SHAPE, noise
from server import Server, sent, status

#: Generous for a busy machine; it should take 0.2 s.
STOPPED_WITHIN_S = 2.0
PLANE = ((30, 31), (0, 300), (0, 280))
POINT = {"type": "point", "location": {"x": 1.0, "y": 2.0, "z": 3.0}}


@pytest.fixture(scope="module")
def folder(portal_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for name in ("image.zarr", "mask.zarr"):
        shutil.copytree(portal_images / name, folder / name)
    (folder / "picks.ndjson").write_text(json.dumps(POINT) + "\n")
    (folder / "texts.json").write_text("[]" + " " * 1000)
    return folder


@pytest.fixture(params=["silent", "stalled", "dribbling"])
def manner(request):
    return request.param


def read(url, task):
    return open_pyramid(f"{url}/image.zarr", task=task, cache=None).read(0, PLANE, task=task)


CALLS = {
    "open": (
        r"\.z\w+$",
        lambda url, task: open_pyramid(f"{url}/image.zarr", task=task, cache=None),
    ),
    "read a plane": (r"/0/\d+/\d+/\d+$", read),
    "find labels": (
        r"labels",
        lambda url, task: find_labels(f"{url}/image.zarr", task=task, cache=None),
    ),
    "open a volume": (r"\.z\w+$", lambda url, task: open_volume(f"{url}/image.zarr", task=task)),
    "load a tomogram": (
        r"/0/\d+/\d+/\d+$",
        lambda url, task: load_tomogram(f"{url}/image.zarr", task=task),
    ),
    "load picks": ("ndjson", lambda url, task: load_annotation(f"{url}/picks.ndjson", task=task)),
    "load a mask": (r"\.z\w+$", lambda url, task: load_annotation(f"{url}/mask.zarr", task=task)),
    "load texts": ("json", lambda url, task: load_captions(f"{url}/texts.json", task=task)),
}


@pytest.mark.parametrize("call", CALLS)
def test_stop_ends_a_call_at_once_and_disconnects(call, manner, folder):
    pattern, work = CALLS[call]
    task = Task()
    with Server(folder) as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        server.script(pattern, sent(manner))
        working = pool.submit(work, server.url, task)
        server.wait_until(lambda: server.held)
        assert not working.done()
        began_s = time.monotonic()
        task.stop()
        assert isinstance(working.exception(), StoppedError)
        assert time.monotonic() - began_s < STOPPED_WITHIN_S
        server.wait_until(lambda: not server.held)  # the client disconnects


def test_calls_with_stop_already_set_send_nothing(folder):
    task = Task()
    task.stop()
    with Server(folder) as server:
        for _, work in CALLS.values():
            with pytest.raises(StoppedError):
                work(server.url, task)
        assert not server.requests


def test_closing_a_pyramid_ends_its_reads(manner, folder):
    with Server(folder) as server, concurrent.futures.ThreadPoolExecutor(2) as pool:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        server.script(r"/0/\d+/\d+/\d+$", sent(manner))
        reads = [pool.submit(pyramid.read, 0, PLANE), pool.submit(pyramid.levels[0][30].compute)]
        server.wait_until(lambda: server.held)
        pyramid.close()
        for read in reads:
            assert isinstance(read.exception(STOPPED_WITHIN_S), CryoETError)
        server.wait_until(lambda: not server.held)


def test_stop_interrupts_the_wait_for_a_retry(folder):
    task = Task()
    with Server(folder) as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        server.script(r"/0/\d+/\d+/\d+$", status(503, Retry_After="20"))
        reading = pool.submit(pyramid.read, 0, PLANE, task=task)
        server.wait_until(lambda: any(request.status == 503 for request in server.requests))
        task.stop()
        assert isinstance(reading.exception(STOPPED_WITHIN_S), StoppedError)


def test_reading_works_again_after_a_stop(folder):
    task = Task()
    with Server(folder) as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        silent = server.script(r"/0/\d+/\d+/\d+$", sent("silent"))
        reading = pool.submit(pyramid.read, 0, PLANE, task=task)
        server.wait_until(lambda: server.held)
        task.stop()
        assert isinstance(reading.exception(), StoppedError)
        server.wait_until(lambda: not server.held)
        server.end(silent)
        np.testing.assert_array_equal(pyramid.read(0, PLANE), noise(SHAPE)[30:31])
