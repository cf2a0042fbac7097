"""The guards that all tests rely on do guard."""

from __future__ import annotations

import socket
import urllib.request

import platformdirs
import pytest

from network_guard import NetworkForbiddenError


def test_a_connection_to_another_machine_is_refused_and_remembered(forbidden_hosts):
    with socket.socket() as sock, pytest.raises(NetworkForbiddenError):
        sock.connect(("192.0.2.1", 80))
    assert forbidden_hosts == ["192.0.2.1"]
    forbidden_hosts.clear()


def test_a_name_on_the_network_is_not_looked_up(forbidden_hosts):
    with pytest.raises(OSError, match=r"may not connect to portal\.example"):
        urllib.request.urlopen("http://portal.example/")
    assert set(forbidden_hosts) == {"portal.example"}
    forbidden_hosts.clear()


def test_an_invalid_name_fails_as_without_a_network(forbidden_hosts):
    with pytest.raises(socket.gaierror):
        socket.create_connection(("portal.invalid", 80))
    assert not forbidden_hosts


def test_loopback_connections_work():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("path", ["user_cache_path", "user_config_path", "user_data_path"])
def test_the_users_folders_are_the_tests_own(user_folder, path):
    assert getattr(platformdirs, path)("napari-cryoet").is_relative_to(user_folder)
