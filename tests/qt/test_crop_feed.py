"""Reading crops of the picks on screen in the background."""

import threading

import numpy as np
import pytest

from napari_cryoet._qt.review.crops import CropFeed
from napari_cryoet.exceptions import StoppedError, StreamError
from napari_cryoet.task import UNWATCHED
from napari_cryoet.volumes import Volume
from napari_cryoet.volumes.crops import CropReader, Frame

LONG_MS = 60_000
FRAME = Frame(90, 10)


class Gate:
    """Blocks reads of a volume until they are released, stopped or fail."""

    def __init__(self):
        self.gate = threading.Event()
        self.error = None
        self.stopped = threading.Semaphore(0)

    def wait(self, task):
        while not self.gate.wait(0.01):
            if task.is_stopped:
                self.stopped.release()
                raise StoppedError
        if self.error is not None:
            raise self.error


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.gate.set()


@pytest.fixture
def feed(tasks, gate):
    class GatedVolume(Volume):
        def read(self, level, box, *, task=UNWATCHED):
            gate.wait(task)
            return super().read(level, box)

    values = np.random.default_rng(0).normal(0, 1, (20, 20, 2000)).astype(np.float32)
    points = [[10, 10, 10 * i] for i in range(200)]
    feed = CropFeed(tasks)
    feed.use(CropReader(GatedVolume([values], (10.0,) * 3), points), FRAME)
    return feed


def test_crops_scrolled_past_are_cancelled(feed, gate, qtbot):
    feed.want(range(100))
    feed.want(range(150, 160))
    assert gate.stopped.acquire(timeout=60)
    gate.gate.set()
    qtbot.waitUntil(lambda: feed.n_waiting == 0, timeout=LONG_MS)

    assert all(feed.crop(row) is not None for row in range(150, 160))
    assert not any(feed.crop(row) for row in range(100))
    assert feed.picture(155).width() == 9


def test_failed_crops_are_reported_and_read_again_only_on_retry(feed, gate, qtbot):
    gate.error = StreamError("The server hung up.")
    gate.gate.set()
    feed.want(range(4))
    qtbot.waitUntil(lambda: feed.error is not None, timeout=LONG_MS)
    assert feed.n_waiting == 0

    gate.error = None
    feed.retry()
    qtbot.waitUntil(lambda: feed.crop(2) is not None, timeout=LONG_MS)
    assert feed.error is None
