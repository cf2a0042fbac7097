"""Reading crops of the picks on screen in the background."""

import threading

import numpy as np
import pytest

from napari_cryoet._qt.review.crops import CropFeed
from napari_cryoet.exceptions import StoppedError, StreamError
from napari_cryoet.volumes.crops import CropReader, Frame, ReviewVolume

LONG_MS = 60_000
FRAME = Frame(90, 10)


class GatedVolume:
    """A volume whose reads block until they are released, stopped or fail."""

    shape = (20, 20, 2000)

    def __init__(self):
        self.gate = threading.Event()
        self.error = None
        self.stopped = threading.Semaphore(0)
        self.values = np.random.default_rng(0).normal(0, 1, self.shape).astype(np.float32)

    def read(self, _level, box, stop=None):
        while not self.gate.wait(0.01):
            if stop is not None and stop.is_set():
                self.stopped.release()
                raise StoppedError
        if self.error is not None:
            raise self.error
        return self.values[tuple(slice(*along) for along in box)]


@pytest.fixture
def volume():
    volume = GatedVolume()
    yield volume
    volume.gate.set()


@pytest.fixture
def feed(tasks, volume):
    feed, points = CropFeed(tasks), [[10, 10, 10 * i] for i in range(200)]
    feed.use(
        CropReader(
            ReviewVolume(volume.read, (volume.shape,), ((1.0,) * 3,), np.full(3, 10.0)), points
        ),
        FRAME,
    )
    return feed


def test_crops_scrolled_past_are_cancelled(feed, volume, qtbot):
    feed.want(range(100))
    feed.want(range(150, 160))
    assert volume.stopped.acquire(timeout=60)
    volume.gate.set()
    qtbot.waitUntil(lambda: feed.n_waiting == 0, timeout=LONG_MS)

    assert all(feed.crop(row) is not None for row in range(150, 160))
    assert not any(feed.crop(row) for row in range(100))
    assert feed.picture(155).width() == 9


def test_failed_crops_are_reported_and_read_again_only_on_retry(feed, volume, qtbot):
    volume.error = StreamError("The server hung up.")
    volume.gate.set()
    feed.want(range(4))
    qtbot.waitUntil(lambda: feed.error is not None, timeout=LONG_MS)
    assert feed.n_waiting == 0

    volume.error = None
    feed.retry()
    qtbot.waitUntil(lambda: feed.crop(2) is not None, timeout=LONG_MS)
    assert feed.error is None
