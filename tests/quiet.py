"""Whether reading has come to rest, so that what a test counts from then on is not of what was asked for before."""

from __future__ import annotations

import threading
import time

from napari_cryoet.streaming.engine import shared_engine
from stream_server import StreamServer


def is_quiet(server: StreamServer | None = None) -> bool:
    """Whether nothing is to be sent or waited for, and a server has nothing to answer."""
    return shared_engine().is_idle and (server is None or not server.is_answering)


def wait_until_quiet(server: StreamServer, timeout_s: float = 60) -> None:
    """Wait for that while a window does nothing."""
    deadline_s = time.monotonic() + timeout_s
    while not is_quiet(server):
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)
