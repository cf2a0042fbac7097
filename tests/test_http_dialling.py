"""A name of several addresses is connected to without waiting for those that don't answer."""

from __future__ import annotations

import errno
import select
import socket
import sys
import threading
from contextlib import closing, suppress
from types import SimpleNamespace

import pytest

from command_line import wait_until
from many_addresses import SILENT, UNREACHABLE, ManyAddresses
from napari_cryoet import http_dialling
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.http_dialling import Address, DialError, Dialler, Manner, in_turn

NAME = "files.test"
LONG_S = 1000.0  # longer than any test may take


@pytest.fixture
def world(monkeypatch):
    return ManyAddresses(monkeypatch)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield listening


@pytest.fixture
def port(listener):
    return listener.getsockname()[1]


@pytest.fixture
def clock(monkeypatch):
    """The time as diallers see it; nobody moves it but the test."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(http_dialling.time, "monotonic", lambda: clock.now)
    return clock


def manner(timeout_s=LONG_S, source_address=None, socket_options=(), stop=None):
    return Manner(timeout_s, source_address, socket_options, stop or threading.Event())


def dialled(dialler, world, manner=manner()):  # noqa: B008 - it is frozen
    """The address that was connected to."""
    with closing(dialler.dial(NAME, 80, manner)) as sock:
        return next(
            address
            for address, each in zip(reversed(world.tried), reversed(world.sockets), strict=True)
            if each is sock
        )


def v4(host):
    return Address(socket.AF_INET, socket.SOCK_STREAM, 0, (host, 80))


def v6(host):
    return Address(socket.AF_INET6, socket.SOCK_STREAM, 0, (host, 80, 0, 0))


# --- in which order


def test_families_take_turns_from_the_one_that_the_system_names_first():
    found = [v6("1::1"), v6("1::2"), v6("1::3"), v4("1.1.1.1"), v4("1.1.1.2")]
    assert [str(each) for each in in_turn(found)] == ["1::1", "1.1.1.1", "1::2", "1.1.1.2", "1::3"]
    assert [str(each) for each in in_turn(found[::-1])] == ["1.1.1.2", "1::3", "1.1.1.1", "1::2", "1::1"]


def test_an_address_that_is_found_twice_is_tried_once():
    assert in_turn([v4("1.1.1.1"), v4("1.1.1.1")]) == [v4("1.1.1.1")]


def test_what_is_preferred_comes_first_and_its_family_where_it_is_not_there_any_more():
    found = [v6("1::1"), v6("1::2"), v4("1.1.1.1"), v4("1.1.1.2")]
    assert in_turn(found, v4("1.1.1.2"))[:2] == [v4("1.1.1.2"), v4("1.1.1.1")]
    assert in_turn(found, v4("9.9.9.9")) == [v4("1.1.1.1"), v6("1::1"), v4("1.1.1.2"), v6("1::2")]
    assert in_turn([], v4("1.1.1.1")) == []


# --- which one is taken


def test_one_that_never_answers_is_not_waited_for(world, port):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1"]
    world.fates = {"2001:db8::1": SILENT, "192.0.2.1": port}
    assert dialled(Dialler(delay_s=0.01), world) == "192.0.2.1"
    assert world.tried == ["2001:db8::1", "192.0.2.1"]
    assert world.n_open == 0


def test_one_that_fails_gives_way_at_once(world, port):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and nobody else gets it meanwhile
        world.fates = {"2001:db8::1": UNREACHABLE, "192.0.2.1": unused.getsockname()[1], "192.0.2.2": port}
        assert dialled(Dialler(delay_s=LONG_S), world) == "192.0.2.2"
    assert world.n_open == 0


def test_one_that_answers_in_time_is_the_only_one_that_is_tried(world, port):
    world.names[NAME] = ["192.0.2.1", "192.0.2.2"]
    world.fates = {"192.0.2.1": port, "192.0.2.2": port}
    assert dialled(Dialler(delay_s=LONG_S), world) == "192.0.2.1"
    assert world.tried == ["192.0.2.1"]


def test_one_that_has_answered_is_taken_though_the_next_one_is_due_by_then(world, port, clock):
    """A computer may be busy with something else meanwhile."""
    world.names[NAME] = ["192.0.2.1", "192.0.2.2"]
    world.fates = {"192.0.2.1": port, "192.0.2.2": port}
    connect = world.connect

    def take_long(sock, address):
        code = connect(sock, address)
        select.select([], [sock], [], 30)
        clock.now += 1
        return code

    world.connect = take_long
    assert dialled(Dialler(delay_s=0.01), world) == "192.0.2.1"
    assert world.tried == ["192.0.2.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere those beyond the queue are refused, or let in")
def test_one_that_answers_late_is_taken_though_others_were_tried_since(world):
    """As across an ocean, where each answer takes longer than the delay."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy, socket.create_connection(busy.getsockname()):
        world.names[NAME] = ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
        world.fates = {"192.0.2.1": busy.getsockname()[1], "2001:db8::1": SILENT, "192.0.2.2": SILENT}
        dialler, found = Dialler(delay_s=0.01), []
        thread = threading.Thread(target=lambda: found.append(dialled(dialler, world)))
        thread.start()
        wait_until(lambda: len(world.tried) == 3)
        busy.accept()[0].close()  # there is room for one more
        thread.join(30)
    assert found == ["192.0.2.1"]
    assert world.n_open == 0


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_localhost_is_connected_to_whichever_of_its_addresses_is_listened_to(family, monkeypatch):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this computer has no such addresses")
    with listening:
        number = listening.getsockname()[1]
        found = [v6("::1")._replace(place=("::1", number, 0, 0)), v4("")._replace(place=("127.0.0.1", number))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(*each[:3], "", each.place) for each in found])
        with closing(Dialler(delay_s=LONG_S).dial("localhost", number, manner())) as sock:
            assert sock.getpeername()[:2] == (host, number)


def test_a_connection_comes_as_it_was_wanted(world, port):
    world.names[NAME] = ["192.0.2.1"]
    world.fates = {"192.0.2.1": port}
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with socket.create_server(("127.0.0.1", 0)) as gone:
        source = gone.getsockname()
    with closing(Dialler().dial(NAME, 80, manner(7.0, source, options))) as sock:
        assert sock.gettimeout() == 7.0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockname() == source
    with closing(Dialler().dial(NAME, 80, manner(None, socket_options=None))) as sock:
        assert sock.gettimeout() is None


def test_a_source_address_leaves_out_addresses_of_the_other_family(world, port):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1"]
    world.fates = {"2001:db8::1": SILENT, "192.0.2.1": port}
    assert dialled(Dialler(delay_s=LONG_S), world, manner(source_address=("127.0.0.1", 0))) == "192.0.2.1"
    assert world.tried == ["192.0.2.1"]


def test_an_address_in_brackets_is_connected_to(listener, port):
    Dialler().dial("[127.0.0.1]", port, manner()).close()


# --- what is remembered


def test_what_overtook_others_is_tried_before_them_for_a_while(world, port, clock, monkeypatch):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1"]
    world.fates = {"2001:db8::1": UNREACHABLE, "192.0.2.1": port}
    dialler = Dialler(remembered_s=60)
    dialled(dialler, world)
    clock.now = 59.0
    world.tried.clear(), world.sockets.clear()
    dialled(dialler, world)
    assert world.tried == ["192.0.2.1"]
    clock.now = 60.0  # it isn't any newer by that
    world.tried.clear(), world.sockets.clear()
    dialled(dialler, world)
    assert world.tried == ["2001:db8::1", "192.0.2.1"]


def test_what_was_preferred_is_left_for_what_answers_by_now(world, port):
    world.names[NAME] = ["192.0.2.1", "192.0.2.2"]
    world.fates = {"192.0.2.1": UNREACHABLE, "192.0.2.2": port}
    dialler = Dialler(delay_s=0.01)
    assert dialled(dialler, world) == "192.0.2.2"
    world.fates = {"192.0.2.1": port, "192.0.2.2": SILENT}
    world.tried.clear(), world.sockets.clear()
    assert dialled(dialler, world) == "192.0.2.1"
    assert world.tried == ["192.0.2.2", "192.0.2.1"]
    world.tried.clear(), world.sockets.clear()
    assert dialled(dialler, world) == "192.0.2.1"
    assert world.tried == ["192.0.2.1"]


def test_the_first_of_many_that_share_the_work_is_not_kept_to(world, port):
    world.names[NAME] = ["192.0.2.1", "192.0.2.2"]
    world.fates = {"192.0.2.1": port, "192.0.2.2": port}
    dialler = Dialler(delay_s=LONG_S)
    dialled(dialler, world)
    world.names[NAME].reverse()  # as name servers do in turn
    assert dialled(dialler, world) == "192.0.2.2"


def test_nothing_is_preferred_any_more_once_nothing_answers(world, port):
    world.names[NAME] = ["192.0.2.1", "192.0.2.2"]
    world.fates = {"192.0.2.1": UNREACHABLE, "192.0.2.2": port}
    dialler = Dialler()
    dialled(dialler, world)
    world.fates["192.0.2.2"] = UNREACHABLE
    with suppress(DialError):
        dialler.dial(NAME, 80, manner())
    world.fates = {"192.0.2.1": port, "192.0.2.2": port}
    assert dialled(dialler, world) == "192.0.2.1"


def test_what_is_remembered_is_bounded(world, port, monkeypatch):
    monkeypatch.setattr(http_dialling, "_MOST_REMEMBERED", 3)
    world.fates = {"192.0.2.1": UNREACHABLE, "192.0.2.2": port}
    dialler = Dialler()
    for number in range(10):
        world.names[f"{number}.test"] = ["192.0.2.1", "192.0.2.2"]
        dialler.dial(f"{number}.test", 80, manner()).close()
        assert 0 < len(dialler._preferred) <= 3


# --- no connection


def test_the_time_is_for_all_addresses_together(world, clock):
    world.names[NAME] = [f"192.0.2.{number}" for number in range(1, 9)]
    world.fates = dict.fromkeys(world.names[NAME], SILENT)
    connect = world.connect

    def take_a_second(sock, address):
        clock.now += 1
        return connect(sock, address)

    world.connect = take_a_second
    with pytest.raises(DialError) as caught:
        Dialler(delay_s=0).dial(NAME, 80, manner(3.0))
    assert caught.value.host == NAME
    assert caught.value.tried[:3] == (("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))
    assert len(caught.value.tried) < 5
    assert world.n_open == 0


def test_an_error_says_what_was_tried(world):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1"]
    world.fates = dict.fromkeys(world.names[NAME], UNREACHABLE)
    with pytest.raises(
        DialError, match=r"files\.test \(2001:db8::1: .*unreachable, 192\.0\.2\.1: .*unreachable\)"
    ) as caught:
        Dialler().dial(NAME, 80, manner())
    assert [error.errno for _address, error in caught.value.tried] == [errno.ENETUNREACH] * 2
    assert world.n_open == 0


def test_a_name_without_addresses_is_an_error(world):
    world.names[NAME] = []
    with pytest.raises(DialError, match="no address"):
        Dialler().dial(NAME, 80, manner())


def test_a_system_that_has_no_socket_to_give_says_so(world, monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    world.names[NAME] = ["192.0.2.1"]
    monkeypatch.setattr(http_dialling.socket, "socket", none_left)
    with pytest.raises(DialError, match="Too many open files"):
        Dialler().dial(NAME, 80, manner())


def test_a_stop_ends_it_and_leaves_no_socket(world):
    world.names[NAME] = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    world.fates = dict.fromkeys(world.names[NAME], SILENT)
    stop, raised = threading.Event(), []

    def dial():
        try:
            Dialler(delay_s=0.01).dial(NAME, 80, manner(stop=stop))
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=dial)
    thread.start()
    wait_until(lambda: len(world.tried) == 3)
    stop.set()
    thread.join(30)
    assert raised
    assert not thread.is_alive()
    assert world.n_open == 0
