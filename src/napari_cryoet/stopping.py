"""Long work that can be given up asks here between its steps."""

from __future__ import annotations

import threading
from typing import Final

from napari_cryoet.exceptions import StoppedError

POLL_S: Final = 0.05  # how long a stop can go unnoticed


def raise_if_stopped(stop: threading.Event | None) -> None:
    """Give up if somebody said so.

    Raises
    ------
    StoppedError
        ``stop`` was set.
    """
    if stop is not None and stop.is_set():
        raise StoppedError
