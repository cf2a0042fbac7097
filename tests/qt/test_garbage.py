"""In tests of windows, only the GUI thread looks for garbage."""

from __future__ import annotations

import gc
import threading

import pytest


@pytest.fixture
def searches():
    """In which threads garbage was looked for."""
    threads = []

    def note(phase, _info):
        threads.append(threading.current_thread())

    gc.callbacks.append(note)
    yield threads
    gc.callbacks.remove(note)


def test_a_thread_that_makes_many_objects_looks_for_no_garbage(searches):
    def make_many():
        objects.extend([] for _ in range(50_000))

    objects = []
    thread = threading.Thread(target=make_many)
    thread.start()
    thread.join()
    assert thread not in searches
