"""What is looked at is never kept waiting by what may be looked at later."""

import math

from napari_cryoet.streaming.admission import has_room_ahead, lowest_priority, would_delay_first_sight
from napari_cryoet.streaming.flights import Flight
from napari_cryoet.streaming.line import Line
from napari_cryoet.streaming.wishes import Priority, Run


def flights(priority, count, size_bytes=1000):
    return [Flight(Run((number,), dict, size_bytes), (number,), priority) for number in range(count)]


def narrow_line(bytes_per_s=1000.0):
    line = Line()
    line.bytes_per_s = bytes_per_s
    return line


def test_an_idle_line_takes_anything():
    assert lowest_priority([], 8) == Priority.BACKGROUND
    assert lowest_priority(flights(None, 3), 8) == Priority.BACKGROUND


def test_nothing_for_the_background_is_sent_beside_what_is_looked_at():
    assert lowest_priority(flights(Priority.VIEW, 1), 8) == Priority.AHEAD
    assert lowest_priority(flights(Priority.BACKGROUND, 4), 8) == Priority.AHEAD


def test_what_nobody_looks_at_leaves_a_quarter_of_the_requests_to_others():
    assert lowest_priority(flights(Priority.AHEAD, 5), 8) == Priority.AHEAD
    assert lowest_priority(flights(Priority.AHEAD, 6), 8) == Priority.VIEW
    assert lowest_priority(flights(Priority.AHEAD, 1), 1) == Priority.VIEW


def test_as_much_is_fetched_ahead_as_the_line_carries_soon():
    assert has_room_ahead([], narrow_line(), 10**9)
    assert not has_room_ahead(flights(Priority.AHEAD, 1), narrow_line(), 10**9)
    assert has_room_ahead(flights(Priority.VIEW, 3), narrow_line(), 10**9)
    assert has_room_ahead(flights(Priority.AHEAD, 9), narrow_line(math.inf), 10**9)


def test_a_narrow_line_first_brings_a_picture_that_shows_nothing_yet():
    first, view = flights(Priority.FIRST_SIGHT, 1), flights(Priority.VIEW, 1)
    assert would_delay_first_sight(first, narrow_line(), 10**6)
    assert not would_delay_first_sight(first, narrow_line(math.inf), 10**6)
    assert not would_delay_first_sight(view, narrow_line(), 10**6)
