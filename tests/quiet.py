"""Whether reading has come to rest, so that what a test counts from then on is not of what was asked for before."""

from __future__ import annotations

import threading
import time

from napari_cryoet.streaming.fetcher import Fetcher
from stream_server import StreamServer


def is_quiet(fetcher: Fetcher, server: StreamServer | None = None) -> bool:
    """Whether a fetcher has nothing to send, to plan or to wait for, and a server nothing to answer."""
    with fetcher._state:
        traffic = fetcher._traffic
        is_at_rest = not traffic.work and not traffic.under_way and fetcher._idle == fetcher._threads
    return is_at_rest and (server is None or not server.is_answering)


def wait_until_quiet(fetcher: Fetcher, server: StreamServer, timeout_s: float = 60) -> None:
    """Wait for that while a window does nothing."""
    deadline_s = time.monotonic() + timeout_s
    while not is_quiet(fetcher, server):
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)
