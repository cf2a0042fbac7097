"""A fetcher sends what is most urgent, nothing twice, and nothing that nobody wants."""

import dataclasses
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from napari_cryoet.exceptions import StoppedError, StreamError, WithheldError
from napari_cryoet.streaming import fetcher as fetcher_module
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher, Priority, Run


class Server:
    """Loads blocks when it is allowed to, and remembers in what order."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.loaded = []
        self.given_up = []
        self.started = threading.Semaphore(0)
        self.error = None

    def load(self, keys, stop):
        self.loaded.append(keys)
        self.started.release()
        while not self.open.wait(0.01):
            if stop.is_set():
                self.given_up.append(keys)
                raise StoppedError
        if self.error:
            raise self.error
        return {key: np.full(4, hash(key) % 100) for key in keys}

    def run(self, *keys, wire_bytes=0):
        return Run(keys, self.load, wire_bytes, "server")


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
    deadline = time.monotonic() + 30
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


def passing(server, *keys):
    """A run whose blocks nobody keeps for later."""
    return dataclasses.replace(server.run(*keys), is_kept=False)


def test_what_is_read_in_passing_is_not_kept(one_thread, server):
    assert set(one_thread.fetch([passing(server, "a", "b")])) == {"a", "b"}
    assert one_thread.memory.size_bytes == 0
    one_thread.fetch([server.run("a")])
    assert server.loaded == [("a", "b"), ("a",)]


def test_what_is_read_in_passing_is_let_go_by_threads_that_have_nothing_more_to_do(one_thread, monkeypatch):
    monkeypatch.setattr(fetcher_module, "_IDLE_S", 40.0)
    brought = []

    def load(keys, _stop):
        blocks = {key: np.zeros(4) for key in keys}
        brought.extend(map(weakref.ref, blocks.values()))
        return blocks

    runs = [Run((key,), load, line="server", is_kept=False) for key in "ab"]
    assert set(one_thread.fetch(runs)) == {"a", "b"}
    wait_until(lambda: [block() for block in brought] == [None, None])


def test_what_is_read_in_passing_is_kept_where_a_picture_wants_it(one_thread, server):
    server.open.clear()
    reader = threading.Thread(target=one_thread.fetch, args=([passing(server, "a", "b"), passing(server, "c")],))
    reader.start()
    assert server.started.acquire(timeout=30)
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("a"))])
    server.open.set()
    reader.join(30)
    wait_until(lambda: "a" in wanter.arrived)
    assert "a" in one_thread.memory
    assert "c" not in one_thread.memory
    assert server.loaded == [("a", "b"), ("c",)]


def test_what_is_read_in_passing_is_kept_where_somebody_else_reads_it_for_longer(one_thread, server):
    server.open.clear()
    readers = [
        threading.Thread(target=one_thread.fetch, args=([run],)) for run in (passing(server, "a"), server.run("a"))
    ]
    readers[0].start()
    assert server.started.acquire(timeout=30)
    readers[1].start()
    wait_until(lambda: one_thread._traffic.flights["a"].waiters == 2)
    server.open.set()
    for reader in readers:
        reader.join(30)
    assert "a" in one_thread.memory
    assert server.loaded == [("a",)]


def test_who_waits_comes_before_who_wants(one_thread, server):
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("first"))])
    assert server.started.acquire(timeout=30)
    one_thread.want(wanter, [(Priority.FIRST_SIGHT, server.run("wanted"))])
    reader = threading.Thread(target=one_thread.fetch, args=([server.run("waited for")],))
    reader.start()
    wait_until(lambda: "waited for" in one_thread._traffic.flights)
    server.open.set()
    reader.join(30)
    wait_until(lambda: "wanted" in wanter.arrived)
    assert server.loaded == [("first",), ("waited for",), ("wanted",)]


def test_a_new_wish_replaces_the_old_one(one_thread, server):
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("under way")), (Priority.VIEW, server.run("stale"))])
    assert server.started.acquire(timeout=30)
    one_thread.want(wanter, [(Priority.VIEW, server.run("new"))])
    server.open.set()
    wait_until(lambda: "new" in wanter.arrived)
    assert server.loaded == [("under way",), ("new",)]


def test_two_pictures_take_turns(one_thread, server):
    server.open.clear()
    one, other = Wanter(), Wanter()
    one_thread.want(Wanter(), [(Priority.FIRST_SIGHT, server.run("plug"))])
    assert server.started.acquire(timeout=30)
    one_thread.want(one, [(Priority.VIEW, server.run(f"one {i}")) for i in range(3)])
    one_thread.want(other, [(Priority.VIEW, server.run(f"other {i}")) for i in range(3)])
    server.open.set()
    wait_until(lambda: len(server.loaded) == 7)
    owners = [keys[0].split()[0] for keys in server.loaded[1:]]
    assert owners in (["one", "other"] * 3, ["other", "one"] * 3)


def test_what_is_ahead_leaves_a_quarter_of_the_requests_free(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    server.open.clear()
    fetcher.want(Wanter(), [(Priority.AHEAD, server.run(f"ahead {i}")) for i in range(8)])
    for _ in range(3):
        assert server.started.acquire(timeout=30)
    assert not server.started.acquire(timeout=0.1)
    fetcher.want(Wanter(), [(Priority.VIEW, server.run("view"))])
    assert server.started.acquire(timeout=30)
    assert server.loaded[-1] == ("view",)


def test_the_background_waits_until_nothing_that_is_looked_at_is_under_way(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    server.open.clear()
    fetcher.want(Wanter(), [(Priority.VIEW, server.run("view")), (Priority.BACKGROUND, server.run("later"))])
    assert server.started.acquire(timeout=30)
    assert not server.started.acquire(timeout=0.1)
    server.open.set()
    assert server.started.acquire(timeout=30)
    assert server.loaded == [("view",), ("later",)]


def test_what_is_ahead_takes_no_more_of_a_known_line_than_it_can_spare(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=16)
    line = fetcher.line("server")
    line.bytes_per_s, line.quickest_s = 1_000_000, 0.08
    server.open.clear()
    runs = [server.run(f"ahead {i}", wire_bytes=80_000) for i in range(9)]
    fetcher.want(Wanter(), [(Priority.AHEAD, run) for run in runs])
    assert server.started.acquire(timeout=30)
    assert server.started.acquire(timeout=30)
    assert not server.started.acquire(timeout=0.1)


def test_what_has_come_and_is_only_decoded_leaves_the_line_to_others(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=16)
    line = fetcher.line("server")
    line.bytes_per_s, line.quickest_s = 1_000_000, 0.08
    server.open.clear()

    def load(keys, stop):
        fetcher.off_the_line()
        return server.load(keys, stop)

    runs = [Run((i,), load, 80_000, "server") for i in range(9)]
    fetcher.want(Wanter(), [(Priority.AHEAD, run) for run in runs])
    for _ in runs:
        assert server.started.acquire(timeout=30)


def test_what_is_decoded_keeps_nothing_from_being_sent(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=2)
    server.open.clear()

    def load(keys, stop):
        fetcher.off_the_line()
        return server.load(keys, stop)

    wanter = Wanter()
    fetcher.want(wanter, [(Priority.VIEW, Run((i,), load, 0, "server")) for i in range(9)])
    for _ in range(3):
        assert server.started.acquire(timeout=30)
    assert not server.started.acquire(timeout=0.1)  # half as many more than there are requests, and no more
    server.open.set()
    wait_until(lambda: len(wanter.arrived) == 9)


def end_by(fetcher, now):
    """Let time pass until all threads have ended; by a clock that stands none would have waited long enough."""

    def is_over():
        now[0] += 60.0
        with fetcher._state:
            fetcher._state.notify_all()
            return not fetcher._threads

    wait_until(is_over)


def test_a_line_is_judged_by_what_comes_over_it_and_not_by_how_long_that_is_decoded():
    now = [100.0]
    fetcher = Fetcher(MemoryCache(2**20), threads=1, clock=lambda: now[0])

    def load(keys, _stop):
        now[0] += 0.05
        fetcher.off_the_line()
        now[0] += 5.0
        return {key: np.zeros(4) for key in keys}

    fetcher.fetch([Run(("a",), load, 80_000, "server")])
    assert fetcher.line("server").quickest_s == pytest.approx(0.05)
    end_by(fetcher, now)


def test_what_has_come_is_not_given_up_when_nobody_wants_it(one_thread, server):
    slow(one_thread)
    server.open.clear()

    def load(keys, stop):
        one_thread.off_the_line()
        return server.load(keys, stop)

    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, Run(("old",), load, 1000, "server"))])
    assert server.started.acquire(timeout=30)
    one_thread.want(wanter, [(Priority.VIEW, server.run("new", wire_bytes=1000))])
    server.open.set()
    wait_until(lambda: "new" in wanter.arrived)
    assert server.given_up == []


def test_what_would_keep_a_first_sight_from_coming_over_a_narrow_line_waits_for_it(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=16)
    line = fetcher.line("server")
    line.bytes_per_s, line.quickest_s = 1_000_000, 0.08
    server.open.clear()
    wanter = Wanter()
    views = [(Priority.VIEW, server.run(f"view {i}", wire_bytes=90_000)) for i in range(9)]
    fetcher.want(wanter, [(Priority.FIRST_SIGHT, server.run("coarse", wire_bytes=90_000)), *views])
    assert server.started.acquire(timeout=30)
    assert server.started.acquire(timeout=30)
    assert not server.started.acquire(timeout=0.1)
    assert ("coarse",) in server.loaded  # whichever of both threads was quicker
    server.open.set()
    wait_until(lambda: len(wanter.arrived) == 10)


def slow(fetcher, name="server"):
    """Let a line be known as one on which hanging up pays."""
    line = fetcher.line(name)
    line.began(0.0)
    line.ended(0.1, 1, 0.1)
    line.bytes_per_s = 10.0
    return line


def test_what_is_under_way_is_given_up_when_nobody_wants_it_and_that_pays(one_thread, server):
    slow(one_thread)
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("old", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    one_thread.want(wanter, [(Priority.VIEW, server.run("new", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    assert server.given_up == [("old",)]
    server.open.set()
    wait_until(lambda: "new" in wanter.arrived)
    assert "old" not in wanter.arrived


def test_what_was_given_up_can_be_had_at_once_by_whoever_wants_it_then(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=2)
    slow(fetcher)
    server.open.clear()
    wanter = Wanter()
    fetcher.want(wanter, [(Priority.VIEW, server.run("a", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    fetcher.want(wanter, [])
    fetcher.want(wanter, [(Priority.VIEW, server.run("a", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    server.open.set()
    wait_until(lambda: "a" in wanter.arrived)
    assert server.loaded == [("a",), ("a",)]


def test_a_stop_hangs_up_what_only_that_picture_wants(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    server.open.clear()
    stopped, other = Wanter(), Wanter()
    fetcher.want(stopped, [(Priority.VIEW, server.run(("mine", 0))), (Priority.VIEW, server.run(("mine", 1)))])
    fetcher.want(other, [(Priority.VIEW, server.run(("mine", 1))), (Priority.VIEW, server.run(("other", 0)))])
    for _ in range(3):
        assert server.started.acquire(timeout=30)
    fetcher.hang_up(stopped, "mine")
    wait_until(lambda: server.given_up == [(("mine", 0),)])
    server.open.set()
    wait_until(lambda: {("mine", 1), ("other", 0)} <= set(other.arrived))
    assert len(server.loaded) == 3


def test_a_picture_can_leave_while_its_thread_holds_the_fetcher(one_thread, server):
    gone, other = Wanter(), Wanter()
    server.open.clear()
    one_thread.want(other, [(Priority.VIEW, server.run("now"))])
    assert server.started.acquire(timeout=30)
    one_thread.want(gone, [(Priority.VIEW, server.run("later"))])
    with one_thread._state:  # as when garbage is collected in there
        leaving = threading.Thread(target=one_thread.forget_soon, args=(gone,), daemon=True)
        leaving.start()
        leaving.join(30)
        assert not leaving.is_alive()
    one_thread.want(other, [(Priority.VIEW, server.run("last"))])
    server.open.set()
    wait_until(lambda: "last" in other.arrived)
    assert server.loaded == [("now",), ("last",)]
    assert gone.arrived == []


def test_nothing_is_given_up_that_another_wants_or_waits_for(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    slow(fetcher)
    server.open.clear()
    one, other = Wanter(), Wanter()
    fetcher.want(other, [(Priority.VIEW, server.run("shared", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    fetcher.want(one, [(Priority.VIEW, server.run("shared", wire_bytes=1000))])
    reader = threading.Thread(target=fetcher.fetch, args=([server.run("waited for", wire_bytes=1000)],))
    reader.start()
    assert server.started.acquire(timeout=30)
    fetcher.want(one, [])
    assert not any(flight.stop.is_set() for flight in fetcher._traffic.under_way)
    fetcher.want(other, [])
    wait_until(lambda: server.given_up == [("shared",)])
    server.open.set()
    reader.join(30)
    assert "waited for" in fetcher.memory


def test_nothing_is_given_up_on_a_line_of_which_nothing_is_known(one_thread, server):
    server.open.clear()
    wanter = Wanter()
    one_thread.want(wanter, [(Priority.VIEW, server.run("old", wire_bytes=1000))])
    assert server.started.acquire(timeout=30)
    one_thread.want(wanter, [])
    server.open.set()
    wait_until(lambda: "old" in wanter.arrived)


def test_a_run_that_anothers_stop_has_ended_is_tried_again(one_thread, server):
    ended = iter([True, False])

    def load(keys, stop):
        if next(ended):
            raise StoppedError
        return server.load(keys, stop)

    assert "a" in one_thread.fetch([Run(("a",), load)])


def test_abandon_ends_what_is_under_way_for_one_owner(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=2)
    server.open.clear()
    wanter = Wanter()
    fetcher.want(wanter, [(Priority.VIEW, server.run((1, "a"))), (Priority.VIEW, server.run((2, "b")))])
    for _ in range(2):
        assert server.started.acquire(timeout=30)
    fetcher.abandon(1)
    wait_until(lambda: server.given_up == [((1, "a"),)])
    server.open.set()
    wait_until(lambda: wanter.arrived == [(2, "b")])


def test_who_waits_for_much_lets_those_who_look_have_every_other_turn(one_thread, server):
    server.open.clear()
    one_thread.want(Wanter(), [(Priority.VIEW, server.run("plug"))])
    assert server.started.acquire(timeout=30)
    reader = threading.Thread(target=one_thread.fetch, args=([server.run(f"wait {i}") for i in range(3)],))
    reader.start()
    wait_until(lambda: "wait 2" in one_thread._traffic.flights)
    one_thread.want(Wanter(), [(Priority.VIEW, server.run(f"look {i}")) for i in range(3)])
    server.open.set()
    reader.join(30)
    wait_until(lambda: len(server.loaded) == 7)
    assert [keys[0].split()[0] for keys in server.loaded[1:]] == ["wait", "look"] * 3


class Asked(Wanter):
    """Wants what it is told to, each time it is asked."""

    def __init__(self, fetcher, runs):
        super().__init__()
        self.fetcher, self.runs, self.times = fetcher, runs, 0
        self.gui = threading.get_ident()

    def plan(self):
        assert threading.get_ident() != self.gui
        self.times += 1
        self.fetcher.want(self, self.runs)
        self.news.set()


def test_a_picture_is_asked_on_another_thread_and_once_for_many_changes(server):
    now = [100.0]
    fetcher = Fetcher(MemoryCache(2**20), threads=1, clock=lambda: now[0])
    asked = Asked(fetcher, [(Priority.VIEW, server.run("a"))])
    for _ in range(5):
        fetcher.ask(asked, after_s=0.05)
    now[0] += 1.0
    wait_until(lambda: asked.arrived == ["a"])
    assert asked.times == 1
    end_by(fetcher, now)


def test_the_older_answer_of_a_picture_never_counts_last(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=4)
    server.open.clear()
    asked, old_may_answer, answers = threading.Semaphore(0), threading.Event(), []

    class Slow(Wanter):
        wants = "old"

        def plan(self):
            wants = self.wants
            asked.release()
            assert wants == "new" or old_may_answer.wait(30)
            fetcher.want(self, [(Priority.VIEW, server.run(wants))])
            answers.append(wants)

    slow = Slow()
    fetcher.ask(slow, after_s=0.0)
    assert asked.acquire(timeout=30)
    slow.wants = "new"  # as where somebody pauses it
    fetcher.ask(slow, after_s=0.0)
    if asked.acquire(timeout=0.5):  # by another thread at the same time
        wait_until(lambda: answers == ["new"])
    old_may_answer.set()
    wait_until(lambda: len(answers) == 2)
    assert answers == ["old", "new"]


def test_a_picture_is_asked_in_time_while_all_threads_rest(server, monkeypatch):
    monkeypatch.setattr("napari_cryoet.streaming.fetcher._IDLE_S", 60.0)
    later_s = 0.0
    fetcher = Fetcher(MemoryCache(2**20), threads=4, clock=lambda: time.monotonic() + later_s)
    fetcher.want(Wanter(), [(Priority.VIEW, server.run(str(i))) for i in range(8)])
    wait_until(lambda: fetcher._idle == fetcher._threads > 1)
    first, second = Asked(fetcher, []), Asked(fetcher, [])
    fetcher.ask(first, after_s=30.0)  # somebody watches for this one
    wait_until(lambda: fetcher._idle == fetcher._threads)
    for _ in range(3):
        second.news.clear()
        fetcher.ask(second, after_s=0.02)
        assert second.news.wait(30)
        wait_until(lambda: fetcher._idle == fetcher._threads)
    fetcher.forget(first)
    later_s = 100.0
    with fetcher._state:
        fetcher._state.notify_all()
    wait_until(lambda: fetcher._threads == 0)


def test_nothing_outdated_is_sent_before_the_picture_was_asked(server):
    fetcher = Fetcher(MemoryCache(2**20), threads=2)
    asked = Asked(fetcher, [(Priority.VIEW, server.run("new"))])
    server.open.clear()
    fetcher.want(asked, [(Priority.VIEW, server.run(f"old {i}")) for i in range(4)])
    for _ in range(2):
        assert server.started.acquire(timeout=30)
    fetcher.ask(asked, after_s=0.05)
    server.open.set()
    wait_until(lambda: "new" in asked.arrived)
    assert set(server.loaded[:2]) == {("old 0",), ("old 1",)}
    assert server.loaded[2:] == [("new",)]


def test_a_picture_is_asked_even_while_all_requests_wait(one_thread, server):
    server.open.clear()
    one_thread.want(Wanter(), [(Priority.VIEW, server.run("plug"))])
    assert server.started.acquire(timeout=30)
    asked = Asked(one_thread, [])
    one_thread.ask(asked, after_s=0.0)
    assert asked.news.wait(30)


def test_an_error_reaches_all_who_wait_and_want_and_nothing_is_kept(one_thread, server):
    server.error = StreamError("broken")
    wanter = Wanter()
    one_thread.want(wanter, [])
    with pytest.raises(StreamError, match="broken"):
        one_thread.fetch([server.run("a")])
    assert wanter.failed == ["a"]
    server.error = None
    assert "a" in one_thread.fetch([server.run("a")])


def test_who_joins_what_was_withheld_asks_again(one_thread, server):
    """Offline mode was turned off meanwhile, and they must not be told that it is on."""
    server.open.clear()
    told, got = [], []

    def refuse(keys, stop):
        server.load(keys, stop)
        raise WithheldError("offline", by="offline mode")

    def read_too_early():
        with pytest.raises(WithheldError):
            one_thread.fetch([dataclasses.replace(server.run("a", "b"), load=refuse)])
        told.append(True)

    early = threading.Thread(target=read_too_early)
    early.start()
    assert server.started.acquire(timeout=30)
    late = threading.Thread(target=lambda: got.append(one_thread.fetch([server.run("b", "c")])))
    late.start()
    wait_until(lambda: "c" in one_thread._traffic.flights)
    server.open.set()
    early.join(30)
    late.join(30)
    assert told
    assert set(got[0]) == {"b", "c"}


def test_what_stays_withheld_is_told_to_who_joins(one_thread, server):
    server.open.clear()
    server.error = WithheldError("offline", by="offline mode")
    told = []

    def read():
        with pytest.raises(WithheldError):
            one_thread.fetch([server.run("a"), server.run("b")])
        told.append(True)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: one_thread._traffic.flights and one_thread._traffic.flights["a"].waiters == 4)
    server.open.set()
    for thread in threads:
        thread.join(30)
    assert len(told) == 4


def test_an_unforeseen_error_does_not_leave_anybody_waiting(one_thread, server, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    server.error = ZeroDivisionError()
    with pytest.raises(StreamError, match="unexpected"):
        one_thread.fetch([server.run("a"), server.run("b")])
    wait_until(lambda: not one_thread._traffic.under_way)  # so that the next is done here
    with pytest.raises(StreamError, match="unexpected") as here:
        one_thread.fetch([server.run("c")])
    server.error = None
    assert {"a", "b", "c"} == set(one_thread.fetch([server.run("a"), server.run("b"), server.run("c")]))
    wait_until(lambda: raised)
    assert raised[0].exc_type is ZeroDivisionError
    assert isinstance(here.value.__cause__, ZeroDivisionError)


def test_a_single_run_is_done_by_whoever_waits_for_it(one_thread, server):
    threads = []

    def load(keys, stop):
        threads.append(threading.current_thread())
        return server.load(keys, stop)

    one_thread.fetch([Run(("a",), load, 0, "")])
    assert threads == [threading.current_thread()]
    one_thread.fetch([Run(("a",), load, 0, ""), Run(("b",), load, 0, ""), Run(("c",), load, 0, "")])
    assert threading.current_thread() not in threads[1:]
    assert len(threads) == 3


def test_blocks_are_handed_out_as_they_arrive(one_thread, server):
    parts = one_thread.arriving([server.run("a"), server.run("b", "c"), server.run("d")])
    assert [set(part) for part in parts] == [set(), {"a"}, {"b", "c"}, {"d"}]


def test_who_takes_no_more_of_what_arrives_is_waited_for_by_nothing(one_thread, server):
    server.open.clear()
    parts = one_thread.arriving([server.run(name) for name in "abcdef"])
    next(parts)
    parts.close()
    server.open.set()
    wait_until(lambda: not one_thread._traffic.flights)
    assert len(server.loaded) < 6


def test_what_was_taken_as_it_came_is_held_no_longer(one_thread, server):
    one_thread.memory.limit_bytes = 0
    seen = []
    with closing(one_thread.arriving([server.run(name) for name in "abcdef"])) as parts:
        for part in parts:
            assert sum(block() is not None for block in seen) <= 1, "the last one, until the next has come"
            seen += map(weakref.ref, part.values())
    assert len(seen) == 6


def test_stop_ends_the_wait_but_not_what_others_wait_for(one_thread, server):
    server.open.clear()
    stop = threading.Event()
    got = []
    other = threading.Thread(target=lambda: got.append(one_thread.fetch([server.run("a")])))
    other.start()
    assert server.started.acquire(timeout=30)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(StoppedError):
        one_thread.fetch([server.run("a"), server.run("b")], stop=stop)
    server.open.set()
    other.join(30)
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


@pytest.mark.parametrize("error", [None, StreamError("The server is down."), ValueError("what nobody foresaw")])
def test_who_waits_is_served_after_a_caller_who_read_by_itself_though_all_threads_have_ended(
    error, one_thread, server, monkeypatch
):
    monkeypatch.setattr(fetcher_module, "_IDLE_S", 0.01)
    may_end = threading.Event()

    def load(keys, _stop):
        server.started.release()
        assert may_end.wait(60)
        if error is not None:
            raise error
        return {key: np.zeros(4) for key in keys}

    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(one_thread.fetch, [Run(("a",), load, 0, "server")])
        assert server.started.acquire(timeout=30)
        second = callers.submit(one_thread.fetch, [server.run("b")])
        wait_until(lambda: len(one_thread._traffic._queue) == 1)
        wait_until(lambda: one_thread._threads == 0)
        try:
            may_end.set()
            assert isinstance(first.exception(30), StreamError) == (error is not None)
            assert list(second.result(10)) == ["b"]
        finally:
            one_thread.want(Wanter(), [])  # which calls a thread in any case


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_is_served_though_the_last_thread_ends_by_an_error_that_nobody_foresaw(
    one_thread, server, monkeypatch
):
    monkeypatch.setattr(fetcher_module, "_IDLE_S", 0.01)
    server.open.clear()
    server.error = ValueError("what nobody foresaw")
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(one_thread.fetch, [server.run("a")], stop=threading.Event())
        assert server.started.acquire(timeout=30)
        second = callers.submit(one_thread.fetch, [Run(("b",), lambda keys, _: {keys[0]: np.zeros(4)}, 0, "server")])
        wait_until(lambda: len(one_thread._traffic._queue) == 1)
        wait_until(lambda: one_thread._threads == 1)
        try:
            server.open.set()
            assert isinstance(first.exception(30), StreamError)
            assert list(second.result(10)) == ["b"]
        finally:
            one_thread.want(Wanter(), [])


@pytest.mark.parametrize("is_brought_by_itself", [True, False])
def test_where_memory_runs_out_that_is_said_and_threads_go_on(is_brought_by_itself, one_thread, server):
    server.error = MemoryError("Unable to allocate 3.0 GiB")
    run = dataclasses.replace(server.run("a"), url="https://me:secret@files.org/a.zarr")
    stop = None if is_brought_by_itself else threading.Event()
    with pytest.raises(StreamError) as no:
        one_thread.fetch([run], stop=stop)
    assert no.value.message == "There isn't enough memory for what is read of a.zarr on files.org."
    assert no.value.hint.startswith("Close")
    assert (no.value.__cause__, no.value.__context__) == (None, None)  # whose frames would keep what fills the memory
    server.error = None
    assert list(one_thread.fetch([run], stop=stop)) == ["a"]


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
        reader.join(60)
    assert len(results) == 240
    assert all(results)
    assert len(server.loaded) == 50
    assert not fetcher._traffic.flights


def test_the_last_thread_does_not_leave_before_a_picture_is_asked(one_thread, monkeypatch):
    monkeypatch.setattr(fetcher_module, "_IDLE_S", 0.02)
    asked = threading.Event()

    class Planner(Wanter):
        def plan(self):
            asked.set()

    one_thread.ask(Planner(), after_s=0.2)  # much later than a thread stays for nothing
    assert asked.wait(30)


def test_a_viewer_is_not_held_up_while_threads_are_started(server, monkeypatch):
    fetcher = Fetcher(MemoryCache(2**20))
    may_start, is_starting = threading.Event(), threading.Event()
    start = threading.Thread.start

    def slow_start(thread):
        if thread.name == "napari-cryoet-fetch":
            is_starting.set()
            may_start.wait(60)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow_start)
    picture = Wanter()
    other = threading.Thread(target=lambda: fetcher.want(picture, [(Priority.VIEW, server.run("a"))]))
    other.start()
    assert is_starting.wait(30)
    assert fetcher._state.acquire(timeout=30)  # which a viewer needs to say what it looks at
    fetcher._state.release()
    may_start.set()
    other.join()
    wait_until(lambda: "a" in fetcher.memory)


def test_without_a_thread_to_be_had_who_waits_is_told_and_later_served(server, monkeypatch):
    fetcher = Fetcher(MemoryCache(10_000))

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StreamError, match="No thread"):
            fetcher.fetch([server.run("a")], stop=threading.Event())
        fetcher.want(Wanter(), [(Priority.VIEW, server.run("b"))])  # nobody waits for that
    assert list(fetcher.fetch([server.run("a")], stop=threading.Event())) == ["a"]
    wait_until(lambda: "b" in fetcher.memory)


def test_a_forked_process_knows_of_no_request_of_its_parents(server):
    fetcher = Fetcher(MemoryCache(10_000))
    server.open.clear()
    fetcher.want(Wanter(), [(Priority.VIEW, server.run("a"))])
    server.started.acquire()
    line = fetcher.line("server")
    fetcher.start_afresh()
    assert fetcher.line("server") is not line


def test_who_has_blocks_put_in_their_place_is_given_none_but_who_joins_is(one_thread, server):
    def placed(key):
        return dataclasses.replace(server.run(key), is_placed=True, is_kept=False)

    assert one_thread.fetch([placed("a")]) == {}
    server.open.clear()
    found = []
    first = threading.Thread(target=lambda: one_thread.fetch([placed("b")]))
    first.start()
    server.started.acquire()
    server.started.acquire()
    second = threading.Thread(target=lambda: found.append(one_thread.fetch([server.run("b")])))
    second.start()
    wait_until(lambda: one_thread._traffic.flights["b"].waiters == 2)
    server.open.set()
    first.join()
    second.join()
    assert list(found[0]) == ["b"]


def test_a_large_read_leaves_the_lock_to_others_while_it_is_prepared(server, monkeypatch):
    fetcher = Fetcher(MemoryCache(2**22), threads=2)
    board, sizes, is_free = fetcher._traffic.board, [], []

    def noted(runs, *arguments):
        sizes.append(len(runs))
        return board(runs, *arguments)

    def note_lock(lacking):
        is_free.append(not fetcher._state._is_owned())
        start(lacking)

    start = fetcher._start
    monkeypatch.setattr(fetcher._traffic, "board", noted)
    monkeypatch.setattr(fetcher, "_start", note_lock)
    keys = list(range(2000))
    assert set(fetcher.fetch([server.run(key) for key in keys])) == set(keys)
    assert sum(sizes) == 2000
    assert max(sizes) <= 256
    assert len(is_free) >= len(sizes)
    assert all(is_free)


def test_who_waits_for_a_flight_in_several_portions_waits_once(server, monkeypatch):
    monkeypatch.setattr(fetcher_module, "_BOARDED_AT_ONCE", 2)
    fetcher = Fetcher(MemoryCache(2**20), threads=1)
    server.open.clear()
    stop, ended = threading.Event(), []

    def read():
        try:
            fetcher.fetch([server.run(key) for key in ("a", "b", "c", "a", "b")], stop=stop)
        except StoppedError as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert server.started.acquire(timeout=30)
    wait_until(lambda: len(fetcher._traffic.flights) == 3)
    waiters = [flight.waiters for flight in fetcher._traffic.flights.values()]
    stop.set()
    reader.join(30)
    assert (waiters, len(ended)) == ([1, 1, 1], 1)
    assert list(fetcher._traffic.flights) == ["a"]  # what is under way goes on, and nothing else is sent
    server.open.set()
    wait_until(lambda: not fetcher._traffic.flights)
    assert server.loaded == [("a",)]
