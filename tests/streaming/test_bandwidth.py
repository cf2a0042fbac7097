"""The bandwidth estimate: unknown at first, measured on a full connection, not lowered by light use."""

import math

import pytest

from napari_cryoet.streaming.engine import REQUESTS, Bandwidth

MB = 10**6


class Traffic:
    """Requests on a connection, with a clock that the test advances."""

    def __init__(self):
        self.bandwidth, self.now = Bandwidth(), 100.0

    def full(self, requests, size_bytes, *, rate, latency_s=0.06):
        """Send as many requests at once as are allowed, until all are answered at ``rate``."""
        starts, free_at = [], self.now
        while requests or starts:
            while requests and len(starts) < self.bandwidth.requests:
                self.bandwidth.began(self.now)
                starts.append(self.now)
                requests -= 1
            began = starts.pop(0)
            free_at = max(free_at, began + latency_s) + size_bytes / rate
            self.now = free_at
            self.bandwidth.ended(self.now, size_bytes, self.now - began)

    def single(self, size_bytes, duration_s):
        self.bandwidth.began(self.now)
        self.now += duration_s
        self.bandwidth.ended(self.now, size_bytes, duration_s)


def test_an_unknown_connection_counts_as_fast():
    bandwidth = Bandwidth()
    assert math.isinf(bandwidth.bytes_per_s)
    assert bandwidth.may_carry_more(10**9, 10**9)
    assert not bandwidth.saves_by_cancelling(0.0, 10**9)


@pytest.mark.parametrize(("rate", "latency_s"), [(50 * MB, 0.06), (2 * MB, 0.2), (300 * MB, 0.02)])
def test_bandwidth_is_measured_on_a_full_connection(rate, latency_s):
    traffic = Traffic()
    traffic.full(200, 420_000, rate=rate, latency_s=latency_s)
    assert traffic.bandwidth.bytes_per_s == pytest.approx(rate, rel=0.2)


def test_a_slow_connection_is_detected_after_one_round():
    traffic = Traffic()
    traffic.full(17, 420_000, rate=2 * MB, latency_s=0.2)
    assert traffic.bandwidth.bytes_per_s == pytest.approx(2 * MB, rel=0.5)
    traffic.full(48, 420_000, rate=2 * MB, latency_s=0.2)
    assert not traffic.bandwidth.may_carry_more(10 * MB, 420_000)


def test_light_use_does_not_lower_the_estimate():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=50 * MB)
    width = traffic.bandwidth.bytes_per_s
    for _ in range(20):
        traffic.single(420_000, 0.1)
    assert traffic.bandwidth.bytes_per_s >= width


def test_the_estimate_follows_changes_in_bandwidth():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=50 * MB)
    traffic.full(100, 420_000, rate=5 * MB)
    assert traffic.bandwidth.bytes_per_s == pytest.approx(5 * MB, rel=0.3)
    traffic.full(100, 420_000, rate=50 * MB)
    assert traffic.bandwidth.bytes_per_s == pytest.approx(50 * MB, rel=0.3)


def test_local_answers_are_ignored():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=5 * MB)
    before = traffic.bandwidth.bytes_per_s, traffic.bandwidth.quickest_s
    for _ in range(50):
        traffic.single(420_000, 0.001)
    assert (traffic.bandwidth.bytes_per_s, traffic.bandwidth.quickest_s) == before


def test_prefetching_may_fill_the_connection_for_one_round_trip():
    bandwidth = Bandwidth()
    bandwidth.bytes_per_s, bandwidth.quickest_s = 10 * MB, 0.1
    assert bandwidth.may_carry_more(0, 100 * MB)  # one request always
    assert bandwidth.may_carry_more(MB, MB)
    assert not bandwidth.may_carry_more(2 * MB, MB)


def test_only_large_unfinished_requests_are_worth_cancelling():
    traffic = Traffic()
    traffic.full(100, 420_000, rate=2 * MB, latency_s=0.2)
    bandwidth = traffic.bandwidth
    bandwidth.began(traffic.now)
    assert bandwidth.saves_by_cancelling(0.0, 40 * MB)
    assert not bandwidth.saves_by_cancelling(0.0, 1000)
    assert not bandwidth.saves_by_cancelling(60.0, 40 * MB)  # nearly there


def test_more_requests_are_sent_while_more_of_them_bring_more():
    traffic = Traffic()
    traffic.full(3000, 500_000, rate=1000 * MB, latency_s=0.15)  # 300 requests would fill it
    assert traffic.bandwidth.requests == max(REQUESTS)
    assert traffic.bandwidth.bytes_per_s > 100 * MB


def test_fewer_requests_are_sent_where_they_bring_as_much():
    traffic = Traffic()
    traffic.full(3000, 500_000, rate=2 * MB, latency_s=0.02)  # one request fills it
    assert traffic.bandwidth.requests < 16


def test_a_server_that_refuses_gets_fewer_requests_for_a_while():
    traffic = Traffic()
    before = traffic.bandwidth.requests
    traffic.bandwidth.refused(traffic.now)
    fewer = traffic.bandwidth.requests
    assert fewer < before
    traffic.full(60, 500_000, rate=1000 * MB, latency_s=0.15)
    assert traffic.bandwidth.requests <= fewer
