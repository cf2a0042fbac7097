"""Views of a window move one after the other."""

import time

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_cryoet._qt.turns import Turns


class Loop(QObject):
    """Counts the passes of the event loop in which something of ours could happen."""

    def __init__(self):
        super().__init__()
        self.passes = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._count)
        self._timer.start(0)

    def _count(self):
        self.passes += 1


@pytest.fixture
def loop(qapp):
    loop = Loop()
    yield loop
    loop._timer.stop()


@pytest.fixture
def turns(qapp):
    turns = Turns()
    yield turns
    turns.stop()


def test_each_moves_in_a_pass_of_its_own_in_the_order_of_asking(qtbot, turns, loop):
    moved = []
    moves = {name: (lambda name=name: moved.append((name, loop.passes))) for name in "abc"}
    for name in "abcab":  # who waits already is not called twice
        turns.ask(moves[name])
    assert moved == []
    qtbot.waitUntil(lambda: turns.is_idle)

    assert [name for name, _ in moved] == ["a", "b", "c"]
    passes = [at for _, at in moved]
    assert passes[0] < passes[1] < passes[2]


def test_who_asks_again_lets_the_others_go_first(qtbot, turns):
    moved = []

    def greedy():
        moved.append("greedy")
        if len(moved) < 6:
            turns.ask(greedy)

    turns.ask(greedy)
    turns.ask(lambda: moved.append("patient"))
    qtbot.waitUntil(lambda: len(moved) >= 6)
    assert moved[:3] == ["greedy", "patient", "greedy"]


def test_what_was_moved_unasked_is_painted_before_the_next_turn(qtbot, turns):
    moved, timer = [], QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: moved.append("paint"))
    turns.ask(lambda: moved.append("view"))
    timer.start(5)  # as long as Qt waits before it paints
    turns.take()
    turns.take()
    qtbot.waitUntil(lambda: len(moved) == 2)
    assert moved == ["paint", "view"]


def test_who_withdraws_is_not_moved_and_nobody_is_after_stop(qtbot, turns, loop):
    moved = []

    def first():
        moved.append("first")

    def second():
        moved.append("second")

    turns.ask(first)
    turns.ask(second)
    turns.withdraw(first)
    turns.withdraw(first)
    qtbot.waitUntil(lambda: turns.is_idle)
    assert moved == ["second"]

    turns.ask(first)
    turns.stop()
    before = loop.passes
    qtbot.waitUntil(lambda: loop.passes > before + 5 and not turns._apart.isActive())
    assert moved == ["second"]
    turns.ask(first)
    qtbot.waitUntil(lambda: moved == ["second", "first"])


def test_how_long_a_move_takes_is_no_time_to_paint_it(qtbot, turns):
    done, timer = [], QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: done.append("paint"))

    def long_move():
        time.sleep(0.03)
        timer.start(5)

    turns.ask(long_move)
    turns.ask(lambda: done.append("next"))
    qtbot.waitUntil(lambda: len(done) == 2)
    assert done == ["paint", "next"]
