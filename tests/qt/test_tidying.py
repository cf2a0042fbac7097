"""Garbage is looked for while the window rests."""

from __future__ import annotations

import gc

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_cryoet._qt import tidying
from napari_cryoet._qt.tidying import Tidying, is_half_due


@pytest.fixture
def collected(qapp, monkeypatch):
    """How often garbage was looked for, in a Python that is half on its way to do it."""
    times = []
    tidying.shared_tidying()._rest.stop()  # which layers of tests before may have put off
    monkeypatch.setattr(tidying, "_REST_MS", 1)
    monkeypatch.setattr(gc, "get_count", lambda: (10, 2, 5))
    monkeypatch.setattr(gc, "get_threshold", lambda: (2000, 10, 10))
    monkeypatch.setattr(gc, "collect", lambda: times.append(1))
    return times


def test_garbage_is_looked_for_once_all_rests(qtbot, collected):
    tidying = Tidying()
    tidying.put_off()
    assert not collected
    qtbot.waitUntil(lambda: collected == [1])
    assert not tidying._rest.isActive()


def test_what_moves_puts_it_off(qtbot, collected):
    tidying = Tidying()
    tidying.put_off()
    tidying._rest.setInterval(60_000)
    tidying.put_off()
    assert tidying._rest.remainingTime() > 50_000
    assert not collected


def test_a_mouse_button_that_is_held_puts_it_off(qtbot, collected, monkeypatch):
    held = [Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton]
    monkeypatch.setattr(
        QGuiApplication, "mouseButtons", lambda: held.pop() if held else Qt.MouseButton.NoButton, raising=True
    )
    tidying = Tidying()
    tidying.put_off()
    qtbot.waitUntil(lambda: collected == [1])
    assert not held


@pytest.mark.parametrize(
    ("count", "threshold", "is_due"), [(4, 10, False), (5, 10, True), (60, 100, True), (7, 0, False), (0, 0, False)]
)
def test_it_is_looked_for_only_where_python_is_half_on_its_way(monkeypatch, count, threshold, is_due):
    monkeypatch.setattr(gc, "get_count", lambda: (10, 2, count))
    monkeypatch.setattr(gc, "get_threshold", lambda: (2000, 10, threshold))
    assert is_half_due() == is_due


def test_nothing_is_looked_for_where_somebody_has_switched_that_off(collected):
    assert is_half_due()
    gc.disable()
    try:
        assert not is_half_due()
    finally:
        gc.enable()
