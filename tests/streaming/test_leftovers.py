"""What the C library keeps of freed memory goes back to the system."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from napari_cryoet.streaming import fetcher as fetcher_module
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.leftovers import give_back
from napari_cryoet.streaming.wishes import Run

#: 160 MB in pieces of a size that glibc takes from its heap; what stays between them holds nearly all of it back.
_SCRIPT = """
import os
from pathlib import Path
from napari_cryoet.streaming.leftovers import give_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

pieces = [bytes(80_000) + bytes(i % 7) for i in range(2000)]
full = resident_mb()
pieces = pieces[::20]
freed = resident_mb()
give_back()
print(full, freed, resident_mb())
"""


def test_memory_that_is_free_goes_back():
    if not sys.platform.startswith("linux") or not give_back():
        pytest.skip("only glibc can be asked")
    done = subprocess.run([sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True)
    full, freed, rest = map(float, done.stdout.split())
    assert full - freed < 40
    assert freed - rest > 60


def test_the_last_thread_gives_back_once_after_something_was_read(monkeypatch):
    others = set(threading.enumerate())  # those of tests before give back, too
    given_back = threading.Semaphore(0)

    def note():
        if threading.current_thread() not in others:
            given_back.release()

    monkeypatch.setattr(fetcher_module, "give_back", note)
    monkeypatch.setattr(fetcher_module, "_IDLE_S", 0.05)
    fetcher = Fetcher(MemoryCache(2**20), threads=3)

    def load(keys, stop):
        return {key: np.zeros(8) for key in keys}

    stop = threading.Event()
    for number in range(2):
        fetcher.fetch([Run(((number, i),), load) for i in range(6)], stop=stop)
        assert given_back.acquire(timeout=30)
        assert fetcher._threads == 0
    fetcher.fetch([Run(((0, 0),), load)], stop=stop)  # in memory
    assert not given_back.acquire(timeout=0.3)
