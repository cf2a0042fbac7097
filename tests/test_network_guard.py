"""The network guard blocks connections."""

from __future__ import annotations

import socket
import urllib.request

import platformdirs
import pytest

from network_guard import NetworkForbiddenError


def test_connections_to_other_machines_are_refused_and_listed(forbidden_hosts):
    with socket.socket() as sock, pytest.raises(NetworkForbiddenError):
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match=r"portal\.example"):
        urllib.request.urlopen("http://portal.example/")
    assert set(forbidden_hosts) == {"192.0.2.1", "portal.example"}
    forbidden_hosts.clear()


def test_invalid_names_fail_and_loopback_works(forbidden_hosts):
    with pytest.raises(socket.gaierror):
        socket.create_connection(("portal.invalid", 80))
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_user_folders_are_redirected(user_folder):
    for path in (
        platformdirs.user_cache_path,
        platformdirs.user_config_path,
        platformdirs.user_data_path,
    ):
        assert path("napari-cryoet").is_relative_to(user_folder)
