"""A fetcher sends what is most urgent, nothing twice, and nothing that nobody wants."""

import threading
import time

import numpy as np
import pytest

from napari_cryoet.exceptions import StoppedError, StreamError
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher, Priority, Run


class Server:
    """Loads blocks when it is allowed to, and remembers in what order."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.loaded = []
        self.started = threading.Semaphore(0)
        self.error = None

    def load(self, keys):
        self.loaded.append(keys)
        self.started.release()
        assert self.open.wait(10)
        if self.error:
            raise self.error
        return {key: np.full(4, hash(key) % 100) for key in keys}

    def run(self, *keys):
        return Run(keys, self.load)


class Wanter:
    def __init__(self):
        self.arrived, self.failed = [], []
        self.news = threading.Event()

    def blocks_arrived(self, keys):
        self.arrived += keys
        self.news.set()

    def blocks_failed(self, keys, error):
        self.failed += keys
        self.news.set()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.open.set()


@pytest.fixture
def one_thread():
    return Fetcher(MemoryCache(2**20), threads=1)


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_blocks_come_back_and_are_kept(one_thread, server):
    assert set(one_thread.fetch([server.run("a", "b"), server.run("c")])) == {"a", "b", "c"}
    one_thread.fetch([server.run("a", "b", "c")])
    assert len(server.loaded) == 2


def test_only_what_is_missing_is_loaded(one_thread, server):
    one_thread.fetch([server.run("a")])
    assert set(one_thread.fetch([server.run("a", "b")])) == {"a", "b"}
    assert server.loaded == [("a",), ("b",)]


def test_who_waits_comes_before_who_wants(one_thread, server):
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("first"))])
    assert server.started.acquire(timeout=5)
    one_thread.want(wanter, [(Priority.FIRST_SIGHT, server.run("wanted"))])
    reader = threading.Thread(target=one_thread.fetch, args=([server.run("waited for")],))
    reader.start()
    wait_until(lambda: "waited for" in one_thread._flights)
    server.open.set()
    reader.join(5)
    wait_until(lambda: "wanted" in wanter.arrived)
    assert server.loaded == [("first",), ("waited for",), ("wanted",)]


def test_a_new_wish_replaces_the_old_one(one_thread, server):
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("under way")), (Priority.VIEW, server.run("stale"))])
    assert server.started.acquire(timeout=5)
    one_thread.want(wanter, [(Priority.VIEW, server.run("new"))])
    server.open.set()
    wait_until(lambda: "new" in wanter.arrived)
    assert server.loaded == [("under way",), ("new",)]


def test_two_pictures_take_turns(one_thread, server):
    server.open.clear()
    one, other = Wanter(), Wanter()
    one_thread.want(Wanter(), [(Priority.FIRST_SIGHT, server.run("plug"))])
    assert server.started.acquire(timeout=5)
    one_thread.want(one, [(Priority.VIEW, server.run(f"one {i}")) for i in range(3)])
    one_thread.want(other, [(Priority.VIEW, server.run(f"other {i}")) for i in range(3)])
    server.open.set()
    wait_until(lambda: len(server.loaded) == 7)
    owners = [keys[0].split()[0] for keys in server.loaded[1:]]
    assert owners in (["one", "other"] * 3, ["other", "one"] * 3)


def test_what_is_ahead_leaves_half_of_the_threads_free(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    server.open.clear()
    fetcher.want(Wanter(), [(Priority.AHEAD, server.run(f"ahead {i}")) for i in range(8)])
    assert server.started.acquire(timeout=5)
    assert server.started.acquire(timeout=5)
    assert not server.started.acquire(timeout=0.1)
    fetcher.want(Wanter(), [(Priority.VIEW, server.run("view"))])
    assert server.started.acquire(timeout=5)
    assert server.loaded[-1] == ("view",)


def test_an_error_reaches_all_who_wait_and_want_and_nothing_is_kept(one_thread, server):
    server.error = StreamError("broken")
    wanter = Wanter()
    one_thread.want(wanter, [])
    with pytest.raises(StreamError, match="broken"):
        one_thread.fetch([server.run("a")])
    assert wanter.failed == ["a"]
    server.error = None
    assert "a" in one_thread.fetch([server.run("a")])


def test_an_unforeseen_error_does_not_leave_anybody_waiting(one_thread, server, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    server.error = ZeroDivisionError()
    with pytest.raises(StreamError, match="unexpected"):
        one_thread.fetch([server.run("a")])
    server.error = None
    assert "a" in one_thread.fetch([server.run("a")])
    wait_until(lambda: raised)
    assert raised[0].exc_type is ZeroDivisionError


def test_stop_ends_the_wait_but_not_what_others_wait_for(one_thread, server):
    server.open.clear()
    stop = threading.Event()
    got = []
    other = threading.Thread(target=lambda: got.append(one_thread.fetch([server.run("a")])))
    other.start()
    assert server.started.acquire(timeout=5)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(StoppedError):
        one_thread.fetch([server.run("a"), server.run("b")], stop=stop)
    server.open.set()
    other.join(5)
    assert "a" in got[0]
    assert server.loaded == [("a",)]  # nobody waits for b any more


def test_a_block_too_large_for_the_cache_still_comes_back(server):
    fetcher = Fetcher(MemoryCache(10), threads=1)
    assert "a" in fetcher.fetch([server.run("a")])
    assert fetcher.memory.size_bytes == 0


def test_threads_end_when_there_is_nothing_to_do(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=3)
    fetcher.fetch([server.run(str(i)) for i in range(9)])
    wait_until(lambda: fetcher._threads == 0)
    assert "x" in fetcher.fetch([server.run("x")])


def test_many_threads_at_once_agree(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=8)
    results = []

    def read(seed):
        random = np.random.default_rng(seed)
        for _ in range(30):
            keys = {int(key) for key in random.integers(0, 50, 5)}
            blocks = fetcher.fetch([server.run(key) for key in keys])
            results.append(all((blocks[key] == hash(key) % 100).all() for key in keys))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(20)
    assert len(results) == 240
    assert all(results)
    assert len(server.loaded) == 50
    assert not fetcher._flights
