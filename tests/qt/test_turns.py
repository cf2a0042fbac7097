"""Views of a window move one after the other."""

import time
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_cryoet._qt import redraws
from napari_cryoet._qt.redraws import Redraws
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
    turns = Turns(redraws=Redraws())
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


class Layer:
    """Is drawn again once."""

    view, shows_nothing, is_volume = "main", False, False

    def __init__(self, done):
        self._done = done

    def may_redraw_at(self):
        return 0.0

    def redraw(self):
        self._done.append("layer")
        return True


def test_a_layer_that_is_drawn_again_is_painted_before_the_next_view_moves(qtbot, monkeypatch):
    monkeypatch.setattr(redraws, "time", SimpleNamespace(monotonic=lambda: 100.0))  # however long the machine stands
    drawn_again, done, timer = Redraws(), [], QTimer()
    turns, layer = Turns(redraws=drawn_again), Layer(done)
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: done.append("paint"))
    timer.start(5)  # as long as Qt waits before it paints
    drawn_again.wait_s(layer)
    drawn_again.redraw()
    turns.ask(lambda: done.append("view"))
    qtbot.waitUntil(lambda: turns.is_idle)
    assert done == ["layer", "paint", "view"]


def test_no_layer_is_drawn_again_while_a_view_is_about_to_move(qtbot, turns):
    layer = Layer([])
    turns.ask(lambda: None)
    assert turns._redraws.wait_s(layer) > 0


def test_no_layer_is_drawn_again_before_a_view_that_has_just_moved_is_painted(qtbot, turns, monkeypatch):
    clock, waits = SimpleNamespace(now=100.0), []
    monkeypatch.setattr(redraws, "time", SimpleNamespace(monotonic=lambda: clock.now))
    layer = Layer([])

    def late():
        clock.now += 1.0  # since it asked
        waits.append(turns._redraws.wait_s(layer))

    turns.ask(late)
    qtbot.waitUntil(lambda: turns.is_idle)
    assert waits == [0.0]
    assert turns._redraws.wait_s(layer) > 0

    clock.now += 1.0
    assert turns._redraws.wait_s(layer) == 0
    turns.take()  # the viewer has moved by itself
    assert turns._redraws.wait_s(Layer([])) > 0


def test_no_second_layer_is_drawn_again_while_a_view_waits_for_the_first_to_be_painted(qtbot, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(redraws, "time", SimpleNamespace(monotonic=lambda: clock.now))
    drawn = Redraws()
    turns = Turns(redraws=drawn)
    turns._apart.setInterval(600_000)  # so that it still waits when one looks
    turns.ask(lambda: None)
    clock.now += 1.0  # the window was busy
    first, second = Layer([]), Layer([])
    drawn.wait_s(first)
    drawn.redraw()
    qtbot.waitUntil(lambda: turns._has_let_paint)
    clock.now += 0.013
    assert not turns.is_idle
    assert drawn.wait_s(second) > 0
    turns.stop()


def test_layers_that_are_drawn_again_all_the_time_hold_up_no_view(qtbot):
    class Busy(Redraws):
        def since_drawn_s(self):
            return 0.0  # as with many layers in several views

    moved, turns = [], Turns(redraws=Busy())
    for name in "ab":
        turns.ask(lambda name=name: moved.append(name))
    qtbot.waitUntil(lambda: turns.is_idle)
    assert moved == ["a", "b"]


def test_views_that_ask_again_and_again_keep_no_layer_from_being_drawn(turns, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(redraws, "time", SimpleNamespace(monotonic=lambda: clock.now))
    done = []
    layer = Layer(done)
    for _ in range(125):  # a second of a mouse
        turns.ask(lambda: None)
        if not done:
            turns._redraws.wait_s(layer)
        clock.now += 0.008
        turns._redraws.redraw()
    assert done == ["layer"]


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
