import gc
import sys
import threading

import pint
import pytest

from napari_cryoet._qt import warming
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.warming import hand_over, prepare_layers, warm_up, warm_up_layers
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.short_turns import ShortTurns


@pytest.fixture(autouse=True)
def _nothing_frozen():
    """As it is in a process of napari; all tests of windows together keep some objects from collections."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def unused(qapp, monkeypatch):
    """pint as it is before anybody has asked for a unit, which windows of tests before might still do."""
    qapp.sendPostedEvents()
    qapp.processEvents()
    registry = pint.LazyRegistry()
    monkeypatch.setattr(pint.application_registry, "_registry", registry)
    monkeypatch.setattr(warming, "_made", [])
    monkeypatch.setattr(warming, "_done", [])
    return registry


@pytest.fixture
def job():
    return Job(lambda _done, _total: None, lambda _share, _words: None, lambda _part: None)


def test_napari_finds_units_made(qtbot, tasks, unused):
    with qtbot.waitSignal(tasks.finished):
        warm_up_layers(tasks)
    qtbot.waitUntil(lambda: pint.application_registry.get() is not unused)

    assert type(pint.application_registry.get()) is pint.UnitRegistry
    assert str(pint.get_application_registry().parse_units("angstrom")) == "angstrom"
    assert "scipy.ndimage" in sys.modules


@pytest.mark.parametrize(("warm", "what"), [(warm_up, "_prepare_reading"), (warm_up_layers, "prepare_layers")])
def test_it_is_done_in_a_worker(qtbot, tasks, unused, monkeypatch, warm, what):
    threads, prepare = [], getattr(warming, what)
    monkeypatch.setattr(warming, what, lambda job: threads.append(threading.current_thread()) or prepare(job))
    with qtbot.waitSignal(tasks.finished):
        warm(tasks)

    assert threads
    assert threading.main_thread() not in threads


def test_units_that_somebody_has_got_meanwhile_stay_good(qtbot, tasks, unused):
    with qtbot.waitSignal(tasks.finished):
        warm_up_layers(tasks)
        theirs = pint.get_application_registry().parse_units("angstrom")  # as napari does for a layer
    qtbot.wait(20)

    assert pint.application_registry.get() is unused
    assert theirs == pint.get_application_registry().parse_units("angstrom")


def test_where_units_are_in_use_there_is_nothing_to_do(qtbot, tasks, unused, monkeypatch):
    unused.parse_units("angstrom")
    monkeypatch.setattr(tasks, "run", lambda *_args, **_options: pytest.fail("something was started"))
    warm_up_layers(tasks)


def test_a_person_with_layers_of_their_own_waits_no_longer_for_servers(qtbot, tasks, unused, monkeypatch):
    warmed = []
    monkeypatch.setattr("napari_cryoet.streaming.warming.warm_up", lambda: warmed.append(True))
    unused.parse_units("angstrom")
    for _ in range(2):
        warm_up(tasks)
        qtbot.waitUntil(lambda: not tasks.is_running("warm-up"))

    assert warmed == [True]


@pytest.mark.parametrize("warm", [warm_up, warm_up_layers])
def test_two_wishes_in_a_row_start_it_once(qtbot, tasks, unused, monkeypatch, warm):
    works, run = [], tasks.run
    monkeypatch.setattr(tasks, "run", lambda key, work, **options: works.append(key) or run(key, work, **options))
    with qtbot.waitSignal(tasks.finished):
        warm(tasks)
        warm(tasks)

    assert len(works) == 1


def test_whoever_loads_layers_waits_for_units_that_are_being_made(qtbot, tasks, unused, job, monkeypatch):
    made, make = [], pint.LazyRegistry
    monkeypatch.setattr(pint, "LazyRegistry", lambda: made.append(make()) or made[-1])
    monkeypatch.setattr(warming, "_is_unused", lambda: True)
    others = []
    other = threading.Thread(target=lambda: others.append(prepare_layers(job)))
    other.start()
    units = prepare_layers(job)
    other.join()

    assert others == [units]
    assert [units] == made


def test_units_that_are_there_are_not_handed_over_again(unused, job):
    unused.parse_units("angstrom")

    assert prepare_layers(job) is None
    hand_over(None)
    assert pint.application_registry.get() is unused


def test_stop_is_heard_while_units_are_made(unused, job, monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(warming, "_registry", is_over.wait)
    job.stop.set()
    with pytest.raises(StoppedError):
        prepare_layers(job)
    is_over.set()


def test_threads_that_compute_let_go_sooner_meanwhile(qtbot, tasks, unused, monkeypatch):
    are_short, turns = [], ShortTurns()
    monkeypatch.setattr(warming, "short_turns", turns)
    monkeypatch.setattr("napari_cryoet.streaming.warming.warm_up", lambda: are_short.append(turns._wishes))
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)

    assert are_short == [1]
    assert turns._wishes == 0


def test_no_garbage_is_looked_for_meanwhile(qtbot, tasks, unused, monkeypatch):
    looked_for = []
    monkeypatch.setattr("napari_cryoet.streaming.warming.warm_up", lambda: looked_for.append(gc.isenabled()))
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)

    assert looked_for == [False]
    assert gc.isenabled()


def test_what_was_frozen_stays_so(qtbot, tasks, unused):
    gc.freeze()
    try:
        with qtbot.waitSignal(tasks.finished):
            warm_up(tasks)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_who_has_switched_collections_off_finds_them_off(qtbot, tasks, unused):
    gc.disable()
    try:
        with qtbot.waitSignal(tasks.finished):
            warm_up(tasks)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_collections_are_on_again_after_a_failure(qtbot, tasks, unused, monkeypatch):
    def broken():
        raise OSError("no certificates")

    monkeypatch.setattr("napari_cryoet.streaming.warming.warm_up", broken)
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)

    assert gc.isenabled()
