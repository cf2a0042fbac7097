"""The fetcher's books, without threads: who joins whom, whose turn it is, how much may be under way, what is kept."""

import numpy as np
import pytest

from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.flights import Passenger
from napari_cryoet.streaming.traffic import Traffic
from napari_cryoet.streaming.wishes import Priority, Run

LIMIT = 4


@pytest.fixture
def memory():
    return MemoryCache(10_000)


@pytest.fixture
def traffic(memory):
    return Traffic(memory, LIMIT)


class Picture:
    """Someone who wants blocks."""


def run_of(*keys, **options):
    return Run(keys, lambda _keys, _stop: {}, wire_bytes=100, **options)


def view_of(*names):
    return [(Priority.VIEW, run_of(("image", name))) for name in names]


def names(flights):
    return [flight.keys[0][1] for flight in flights]


def test_what_is_in_memory_is_taken_and_only_the_rest_flies(traffic, memory):
    memory.put("a", np.arange(3), 24)
    blocks = {}
    (flight,) = traffic.board([run_of("a", "b")], blocks)
    assert list(blocks) == ["a"]
    assert flight.keys == ("b",)


def test_who_comes_second_joins_and_who_leaves_takes_nothing_along(traffic):
    first = traffic.board([run_of("a")], {})
    second = traffic.board([run_of("a")], {})
    assert first == second
    traffic.leave(first, 0.0)
    assert traffic.next_flight(0.0) is second[0]


def test_what_all_have_left_is_not_sent_and_is_sent_for_anew(traffic):
    left = traffic.board([run_of("a")], {})
    traffic.leave(left, 0.0)
    assert traffic.next_flight(0.0) is None
    assert traffic.board([run_of("a")], {}) != left


def test_two_runs_of_one_call_that_share_a_flight_wait_for_it_once(traffic):
    flights = traffic.board([run_of("a"), run_of("a")], {})
    traffic.leave(flights, 0.0)
    assert traffic.next_flight(0.0) is None


def test_waiting_and_looking_take_turns(traffic):
    traffic.board([run_of(("script", 1)), run_of(("script", 2))], {})
    traffic.wishes.set(Picture(), view_of("p", "q"))
    assert names(traffic.next_flight(0.0) for _ in range(4)) == [1, "p", 2, "q"]


def test_what_a_picture_wants_comes_though_who_waited_for_it_leaves(traffic):
    waited_for = traffic.board([run_of(("image", name)) for name in "abc"], {})
    traffic.wishes.set(Picture(), view_of("c"))
    assert names(traffic.next_flight(0.0) for _ in range(2)) == ["a", "c"]
    traffic.leave(waited_for, 0.0)
    assert traffic.next_flight(0.0) is None
    assert traffic.flights.keys() == {("image", "a"), ("image", "c")}


def test_what_is_queued_of_a_picture_s_run_is_sent_before_the_rest_of_it(traffic):
    waited_for = traffic.board([run_of(("image", name)) for name in "abc"], {})
    traffic.wishes.set(Picture(), [(Priority.VIEW, run_of(("image", "c"), ("image", "d")))])
    assert names(traffic.next_flight(0.0) for _ in range(2)) == ["a", "c"]
    traffic.leave(waited_for, 0.0)
    assert names([traffic.next_flight(0.0)]) == ["d"]


def test_a_caller_brings_itself_only_what_is_alone(traffic):
    two = traffic.board([run_of("a"), run_of("b")], {})
    assert traffic.take_own(two, 0.0) is None
    traffic.leave(two, 0.0)
    (one,) = traffic.board([run_of("c")], {})
    traffic.wishes.set(Picture(), view_of("p"))
    assert traffic.take_own([one], 0.0) is None  # a picture may want another thread's turn
    traffic.next_flight(0.0)
    traffic.next_flight(0.0)
    (last,) = traffic.board([run_of("d")], {})
    assert traffic.take_own([last], 0.0) is last


def test_half_as_many_as_are_on_the_line_may_be_decoded_besides(traffic):
    traffic.board([run_of(number) for number in range(10)], {})
    sent = [flight for _ in range(10) if (flight := traffic.next_flight(0.0))]
    assert len(sent) == LIMIT
    for flight in sent:
        traffic.leave_the_line(flight, 1.0, flight.size_bytes)
    assert sum(traffic.next_flight(1.0) is not None for _ in range(10)) == LIMIT // 2


def test_hanging_up_spares_what_others_wait_for(traffic):
    (awaited,) = traffic.board([run_of(("image", 1))], {})
    traffic.wishes.set(picture := Picture(), view_of(2, 3))
    sent = [traffic.next_flight(0.0) for _ in range(3)]
    traffic.wishes.set(picture, [])
    traffic.wishes.set(Picture(), view_of(3))
    traffic.hang_up("image")
    assert {flight.keys[0][1]: flight.stop.is_set() for flight in sent} == {1: False, 2: True, 3: False}
    assert not awaited.stop.is_set()


@pytest.mark.parametrize(("is_kept", "is_wanted"), [(True, False), (False, True)])
def test_what_comes_is_kept_where_somebody_wants_it_or_says_so(traffic, memory, is_kept, is_wanted):
    (flight,) = traffic.board([run_of("a", is_kept=is_kept)], {})
    if is_wanted:
        traffic.wishes.set(Picture(), [(Priority.VIEW, run_of("a"))])
    traffic.next_flight(0.0)
    traffic.finish(flight, {"a": np.arange(3)}, 1.0)
    assert "a" in memory


def test_what_is_out_of_date_or_wanted_by_nobody_is_not_kept(traffic, memory):
    key = ("image", "a")
    (stale,) = traffic.board([run_of(key)], {})
    (passing,) = traffic.board([run_of("b", is_kept=False)], {})
    traffic.next_flight(0.0)
    traffic.next_flight(0.0)
    traffic.mark_stale("image")
    traffic.finish(stale, {key: np.arange(3)}, 1.0)
    traffic.finish(passing, {"b": np.arange(3)}, 1.0)
    assert key not in memory
    assert "b" not in memory


def test_nobody_joins_what_is_out_of_date(traffic):
    run = run_of(("image", "a"))
    (stale,) = traffic.board([run], {})
    traffic.next_flight(0.0)
    traffic.mark_stale("image")
    (anew,) = traffic.board([run], {})
    assert anew is not stale
    traffic.finish(stale, {("image", "a"): np.arange(3)}, 1.0)
    assert traffic.board([run], {}) == [anew]


def test_nobody_joins_what_was_abandoned_for_what_would_come_along(traffic):
    runs = [run_of(("closed", name), along=lambda key: [("other", key[1])]) for name in "ab"]
    abandoned = traffic.board(runs, {})
    traffic.next_flight(0.0)
    traffic.abandon("closed")
    traffic.next_flight(0.0)  # what was queued, for those who wait are told by it
    assert all(flight.stop.is_set() for flight in abandoned)
    anew = traffic.board([run_of(("other", name)) for name in "ab"], {})
    assert not set(anew) & set(abandoned)


def test_what_failed_is_sent_for_anew(traffic, memory):
    (failed,) = traffic.board([run_of("a")], {})
    traffic.next_flight(0.0)
    traffic.finish(failed, None, 1.0)
    assert traffic.board([run_of("a")], {}) != [failed]
    assert "a" not in memory


def test_one_value_for_all_takes_no_memory_of_its_own(traffic, memory):
    (flight,) = traffic.board([run_of("a")], {})
    traffic.next_flight(0.0)
    traffic.finish(flight, {"a": np.broadcast_to(np.float32(1), (100, 100, 100))}, 1.0)
    assert "a" in memory  # 4 MB of it would be beyond the limit


def test_a_line_that_waits_for_a_first_sight_holds_up_no_other(traffic):
    traffic.line("far").bytes_per_s = 1.0
    first = (Priority.FIRST_SIGHT, run_of(("image", "far, coarse"), line="far"))
    traffic.wishes.set(Picture(), [first, (Priority.VIEW, run_of(("image", "far"), line="far"))])
    assert names([traffic.next_flight(0.0)]) == ["far, coarse"]
    traffic.wishes.set(Picture(), view_of("near 1", "near 2"))
    assert names([traffic.next_flight(1.0), traffic.next_flight(2.0)]) == ["near 1", "near 2"]
    assert traffic.next_flight(3.0) is None


def test_the_rest_of_something_coarse_comes_after_a_first_sight_and_before_the_view(traffic):
    traffic.line("far").bytes_per_s = 1.0
    priorities = {"sparse": Priority.FIRST_SIGHT, "rest": Priority.COARSE, "view": Priority.VIEW}
    traffic.wishes.set(Picture(), [(why, run_of(("image", name), line="far")) for name, why in priorities.items()])
    first = traffic.next_flight(0.0)
    assert names([first]) == ["sparse"]
    assert traffic.next_flight(1.0) is None
    traffic.finish(first, {}, 2.0)
    assert names([traffic.next_flight(3.0), traffic.next_flight(4.0)]) == ["rest", "view"]


def test_a_line_that_is_full_ahead_holds_up_no_other(traffic):
    traffic.line("far").bytes_per_s = 1.0
    traffic.wishes.set(Picture(), [(Priority.AHEAD, run_of(("image", f"far {i}"), line="far")) for i in range(2)])
    assert names([traffic.next_flight(0.0)]) == ["far 0"]
    traffic.wishes.set(Picture(), [(Priority.AHEAD, run_of(("image", f"near {i}"), line="near")) for i in range(2)])
    assert names([traffic.next_flight(1.0), traffic.next_flight(2.0)]) == ["near 0", "near 1"]
    assert traffic.next_flight(3.0) is None


def to_lines(*names):
    return [(Priority.VIEW, run_of((line, number), line=line)) for line, number in names]


def test_a_line_that_brings_nothing_holds_up_no_other(traffic):
    traffic.wishes.set(Picture(), to_lines(*(("dead", number) for number in range(9))))
    sent = [flight for _ in range(9) if (flight := traffic.next_flight(0.0))]
    assert len(sent) == LIMIT
    traffic.wishes.set(Picture(), to_lines(("alive", 0), ("alive", 1)))
    first = traffic.next_flight(1.0)
    assert first.keys == (("alive", 0),)
    assert traffic.next_flight(1.0) is None  # a quarter of them, and no more
    traffic.finish(first, {}, 2.0)
    assert traffic.next_flight(2.0).keys == (("alive", 1),)


def test_who_waits_is_not_held_up_by_those_who_wait_for_a_line_that_brings_nothing(traffic):
    traffic.board([run_of(("dead", number), line="dead") for number in range(9)], {})
    sent = [flight for _ in range(9) if (flight := traffic.next_flight(0.0))]
    assert len(sent) == LIMIT
    traffic.board([run_of(("alive", number), line="alive") for number in range(2)], {})
    (own,) = traffic.board([run_of(("here", 0), line="")], {})
    assert traffic.next_flight(1.0).keys == (("alive", 0),)
    assert traffic.take_own([own], 1.0) is own
    assert traffic.next_flight(1.0) is None  # there are no more threads than these
    traffic.finish(sent[0], {}, 2.0)
    assert traffic.next_flight(2.0) is None
    traffic.finish(own, {}, 2.0)
    assert traffic.next_flight(2.0) is None  # still as many are in flight as may be


def test_those_who_wait_are_served_in_the_order_in_which_they_came(traffic):
    for number in range(4):
        traffic.board([run_of(("image", number), line="abab"[number])], {}, Passenger())
    assert names(traffic.next_flight(0.0) for _ in range(4)) == [0, 1, 2, 3]


def test_who_comes_after_somebody_who_is_gone_does_not_wait_behind_what_these_left(traffic):
    """What was waited for stays, for others who wait for it, too; the next may have the same place in memory."""
    gone, others = Passenger(), []
    traffic.board([run_of(("image", number)) for number in range(5)], {}, gone)
    place = id(gone)
    del gone
    while id(comes := Passenger()) != place and len(others) < 1000:
        others.append(comes)
    traffic.board([run_of(("image", "next"))], {}, comes)
    assert names(traffic.next_flight(0.0) for _ in range(2)) == [0, "next"]


def test_who_waits_for_little_is_not_served_after_who_waits_for_much(traffic):
    much, little = Passenger(), Passenger()
    traffic.board([run_of(("image", number)) for number in range(5)], {}, much)
    traffic.board([run_of(("image", number)) for number in range(5, 9)], {}, much)  # portion by portion
    assert names(traffic.next_flight(0.0) for _ in range(2)) == [0, 1]
    traffic.board([run_of(("image", "little")), run_of(("image", 7))], {}, little)  # of which one waits already
    assert names(traffic.next_flight(0.0) for _ in range(2)) == [2, "little"]
    for flight in list(traffic.under_way):
        traffic.finish(flight, {}, 1.0)
    assert names(traffic.next_flight(1.0) for _ in range(4)) == [3, 7, 4, 5]
    for flight in list(traffic.under_way):
        traffic.finish(flight, {}, 2.0)
    assert names(traffic.next_flight(2.0) for _ in range(2)) == [6, 8]
    assert traffic.work == 0
