"""The memory cache keeps what was used last and never more than it may."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.streaming.cache import MemoryCache, default_limit_bytes


def test_what_was_used_longest_ago_goes_first():
    cache = MemoryCache(1000)
    for name in "abc":
        cache.put(name, name.upper(), 100)
    assert cache.get("a") == "A"
    cache.put("d", "D", 100)
    assert [name in cache for name in "abcd"] == [True, False, True, True]


def test_an_entry_that_is_put_again_counts_once():
    cache = MemoryCache(1000)
    for _ in range(5):
        cache.put("a", "A", 300)
    assert cache.size_bytes < 600


def test_an_owner_can_be_forgotten():
    cache = MemoryCache(10_000)
    for owner in (1, 2):
        cache.put((owner, "x"), "X", 10)
    cache.forget_where(1)
    cache.put((1, "late"), "X", 10)
    assert cache.get((1, "x")) is None
    assert cache.get((1, "late")) is None
    assert cache.get((2, "x")) == "X"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 700))), st.integers(0, 3000))
def test_it_never_holds_more_than_its_limit(puts, limit):
    cache = MemoryCache(limit)
    for key, size in puts:
        cache.put(key, size, size)
        assert 0 <= cache.size_bytes <= limit
        assert cache.get(key) in {None, size}


def test_the_default_limit_suits_the_machine():
    assert 128 * 2**20 <= default_limit_bytes() <= 512 * 2**20


@pytest.mark.skipif("SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}), reason="this system doesn't say")
@pytest.mark.parametrize(("gib", "limit_mib"), [(1, 128), (2, 128), (4, 256), (8, 512), (256, 512)])
def test_the_default_limit_is_a_sixteenth_of_the_memory_within_bounds(gib, limit_mib, monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gib * 2**30 // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert default_limit_bytes() == limit_mib * 2**20


def test_reading_while_others_put_and_forget_gives_the_right_entry_or_none():
    cache = MemoryCache(30 * 300)
    stop = threading.Event()
    wrong = []

    def write(seed):
        random = np.random.default_rng(seed)
        while not stop.is_set():
            number = int(random.integers(100))
            cache.put((seed % 2, number), number, 100)
            if number == 50:
                cache.forget_if(lambda key: key[1] > 90)

    def read():
        for round_ in range(3000):
            for number in range(round_ % 7, 100, 7):
                entry = cache.get((0, number))
                if entry not in {None, number}:
                    wrong.append(entry)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for reader in readers:
        reader.join(60)
    stop.set()
    for writer in writers:
        writer.join(10)
    assert not wrong
    assert 0 < cache.size_bytes <= cache.limit_bytes
    cache.forget_if(lambda _key: True)
    assert cache.size_bytes == 0
