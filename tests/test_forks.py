"""A forked process reads what its parent has opened, over connections and with threads of its own."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from fault_server import FaultServer, ranged
from napari_cryoet import errand
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import Http
from napari_cryoet.streaming import open_pyramid
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


def test_a_pyramid_is_read_with_threads_of_its_own(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 270, 262)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    with StreamServer(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr")
        plane = pyramid.levels[0][3]
        assert np.array_equal(np.asarray(plane), values[3])
        assert is_true_in_a_child(lambda: np.array_equal(np.asarray(plane), values[3]))
        assert is_true_in_a_child(lambda: np.array_equal(pyramid.read(0), values))
        assert np.array_equal(pyramid.read(0), values)


def test_errands_have_threads_of_their_own():
    def errand_is_run():
        return errand.Errand(lambda _: 5).wait(None, 60) == 5

    assert errand_is_run()
    assert is_true_in_a_child(errand_is_run)
