import gc
import sys
import threading

import pint
import pytest

from napari_cryoet._qt import warming
from napari_cryoet._qt.warming import warm_up


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
    return registry


def test_napari_finds_units_made(qtbot, tasks, unused):
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)
    qtbot.waitUntil(lambda: pint.application_registry.get() is not unused)

    assert type(pint.application_registry.get()) is pint.UnitRegistry
    assert str(pint.get_application_registry().parse_units("angstrom")) == "angstrom"
    assert {"pandas", "scipy.ndimage"} <= set(sys.modules)


def test_it_is_done_in_a_worker(qtbot, tasks, unused, monkeypatch):
    threads, prepare = [], warming._prepare
    monkeypatch.setattr(warming, "_prepare", lambda job: threads.append(threading.current_thread()) or prepare(job))
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)

    assert threads
    assert threading.main_thread() not in threads


def test_units_that_somebody_has_got_meanwhile_stay_good(qtbot, tasks, unused):
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)
        theirs = pint.get_application_registry().parse_units("angstrom")  # as napari does for a layer
    qtbot.wait(20)

    assert pint.application_registry.get() is unused
    assert theirs == pint.get_application_registry().parse_units("angstrom")


def test_the_second_dock_has_nothing_to_do(qtbot, tasks, unused):
    unused.parse_units("angstrom")
    warm_up(tasks)

    assert not tasks.is_running("warm-up")


def test_two_catalogues_in_a_row_start_it_once(qtbot, tasks, unused, monkeypatch):
    works, run = [], tasks.run
    monkeypatch.setattr(tasks, "run", lambda key, work, **options: works.append(key) or run(key, work, **options))
    with qtbot.waitSignal(tasks.finished):
        warm_up(tasks)
        warm_up(tasks)

    assert works == ["warm-up"]


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
