"""How somebody steps through planes, and when they are too fast for the line."""

import pytest

from napari_cryoet.streaming.pace import Pace
from napari_cryoet.streaming.plan import Motion, View


def plane(z):
    return View(0, ((z, z + 1), (0, 100), (0, 100)))


def step(pace, z, at, *, is_late=False, is_lacking=True, before=None):
    pace.step(plane(z - 1 if before is None else before), plane(z), at=at, is_late=is_late)
    pace.began(is_lacking=is_lacking)


def test_what_is_looked_at_first_moves_nowhere():
    pace = Pace()
    pace.step(None, plane(3), at=10.0, is_late=False)
    assert (pace.motion, pace.is_far, pace.is_late, pace.moved_at) == (None, False, False, 10.0)


def test_steps_at_a_pace_are_a_motion():
    pace = Pace()
    step(pace, 4, 10.0)
    step(pace, 5, 10.1)
    assert pace.motion == Motion(0, 1, pytest.approx(10))


def test_only_steps_that_come_late_again_and_again_say_that_the_line_is_too_slow():
    pace = Pace()
    seen = []
    for z, is_late in [(4, False), (5, True), (6, True), (7, True), (8, False)]:
        step(pace, z, 10 + z / 10, is_late=is_late)
        seen.append(pace.is_late)
    assert seen == [False, False, False, True, False]


def test_planes_that_lacked_nothing_say_nothing_of_the_line():
    pace = Pace()
    for z in (4, 5, 6, 7):
        step(pace, z, 10 + z / 10, is_late=z > 4)
    step(pace, 8, 10.8, is_lacking=False, is_late=True)
    step(pace, 9, 10.9)
    assert pace.is_late


def test_a_jump_begins_anew():
    pace = Pace()
    for z in (4, 5, 6, 7):
        step(pace, z, 10 + z / 10, is_late=z > 4)
    step(pace, 80, 20.0, before=7, is_late=True)
    assert (pace.motion, pace.is_far, pace.is_late) == (None, True, False)
