"""Wishes are served by importance, in turn among equals, and not while they are out of date."""

import dataclasses
import math

from napari_cryoet.streaming.wishes import Priority, Run, Wishes, staggered

FIRST, COARSE, VIEW, AHEAD, BACKGROUND = Priority


def run(*keys):
    return Run(keys, lambda _keys, _stop: {})


def served(wishes, lowest=BACKGROUND):
    """Everything that is sent, in order."""
    keys = []
    while (found := wishes.next(lowest)) is not None:
        keys += found[1].keys
        wishes.pop(served_at=float(len(keys)))
    return keys


def test_what_is_more_important_comes_first_whosever_it_is():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a")), (BACKGROUND, run("b"))])
    wishes.set("other", [(FIRST, run("c")), (COARSE, run("e")), (AHEAD, run("d"))])
    assert served(wishes) == ["c", "e", "a", "d", "b"]


def test_equals_take_turns():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run(f"one {i}")) for i in range(3)])
    wishes.set("other", [(VIEW, run(f"other {i}")) for i in range(3)])
    assert [key.split()[0] for key in served(wishes)] == ["one", "other"] * 3


def test_a_new_wish_does_not_jump_the_queue():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a"))])
    wishes.set("other", [(VIEW, run("b"))])
    wishes.next(BACKGROUND)
    wishes.pop(served_at=1.0)
    wishes.set("one", [(VIEW, run("c"))])
    assert served(wishes) == ["b", "c"]


def test_what_is_less_important_than_allowed_waits():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a")), (AHEAD, run("b"))])
    assert served(wishes, VIEW) == ["a"]
    assert wishes.count() == 1


def test_what_was_sent_is_still_wanted_until_the_wish_changes():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a", "b"))])
    served(wishes)
    assert wishes.any_wants(["b"])
    wishes.set("one", [])
    assert not wishes.any_wants(["b"])


def test_what_is_wanted_only_if_it_is_under_way_is_not_sent():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a"))], [(VIEW, run("b"))])
    assert wishes.any_wants(["b"])
    assert served(wishes) == ["a"]


def test_what_is_out_of_date_is_not_sent_until_its_picture_was_asked():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("old"))])
    wishes.ask("one", 5.0, is_outdated=True)
    assert served(wishes) == []
    assert wishes.next_to_ask(4.9) is None
    assert wishes.next_time() == 5.0
    assert wishes.next_to_ask(5.0) == "one"
    wishes.set("one", [(VIEW, run("new"))])
    assert served(wishes) == ["new"]
    assert wishes.next_to_ask(100.0) is None


def test_asking_again_puts_it_off_but_a_look_later_does_not():
    wishes = Wishes()
    wishes.ask("one", 5.0, is_outdated=True)
    wishes.ask("one", 6.0, is_outdated=True)
    wishes.ask("one", 9.0, is_outdated=False)
    assert wishes.next_time() == 6.0


def test_a_wish_goes_on_while_its_picture_waits_to_be_asked_whether_it_is_still():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a"))])
    wishes.ask("one", 5.0, is_outdated=False)
    assert served(wishes) == ["a"]


def test_who_is_dropped_is_neither_asked_nor_served():
    wishes = Wishes()
    wishes.set("one", [(VIEW, run("a"))])
    wishes.ask("one", 1.0, is_outdated=False)
    wishes.drop("one")
    assert (served(wishes), wishes.next_to_ask(2.0), wishes.wanters()) == ([], None, [])


def test_of_many_runs_every_other_of_the_first_is_cut_and_nothing_is_lost():
    runs = [(VIEW, run(*(f"{number}{letter}" for letter in "abc"))) for number in range(6)]

    keys = [each.keys for _, each in staggered(runs, 4)]

    assert keys[:4] == [("0a", "0b", "0c"), ("1a", "1b"), ("2a", "2b", "2c"), ("3a", "3b")]
    assert keys[4:] == [("1c",), ("3c",), ("4a", "4b", "4c"), ("5a", "5b", "5c")]


def test_what_can_be_sent_at_once_is_not_cut_nor_what_is_one_block():
    runs = [(VIEW, run("a", "b")), (VIEW, run("c", "d"))]
    assert staggered(runs, 2) == runs

    single = [(VIEW, run(f"{number}")) for number in range(4)]
    assert [each.keys for _, each in staggered(single, 2)] == [("0",), ("1",), ("2",), ("3",)]


def test_a_picture_is_not_asked_by_two_at_once():
    wishes = Wishes()
    wishes.ask("one", 1.0, is_outdated=True)
    assert wishes.next_to_ask(1.0) == "one"
    wishes.ask("one", 2.0, is_outdated=True)  # something changed while it answers
    assert (wishes.next_to_ask(3.0), wishes.next_time(), wishes.count()) == (None, math.inf, 0)
    wishes.has_answered("one")
    assert wishes.count() == 1
    assert wishes.next_to_ask(3.0) == "one"


def test_what_comes_over_a_busy_line_is_passed_over():
    wishes = Wishes()
    far = dataclasses.replace(run("far"), line="busy")
    wishes.set("one", [(VIEW, far)])
    wishes.set("two", [(AHEAD, run("near"))])
    assert wishes.next(BACKGROUND)[1].keys == ("far",)
    assert wishes.next(BACKGROUND, {"busy"})[1].keys == ("near",)
    assert wishes.next(VIEW, {"busy"}) is None
