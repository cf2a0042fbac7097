"""HTTP with servers and proxies of several addresses: those that lead nowhere cost next to nothing, and are told of."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from certificates import self_signed
from command_line import wait_until
from fault_server import FaultServer, reply
from forward_proxy import ForwardProxy, no_proxy_named
from many_addresses import SILENT, UNREACHABLE, ManyAddresses
from napari_cryoet import http as http_module
from napari_cryoet import http_connections
from napari_cryoet.errand import THREAD_NAME
from napari_cryoet.exceptions import NetworkError, StoppedError
from napari_cryoet.http import Http
from napari_cryoet.http_dialling import Dialler
from stream_server import StreamServer

NOWHERE, THERE = "2001:db8::1", "192.0.2.1"


@pytest.fixture(autouse=True)
def dialler(monkeypatch):
    """Remembers nothing of other tests, and waits hardly for addresses that are silent."""
    dialler = Dialler(delay_s=0.01)
    monkeypatch.setattr(http_connections, "_dialler", dialler)
    return dialler


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Names no proxy; what a test sets counts at once."""
    with no_proxy_named(monkeypatch):
        yield monkeypatch.setenv


@pytest.fixture
def world(monkeypatch):
    """Here ``files.test`` and ``proxy.test`` have an address of IPv6 that leads nowhere, and another one."""
    world = ManyAddresses(monkeypatch)
    world.names = {name: [NOWHERE, THERE] for name in ("files.test", "proxy.test")}
    world.fates[NOWHERE] = SILENT
    return world


@pytest.fixture
def http():
    client = Http(timeout_s=60, attempts=1)
    yield client
    client.close()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "x").write_bytes(b"pixels")
    with StreamServer(tmp_path) as server:
        yield server


def why_not(http, url):
    with pytest.raises(NetworkError) as caught:
        http.get(url)
    return caught.value


def port_of(files):
    return urlsplit(files.url).port


@pytest.fixture
def closed_port():
    """Where nobody listens, nor anybody else gets to listen meanwhile."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def no_errand_is_left():
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(30)
            assert not thread.is_alive()


# --- it works


def test_many_connections_at_once_get_round_an_address_that_is_silent(http, world, files):
    world.fates[THERE] = port_of(files)
    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(http.get, ["http://files.test/x"] * 12)) == {b"pixels"}
    world.tried.clear()
    http.close()
    assert http.get("http://files.test/x") == b"pixels"
    assert world.tried == [THERE]
    http.close()
    assert world.n_open == 0


def test_https_is_spoken_with_the_address_that_answers(http, world, files, tmp_path, environment):
    context, certificate = self_signed(tmp_path)
    environment("SSL_CERT_FILE", str(certificate))
    files.secure(context)
    world.fates[THERE] = port_of(files)
    assert http.get("https://files.test/x") == b"pixels"
    http.close()
    assert world.n_open == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_reached_by_the_address_that_answers(http, world, files, tmp_path, environment, scheme):
    if scheme == "https":
        context, certificate = self_signed(tmp_path)
        environment("SSL_CERT_FILE", str(certificate))
        files.secure(context)
    with ForwardProxy({"files.test": port_of(files)}) as proxy:
        world.fates[THERE] = proxy.port
        environment("all_proxy", "http://proxy.test:8080")
        assert http.get(f"{scheme}://files.test/x") == b"pixels"
        assert len(proxy.asked) == 1
    assert world.tried == [NOWHERE, THERE]


# --- it does not


def test_a_server_that_refuses_at_all_addresses_is_said_so(http, world, closed_port):
    world.names["files.test"] = [THERE, "192.0.2.2"]
    world.fates = dict.fromkeys(world.names["files.test"], closed_port)
    error = why_not(http, "http://files.test/x")
    assert str(error).startswith(
        "The server files.test can't be reached at 192.0.2.1 and 192.0.2.2: it refuses connections."
    )
    assert error.hint == "It may be down; try again later."


def test_a_server_that_is_silent_at_all_addresses_is_said_so(http, world, monkeypatch):
    monkeypatch.setattr(http_module, "_MOST_TO_CONNECT_S", 0.3)
    world.fates[THERE] = SILENT
    error = why_not(http, "http://files.test/x")
    assert "files.test can't be reached at 2001:db8::1 and 192.0.2.1: no answer within 0.3 seconds." in str(error)
    assert "may be slow" in error.hint
    no_errand_is_left()
    assert world.n_open == 0


def test_what_was_wrong_with_each_address_is_said(http, world, closed_port):
    world.fates = {NOWHERE: UNREACHABLE, THERE: closed_port}
    error = why_not(http, "http://files.test/x")
    assert "files.test can't be reached: 2001:db8::1 led nowhere, 192.0.2.1 refused the connection." in str(error)
    assert "may be down" in error.hint  # and not the network


def test_no_endless_list_of_addresses_is_shown(http, world):
    world.names["files.test"] = [f"2001:db8::{number}" for number in range(1, 8)]
    world.fates = dict.fromkeys(world.names["files.test"], UNREACHABLE)
    error = why_not(http, "http://files.test/x")
    assert "at 2001:db8::1, 2001:db8::2, 2001:db8::3, 2001:db8::4 and others: no network? Check the internet" in str(
        error
    )
    assert "internet connection" in error.hint


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_blamed_with_its_addresses(http, world, environment, closed_port, scheme):
    world.fates = {NOWHERE: UNREACHABLE, THERE: closed_port}
    environment("all_proxy", "http://proxy.test:8080")
    error = why_not(http, f"{scheme}://files.test/x")
    assert "network's proxy can't be reached at proxy.test: 2001:db8::1 led nowhere, 192.0.2.1 refused" in str(error)
    assert error.hint == "Check the proxy settings."


def test_a_system_without_sockets_to_give_says_so(http, world, monkeypatch):
    with FaultServer() as server:
        url = server.behave(reply(b"x"))
        monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: 24)
        assert "127.0.0.1 can't be reached: " in str(why_not(http, url))


def test_a_stop_is_heard_while_no_address_answers_and_leaves_nothing(http, world):
    world.fates[THERE] = SILENT
    stop, raised = threading.Event(), []

    def get():
        try:
            http.get("http://files.test/x", stop=stop)
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    wait_until(lambda: len(world.tried) == 2)
    stop.set()
    thread.join(30)
    assert raised
    wait_until(lambda: world.n_open == 0)  # long before the time for connecting is over
    no_errand_is_left()
