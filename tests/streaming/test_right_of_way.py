"""Who draws goes first, but nobody waits for long."""

import sys
import threading

import pytest

from napari_cryoet.short_turns import SHORT_S, ShortTurns
from napari_cryoet.streaming import right_of_way
from napari_cryoet.streaming.right_of_way import RightOfWay, YieldingSource
from napari_cryoet.streaming.sources import Piece

MUCH, LITTLE = b"x" * 2**20, b"x" * 528


class Source:
    """Gives what it has."""

    url = "https://example.org/a.zarr"

    def __init__(self, content):
        self.content, self.bytes_read = content, 0

    def read(self, key, **_):
        return Piece(self.content, "1", None) if key == "here" else None


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(right_of_way, "_LONGEST_WAIT_S", 60.0)
    monkeypatch.setattr(right_of_way, "_LONGEST_S", 60.0)


def test_much_comes_only_when_the_picture_is_drawn(patient):
    way, source, order, come = RightOfWay(), Source(MUCH), [], threading.Event()
    way.take()

    def on_much():
        order.append("come")
        come.set()

    def read():
        assert YieldingSource(source, way, on_much).read("here").content == MUCH
        order.append("read")

    reader = threading.Thread(target=read)
    reader.start()
    assert come.wait(30)
    order.append("drawn")
    way.give_back()
    reader.join(30)
    assert order == ["come", "drawn", "read"]


@pytest.mark.parametrize(("content", "key"), [(LITTLE, "here"), (MUCH, "nowhere")])
def test_what_is_not_to_be_decoded_does_not_wait(content, key, patient):
    way = RightOfWay()
    way.take()
    come = []
    piece = YieldingSource(Source(content), way, lambda: come.append(key)).read(key)
    assert (piece is None) == (key == "nowhere")
    assert come == []


def test_who_never_says_that_it_is_done_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(right_of_way, "_LONGEST_S", 60.0)
    way, waited_s = RightOfWay(), []
    monkeypatch.setattr(way._free, "wait", waited_s.append)
    way.take()
    way.let_pass()
    monkeypatch.setattr(right_of_way, "_LONGEST_WAIT_S", 60.0)
    monkeypatch.setattr(right_of_way, "_LONGEST_S", 0.0)
    way.take()
    way.let_pass()
    assert waited_s == [0.03, 0.0]


def test_who_computes_lets_go_sooner_while_somebody_draws(monkeypatch):
    monkeypatch.setattr(right_of_way, "short_turns", ShortTurns())  # some ways of other tests are still taken
    monkeypatch.setattr(sys, "getswitchinterval", lambda: 0.005)
    set_s = []
    monkeypatch.setattr(sys, "setswitchinterval", set_s.append)
    way, other = RightOfWay(), RightOfWay()
    way.take()
    way.take()  # each layer that is drawn does
    other.take()
    way.give_back()
    way.give_back()
    assert set_s == [SHORT_S]
    other.give_back()
    assert set_s[1:] == [pytest.approx(0.005, abs=1e-6)]
