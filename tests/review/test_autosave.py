import threading
from types import SimpleNamespace

import pytest

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review import autosave
from napari_cryoet.review.autosave import AutoSaver


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is put on, however slow the machine is."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(autosave, "time", clock)
    return clock


def test_the_newest_value_is_saved_by_itself(clock):
    saved, is_done = [], threading.Event()

    def save(value):
        saved.append(value)
        is_done.set()

    saver = AutoSaver(save)
    for value in range(5):
        saver.put(value)
    clock.now += 1

    assert is_done.wait(30)
    assert saved == [4]
    assert autosave.LATEST_S < 1


def test_whoever_changes_without_rest_is_saved_all_the_same(monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_S", 60)
    monkeypatch.setattr(autosave, "LATEST_S", 0.01)
    is_done = threading.Event()
    saver = AutoSaver(lambda _value: is_done.set())
    saver.put(1)
    saver.put(2)

    assert is_done.wait(30)


def test_flushing_saves_at_once_and_only_once():
    saved = []
    saver = AutoSaver(saved.append)
    saver.put("a")

    assert saver.flush()
    assert saver.flush()
    assert saved == ["a"]


def test_what_could_not_be_saved_is_said_and_tried_again(clock):
    errors, saved = [], []

    def save(value):
        if not errors:
            raise CryoETError("The disk is full.")
        saved.append(value)

    saver = AutoSaver(save, errors.append)
    saver.put("a")

    assert not saver.flush()
    assert [error.message for error in errors] == ["The disk is full."]
    assert saver.flush()
    assert saved == ["a"]


def test_a_newer_value_is_not_overwritten_by_an_older_one_that_failed(clock):
    saved = []

    def save(value):
        if value == "old":
            saver.put("new")
            raise CryoETError("The disk is full.")
        saved.append(value)

    saver = AutoSaver(save)
    saver.put("old")
    saver.flush()
    saver.flush()

    assert saved == ["new"]


def test_what_changed_while_a_save_failed_is_saved_by_itself(monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_S", 0)
    is_saved = threading.Event()

    def save(value):
        if value == "old":
            saver.put("new")
            raise CryoETError("The disk is full.")
        is_saved.set()

    saver = AutoSaver(save)
    saver.put("old")

    assert is_saved.wait(30)


def test_what_could_not_be_saved_is_not_tried_without_end(monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_S", 0)
    tried, is_told = [], threading.Semaphore(0)

    def save(value):
        tried.append(value)
        raise CryoETError("The disk is full.")

    saver = AutoSaver(save, lambda _error: is_told.release())
    for number, value in enumerate(["a", "b"]):
        saver.put(value)
        assert is_told.acquire(timeout=30)
        assert not is_told.acquire(timeout=0.1)
        assert tried == ["a", "b"][: number + 1]


@pytest.mark.parametrize("count", [3])
def test_it_goes_on_after_a_rest(count):
    done = threading.Semaphore(0)
    saver = AutoSaver(lambda _value: done.release())
    for value in range(count):
        saver.put(value)
        assert done.acquire(timeout=30)


def test_a_fault_that_nobody_thought_of_is_said_and_saving_goes_on(clock):
    errors, saved, is_told, is_saved = [], [], threading.Event(), threading.Event()

    def save(value):
        if value == "a":
            raise MemoryError("no room")
        saved.append(value)
        is_saved.set()

    def failed(error):
        errors.append(error)
        is_told.set()

    saver = AutoSaver(save, failed)
    saver.put("a")
    clock.now += 1
    assert is_told.wait(30)
    assert isinstance(errors[0], CryoETError)
    assert "no room" in str(errors[0])

    saver.put("b")
    clock.now += 1
    assert is_saved.wait(30)
    assert saved == ["b"]


def test_where_no_thread_can_be_started_each_change_is_saved_at_once(monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    saved, start = [], threading.Thread.start
    saver = AutoSaver(saved.append)
    monkeypatch.setattr(threading.Thread, "start", fail)
    saver.put("a")
    saver.put("b")
    assert saved == ["a", "b"]

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(autosave, "QUIET_S", 0)
    is_done = threading.Event()
    saver._save = lambda _value: is_done.set()
    saver.put("c")
    assert is_done.wait(30)
