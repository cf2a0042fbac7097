"""Streamed layers are drawn again together, and leave the window time for everything else."""

import pytest

from napari_cryoet._qt import redraws
from napari_cryoet._qt.redraws import Redraws


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        self.now += 1e-11  # it never stands still
        return self.now


class Layer:
    """Takes so long to draw, and may be drawn from some moment on."""

    def __init__(self, clock, duration_s=0.02, may_at=0.0, view="main"):
        self.clock, self.duration_s, self.may_at, self.drawn_at = clock, duration_s, may_at, []
        self.view, self.shows_nothing, self.is_volume = view, False, False

    def may_redraw_at(self):
        return self.may_at

    def redraw(self):
        self.drawn_at.append(self.clock.now)
        self.clock.now += self.duration_s
        return self.duration_s > 0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(redraws, "time", clock)
    return clock


def test_those_who_wait_are_drawn_together_once(clock):
    turns, layers = Redraws(), [Layer(clock) for _ in range(3)]
    assert [turns.wait_s(layer) for layer in layers] == [0, 0, 0]
    turns.redraw()
    clock.now += 10
    turns.redraw()
    assert [len(layer.drawn_at) for layer in layers] == [1, 1, 1]
    assert not any(turns.is_waiting(layer) for layer in layers)


def test_after_drawing_the_window_is_left_alone_for_longer_than_that_took(clock):
    turns, layers = Redraws(), [Layer(clock) for _ in range(3)]
    for layer in layers:
        turns.wait_s(layer)
    turns.redraw()
    ended = clock.now
    wait_s = turns.wait_s(layers[0])
    assert wait_s >= 3 * 0.02
    turns.redraw()
    assert len(layers[0].drawn_at) == 1
    clock.now = ended + wait_s
    turns.redraw()
    assert len(layers[0].drawn_at) == 2


def test_views_are_drawn_one_after_the_other_and_none_is_passed_over(clock):
    turns = Redraws()
    layers = [Layer(clock, view=view) for view in ("main", "XZ", "main", "YZ")]
    drawn = []
    for _ in range(6):
        for layer in layers:
            turns.wait_s(layer)  # there is news for all of them all the time
        clock.now += turns.wait_s(layers[0])
        before = [len(layer.drawn_at) for layer in layers]
        turns.redraw()
        drawn.append([len(layer.drawn_at) - n for layer, n in zip(layers, before, strict=True)])
    assert drawn == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]] * 2


def test_a_view_of_which_nothing_was_seen_comes_first(clock):
    turns = Redraws()
    early, blank = Layer(clock, view="main"), Layer(clock, view="XZ")
    blank.shows_nothing = True
    turns.wait_s(early)
    turns.wait_s(blank)
    turns.redraw()
    assert (len(early.drawn_at), len(blank.drawn_at)) == (0, 1)
    assert turns.is_waiting(early)


def test_drawing_for_another_reason_counts_too(clock):
    turns, layer = Redraws(), Layer(clock)
    turns.spent(0.03)
    assert turns.wait_s(layer) >= 0.03


def test_who_may_not_yet_by_its_own_pace_waits_on(clock):
    turns = Redraws()
    early, late = Layer(clock), Layer(clock, may_at=clock.now + 0.3)
    turns.wait_s(early)
    assert turns.wait_s(late) == pytest.approx(0.3)
    turns.redraw()
    assert early.drawn_at
    assert not late.drawn_at
    assert turns.is_waiting(late)


def test_a_picture_that_takes_very_long_does_not_stop_all_others(clock):
    turns, layer = Redraws(), Layer(clock)
    turns.spent(60.0)
    assert turns.wait_s(layer) < 1


def test_who_shows_nothing_at_all_waits_for_no_rest_and_takes_nobody_along(clock):
    turns, blank, other = Redraws(), Layer(clock), Layer(clock)
    blank.shows_nothing = True
    turns.spent(0.1)
    assert turns.wait_s(blank) == 0
    assert turns.wait_s(other) > 0
    turns.redraw()
    assert blank.drawn_at
    assert not other.drawn_at
    assert turns.is_waiting(other)


def test_who_shows_nothing_keeps_its_own_pace(clock):
    turns, blank = Redraws(), Layer(clock, may_at=clock.now + 0.3)
    blank.shows_nothing = True
    assert turns.wait_s(blank) == pytest.approx(0.3)
    turns.redraw()
    assert not blank.drawn_at


def test_who_makes_way_draws_nothing_until_that_is_over(clock):
    turns, layer = Redraws(), Layer(clock)
    turns.make_way(0.012)
    assert turns.wait_s(layer) == pytest.approx(0.012)
    turns.redraw()
    assert not layer.drawn_at
    clock.now += 0.012
    turns.redraw()
    assert layer.drawn_at


def test_it_is_known_how_long_ago_something_was_drawn(clock):
    turns, layer, idle = Redraws(), Layer(clock), Layer(clock, duration_s=0.0)
    turns.wait_s(idle)
    turns.redraw()
    assert idle.drawn_at
    assert turns.since_drawn_s() > 1e9, "what needed no drawing waits for no paint"
    turns.wait_s(layer)
    turns.redraw()
    clock.now += 0.003
    assert turns.since_drawn_s() == pytest.approx(0.003)


def stepping(turns, clock, layers, pauses_s):
    """Take a step through all layers after each of some pauses, and have news for them after the last one."""
    for pause_s in pauses_s:
        clock.now += pause_s
        for layer in layers:
            turns.step(layer, clock.now)
    return [turns.wait_s(layer) for layer in layers]


def drawn_slowly(clock, duration_s=0.015):
    """What draws three layers again, and has seen how long that takes."""
    turns, layers = Redraws(), [Layer(clock, duration_s) for _ in range(3)]
    for layer in layers:
        turns.wait_s(layer)
    turns.redraw()
    clock.now += 10
    return turns, layers


def test_what_takes_long_is_not_drawn_just_before_the_next_step(clock):
    turns, layers = drawn_slowly(clock)
    assert stepping(turns, clock, layers, [0.0, 0.14, 0.14]) == [0, 0, 0], "there is time for it yet"
    clock.now += 0.02  # 120 ms before the next one, and drawing and painting takes 135
    assert [turns.wait_s(layer) for layer in layers] == pytest.approx([0.26] * 3)
    turns.redraw()
    assert [len(layer.drawn_at) for layer in layers] == [1, 1, 1]
    clock.now += 0.26  # no step has come
    turns.redraw()
    assert [len(layer.drawn_at) for layer in layers] == [2, 2, 2]


def test_a_step_that_comes_puts_it_off_again(clock):
    turns, layers = drawn_slowly(clock)
    stepping(turns, clock, layers, [0.0, 0.14, 0.14])
    clock.now += 0.1
    assert stepping(turns, clock, layers, [0.04]) == [0, 0, 0]
    clock.now += 0.1
    assert turns.wait_s(layers[0]) == pytest.approx(0.18)


def test_a_step_that_was_late_makes_the_pace_no_slower(clock):
    turns, layers = drawn_slowly(clock)
    stepping(turns, clock, layers, [0.0, 0.13, 0.07])
    clock.now += 0.11  # two pauses of 70 ms would be over at 0.14
    assert turns.wait_s(layers[0]) == pytest.approx(0.03)


@pytest.mark.parametrize(("duration_s", "pause_s"), [(0.003, 0.1), (0.015, 0.2)], ids=["quick to draw", "slow steps"])
def test_nobody_waits_for_steps_without_need(duration_s, pause_s, clock):
    turns, layers = drawn_slowly(clock, duration_s)
    stepping(turns, clock, layers, [0.0, pause_s, pause_s])
    clock.now += pause_s - 0.01
    assert [turns.wait_s(layer) for layer in layers] == [0, 0, 0]


def test_planes_do_not_wait_because_a_volume_took_long_to_draw(clock):
    turns, layer = Redraws(), Layer(clock, 0.3)
    layer.is_volume = True
    turns.wait_s(layer)
    turns.redraw()
    clock.now += 10
    layer.is_volume = False
    stepping(turns, clock, [layer], [0.0, 0.1, 0.1])
    clock.now += 0.05
    assert turns.wait_s(layer) == 0


def test_who_stands_still_does_not_wait_for_steps_of_others(clock):
    turns, layers = drawn_slowly(clock)
    still = Layer(clock, view="XZ")
    stepping(turns, clock, layers, [0.0, 0.1, 0.1])
    clock.now += 0.05
    assert turns.wait_s(still) == 0
    assert turns.wait_s(layers[0]) > 0
