"""A forked process reads what its parent has opened, over connections and with threads of its own."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from command_line import wait_until
from fault_server import FaultServer, ranged
from napari_cryoet import errand
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import Http
from napari_cryoet.short_turns import short_turns
from napari_cryoet.streaming import open_pyramid, slabs
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher, Run
from stream_server import StreamServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

CONTENT = bytes(range(256)) * 100


def is_true_in_a_child(question, timeout_s=60.0):
    """Ask something in a forked process; one that doesn't come to an end is killed."""
    child = os.fork()
    if child == 0:
        answer = False
        try:
            answer = bool(question())
        finally:
            os._exit(0 if answer else 1)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        threading.Event().wait(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_no_connection_is_shared_with_the_parent():
    with FaultServer() as server:
        http, url = Http(), server.behave(ranged(CONTENT))
        assert http.get(url, start=5, length=10) == CONTENT[5:15]
        assert is_true_in_a_child(lambda: http.get(url, start=70, length=9) == CONTENT[70:79])
        assert server.connections == 2
        assert http.get(url, start=9, length=3) == CONTENT[9:12]
        assert server.connections == 2


def test_a_pyramid_is_read_with_threads_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.streaming.fetcher._IDLE_S", 600.0)
    later_s = 0.0
    fetcher = Fetcher(MemoryCache(2**20), clock=lambda: time.monotonic() + later_s)
    values = np.random.default_rng(0).normal(size=(12, 270, 262)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr", fetcher=fetcher)
    assert np.array_equal(pyramid.read(0), values)
    assert fetcher._threads  # which still wait for more to do
    assert is_true_in_a_child(lambda: np.array_equal(pyramid.read(0), values))
    assert is_true_in_a_child(lambda: np.array_equal(np.asarray(pyramid.levels[0])[:12, :270, :262], values))
    wait_until(lambda: fetcher._idle == fetcher._threads)  # who begins to wait later waits for another ten minutes
    later_s = 1000.0
    with fetcher._state:
        fetcher._state.notify_all()
    wait_until(lambda: not fetcher._threads)


def test_what_was_under_way_is_waited_for_by_nobody(tmp_path):
    fetcher, began, end = Fetcher(MemoryCache(2**20), threads=2), threading.Event(), threading.Event()

    def load(keys, stop):
        began.set()
        end.wait(60)
        return dict.fromkeys(keys, np.ones(3))

    reader = threading.Thread(target=fetcher.fetch, args=([Run(("a",), load)],), kwargs={"stop": threading.Event()})
    reader.start()
    assert began.wait(60)

    def question():
        end.set()
        return np.array_equal(fetcher.fetch([Run(("a",), load)], stop=threading.Event())["a"], np.ones(3))

    assert is_true_in_a_child(question)
    end.set()
    reader.join(60)


def test_what_the_parents_other_threads_were_busy_with_holds_nobody_up(tmp_path, monkeypatch):
    """Whatever lock one of them has at the moment of the fork, nobody will ever give it back in the child."""
    monkeypatch.setattr(slabs, "_WHOLE_CHUNK_BYTES", 2**16)
    values = np.random.default_rng(0).normal(size=(12, 270, 262)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    with StreamServer(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", fetcher=Fetcher(MemoryCache(2**20)))
        exact = pyramid.levels[0]
        locks = [pyramid._changes.lock, pyramid._source._lock, pyramid._source._source._watch._lock]
        locks += [pyramid._readers[0]._files._versions._lock, pyramid._fetcher.right_of_way._lock]
        locks += [pyramid._source._source._source._lock, exact._exact._read_ahead._lock, short_turns._lock]
        pyramid._fetcher.right_of_way.take()
        for lock in locks:
            lock.acquire()
        try:
            assert is_true_in_a_child(lambda: np.array_equal(np.asarray(exact[3])[:270, :262], values[3]))
        finally:
            for lock in locks:
                lock.release()
            pyramid._fetcher.right_of_way.give_back()


def test_errands_have_threads_of_their_own():
    def errand_is_run():
        return errand.Errand(lambda _: 5).wait(None, 60) == 5

    assert errand_is_run()
    assert is_true_in_a_child(errand_is_run)
