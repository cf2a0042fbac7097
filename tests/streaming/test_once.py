"""Values that are made once: a failure reaches all who wait, but a stop only the one whom it was meant for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_cryoet.exceptions import StoppedError, StreamError, WithheldError
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.once import Once


@pytest.fixture
def once():
    return Once(MemoryCache(10_000), ("kind",), len)


class Waiting(dict):
    """Stands in for what is being made, and tells when somebody has come to wait for it."""

    def __init__(self):
        super().__init__()
        self.found = threading.Semaphore(0)

    def get(self, key):
        future = super().get(key)
        if future is not None:
            self.found.release()
        return future


def test_what_fails_fails_for_all_who_wait(once):
    once._pending = waiting = Waiting()

    def fail():
        assert waiting.found.acquire(timeout=20)
        raise StreamError("no")

    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(once.get, "a", fail) for _ in range(2)]:
            with pytest.raises(StreamError, match="no"):
                each.result(20)
    assert once.get("a", lambda: "made") == "made"


def test_where_memory_runs_out_all_who_wait_are_told(once):
    once._pending = waiting = Waiting()

    def fail():
        assert waiting.found.acquire(timeout=20)
        raise MemoryError

    with ThreadPoolExecutor(2) as threads:
        errors = [each.exception(20) for each in [threads.submit(once.get, "a", fail) for _ in range(2)]]
    assert sorted(map(repr, errors)) == [
        "MemoryError()",
        repr(StreamError("There isn't enough memory for what is read.")),
    ]
    assert once.get("a", lambda: "made") == "made"


def test_a_stop_ends_only_the_one_who_was_stopped(once):
    """However many others are stopped, one after the other, while somebody waits for them."""
    once._pending = waiting = Waiting()
    stopped = 4
    left = iter(range(stopped))

    def make():
        if next(left, None) is None:
            return "made"
        assert waiting.found.acquire(timeout=20)
        raise StoppedError

    with ThreadPoolExecutor(stopped + 1) as threads:
        results = [each.exception(20) for each in [threads.submit(once.get, "a", make) for _ in range(stopped + 1)]]
    assert [type(error) for error in results if error is not None] == [StoppedError] * stopped
    assert once.get("a", lambda: "made anew") == "made"


def test_what_is_withheld_is_so_only_from_the_one_who_makes_it(once):
    """Offline mode was turned off meanwhile, and who waits must not be told that it is on."""
    once._pending = waiting = Waiting()

    def make_too_early():
        assert waiting.found.acquire(timeout=20)
        raise WithheldError("offline", by="offline mode")

    with ThreadPoolExecutor(2) as threads:
        early = threads.submit(once.get, "a", make_too_early)
        while "a" not in waiting:
            threading.Event().wait(0.005)
        late = threads.submit(once.get, "a", lambda: "made")
        assert isinstance(early.exception(20), WithheldError)
        assert late.result(20) == "made"


def test_who_asks_again_once_it_has_failed_is_not_told_of_it_once_more(once):
    again = []

    def fail():
        once._pending["a"].add_done_callback(lambda _: again.append(once.get("a", lambda: "made anew")))
        raise StreamError("no")

    with pytest.raises(StreamError, match="no"):
        once.get("a", fail)
    assert again == ["made anew"]


def test_what_is_forgotten_while_it_is_made_is_not_kept_and_made_anew_by_the_next(once):
    begun, may_end = threading.Event(), threading.Event()

    def make_slowly():
        begun.set()
        assert may_end.wait(60)
        return "old"

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(once.get, "a", make_slowly)
        assert begun.wait(60)
        once.forget("a")
        assert once.get("a", lambda: "new") == "new"
        may_end.set()
        assert first.result(60) == "old"
    assert once.get("a", lambda: "newer") == "new"
