"""Fixtures of the journeys."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _only_the_gui_thread_collects_garbage() -> Iterator[None]:
    """Collect garbage only on the GUI thread: Qt crashes if another thread deletes a window."""
    before = gc.get_threshold()
    gc.set_threshold(2**31 - 1, *before[1:])
    yield
    gc.collect()
    gc.set_threshold(*before)
