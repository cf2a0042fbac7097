"""What was closed is gone: after any number of pyramids no thread, socket or file is left, and nothing in memory."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import traceback
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Delta

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import shared_http
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.fetcher import Fetcher
from stream_server import StreamServer

SHAPE = (40, 300, 60)
TIMES = 20
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "image.zarr", np.random.default_rng(0).normal(size=SHAPE).astype("f4"), 10.0)
    write_pyramid(folder / "mask.zarr", np.ones(SHAPE, "i1"), 10.0, "mask")
    return folder


@pytest.fixture
def served(folder):
    with StreamServer(folder) as server:
        yield server


@pytest.fixture
def fetcher():
    return Fetcher(MemoryCache(64 * 2**20))


@pytest.fixture
def disk(tmp_path):
    return DiskCache(tmp_path / "pixels", 2**28)


def wait_until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.fixture
def threads_end():
    """Waits until those of our threads that the test has started are gone; what others have left may take longer."""
    before = set(threading.enumerate())

    def left():
        return [each for each in set(threading.enumerate()) - before if each.name.startswith("napari-cryoet")]

    def wait():
        deadline = time.monotonic() + 30
        while left():
            assert time.monotonic() < deadline, what_they_do(left())
            threading.Event().wait(0.005)

    return wait


def what_they_do(threads):
    frames = sys._current_frames()
    stacks = {each.name: traceback.format_stack(frames[each.ident]) for each in threads if each.ident in frames}
    return "\n".join(f"{name}:\n{''.join(stack)}" for name, stack in stacks.items())


def open_files(folders):
    """Sockets of this process, and files in some folders; other libraries' files don't count."""
    found = set()
    for link in OPEN_FILES.iterdir():
        with suppress(OSError):
            found.add(os.readlink(link))
    return {name for name in found if name.startswith(("socket:", *map(str, folders)))}


class Session:
    """A pyramid that somebody looks at."""

    def __init__(self, address, fetcher, disk):
        self.pyramid = open_pyramid(address, fetcher=fetcher, cache=disk)
        self.changed = threading.Event()
        self.display = self.pyramid.display(on_change=self.changed.set)

    def scrub(self, planes, axis=0):
        for plane in planes:
            _ = np.asarray(self.display.levels[0][(slice(None),) * axis + (plane,)])

    def close(self):
        self.display.close()
        self.pyramid.close()


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="only Linux lists a process's open files")
def test_nothing_is_left_of_many_pyramids(served, fetcher, disk, tmp_path, threads_end):
    shared_http().close()
    server_sockets = open_files([tmp_path])
    kept = []
    for number, name in zip(range(TIMES), itertools.cycle(("image.zarr", "mask.zarr")), strict=False):
        session = Session(f"{served.url}/{name}", fetcher, disk if number % 3 else None)
        session.scrub(range(number, number + 10), axis=number % 3)
        if number % 2:
            session.pyramid.levels[0][number, :20].compute(scheduler="sync")
        kept.append(weakref.ref(session.pyramid))
        session.close()
    del session
    threads_end()
    disk.close()
    shared_http().close()
    assert fetcher.memory.size_bytes == 0
    gc.collect()
    assert [each for each in kept if each() is not None] == []
    wait_until(lambda: open_files([tmp_path]) <= server_sockets)


def test_what_is_under_way_when_it_is_closed_leaves_nothing_either(served, fetcher, threads_end):
    sessions = [Session(f"{served.url}/image.zarr", fetcher, None) for _ in range(TIMES)]
    seen = len(served.requests)
    served.gate.clear()
    for number, session in enumerate(sessions):
        session.scrub([number])
    wait_until(lambda: len(served.requests) > seen)
    for session in sessions:
        session.close()
        session.changed.clear()
    served.gate.set()
    threads_end()
    assert fetcher.memory.size_bytes == 0
    assert not any(session.changed.is_set() for session in sessions)


def test_whoever_waits_for_exact_values_is_let_go(served, fetcher, threads_end):
    pyramid = open_pyramid(f"{served.url}/image.zarr", fetcher=fetcher, cache=None)
    seen = len(served.requests)
    served.gate.clear()
    ended = []

    def read():
        try:
            pyramid.read(0)
        except CryoETError as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: len(served.requests) > seen)
    pyramid.close()
    reader.join(60)
    assert len(ended) == 1
    served.gate.set()
    threads_end()
    assert fetcher.memory.size_bytes == 0


def test_closing_one_leaves_the_others_what_they_have(served, fetcher):
    one, other = (open_pyramid(f"{served.url}/image.zarr", fetcher=fetcher, cache=None) for _ in range(2))
    values = other.read(1)
    one.read(1)
    one.close()
    seen = len(served.requests)
    assert np.array_equal(other.read(1), values)
    assert len(served.requests) == seen
    other.close()
    assert fetcher.memory.size_bytes == 0


@pytest.mark.parametrize("name", ["image.zarr", "mask.zarr"])
def test_what_was_read_in_order_and_is_used_no_more_is_let_go_without_being_closed(name, served, fetcher, threads_end):
    pyramid = open_pyramid(f"{served.url}/{name}", fetcher=fetcher, cache=None)
    for plane in range(SHAPE[0]):
        pyramid.levels[0][plane].compute(scheduler="sync")
    kept = weakref.ref(pyramid)
    del pyramid
    threads_end()
    gc.collect()
    assert kept() is None


def test_many_that_are_read_in_order_leave_no_wishes(served, fetcher, threads_end):
    for _ in range(TIMES // 4):
        pyramid = open_pyramid(f"{served.url}/image.zarr", fetcher=fetcher, cache=None)
        for plane in range(0, 20, 2):
            pyramid.levels[0][plane].compute(scheduler="sync")
        pyramid.close()
    threads_end()
    assert fetcher._traffic.wishes.wanters() == []


READ_UNTIL_TOLD = """
import sys, threading
from napari_cryoet.streaming import open_pyramid
threading.Thread(target=lambda: open_pyramid(sys.argv[1], cache=None).read(0), daemon=True).start()
sys.stdin.readline()
"""


@pytest.mark.parametrize("pattern", ["zarray", "0.0.0"])
def test_nothing_that_is_under_way_keeps_the_program_from_ending(pattern, tmp_path):
    """Neither opening, nor what zarr itself reads."""
    array = zarr.create_array(str(tmp_path / "a"), shape=(8, 8, 8), dtype="i4", zarr_format=2, filters=[Delta("i4")])
    array[...] = 1
    held, go_on = threading.Event(), threading.Event()

    def hold(path, _wanted):
        if pattern in path:
            held.set()
            go_on.wait(120)

    with StreamServer(tmp_path) as server:
        server.before_answer = hold
        command = [sys.executable, "-c", READ_UNTIL_TOLD, f"{server.url}/a"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            try:
                assert held.wait(60)
                program.communicate(b"\n", timeout=45)
            finally:
                go_on.set()
                program.kill()
    assert program.returncode == 0
