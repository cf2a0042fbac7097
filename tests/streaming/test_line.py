"""What is known of a line: nothing at first, its width once it was full, never less for being used little."""

import math

import pytest

from napari_cryoet.streaming.engine import Line

MB = 10**6


class Traffic:
    """A line under a clock that is moved by hand."""

    def __init__(self):
        self.line, self.now = Line(), 100.0

    def full(self, requests, size_bytes, *, rate, latency_s=0.06, at_once=16):
        """Keep so many requests under way until all are answered, as a line of a width answers them."""
        starts = [self.now] * at_once
        for _ in range(at_once):
            self.line.began(self.now)
        free_at = self.now
        for number in range(requests):
            began = starts.pop(0)
            free_at = max(free_at, began + latency_s) + size_bytes / rate
            self.now = free_at
            self.line.ended(self.now, size_bytes, self.now - began)
            if number < requests - at_once:
                self.line.began(self.now)
                starts.append(self.now)

    def single(self, size_bytes, duration_s):
        self.line.began(self.now)
        self.now += duration_s
        self.line.ended(self.now, size_bytes, duration_s)


def test_a_line_of_which_nothing_is_known_is_taken_for_a_fast_one():
    line = Line()
    assert math.isinf(line.bytes_per_s)
    assert line.may_carry_more(10**9, 10**9)
    assert not line.saves_by_hanging_up(0.0, 10**9)


@pytest.mark.parametrize(("rate", "latency_s"), [(50 * MB, 0.06), (2 * MB, 0.2), (300 * MB, 0.02)])
def test_a_full_line_shows_how_wide_it_is(rate, latency_s):
    traffic = Traffic()
    traffic.full(200, 420_000, rate=rate, latency_s=latency_s)
    assert traffic.line.bytes_per_s == pytest.approx(rate, rel=0.2)


def test_a_slow_line_is_known_after_one_round():
    traffic = Traffic()
    traffic.full(17, 420_000, rate=2 * MB, latency_s=0.2)
    assert traffic.line.bytes_per_s == pytest.approx(2 * MB, rel=0.5)
    traffic.full(48, 420_000, rate=2 * MB, latency_s=0.2)
    assert not traffic.line.may_carry_more(10 * MB, 420_000)


def test_a_line_that_is_used_little_is_not_taken_for_a_narrow_one():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=50 * MB)
    width = traffic.line.bytes_per_s
    for _ in range(20):
        traffic.single(420_000, 0.1)
    assert traffic.line.bytes_per_s >= width


def test_a_line_that_got_slower_is_seen_when_it_is_full_again_and_one_that_got_faster_too():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=50 * MB)
    traffic.full(100, 420_000, rate=5 * MB)
    assert traffic.line.bytes_per_s == pytest.approx(5 * MB, rel=0.3)
    traffic.full(100, 420_000, rate=50 * MB)
    assert traffic.line.bytes_per_s == pytest.approx(50 * MB, rel=0.3)


def test_what_comes_from_this_computer_says_nothing_of_the_line():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=5 * MB)
    before = traffic.line.bytes_per_s, traffic.line.quickest_s
    for _ in range(50):
        traffic.single(420_000, 0.001)
    assert (traffic.line.bytes_per_s, traffic.line.quickest_s) == before


def test_what_is_ahead_may_fill_the_line_for_about_one_answer():
    line = Line()
    line.bytes_per_s, line.quickest_s = 10 * MB, 0.1
    assert line.may_carry_more(0, 100 * MB)  # one request always
    assert line.may_carry_more(MB, MB)
    assert not line.may_carry_more(2 * MB, MB)


def test_hanging_up_pays_only_where_much_is_still_to_come():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=2 * MB, latency_s=0.2)
    line = traffic.line
    line.began(traffic.now)
    assert line.saves_by_hanging_up(0.0, 40 * MB)
    assert not line.saves_by_hanging_up(0.0, 1000)
    assert not line.saves_by_hanging_up(60.0, 40 * MB)  # nearly there
