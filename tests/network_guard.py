"""Refuse all connections and name look-ups that would leave this machine."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


class NetworkForbiddenError(OSError):
    """A test tried to connect to another machine."""


def address_of(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is given as, or None if it is a name."""
    try:
        return ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return None


def is_on_this_machine(host: object) -> bool:
    """Whether connecting to a host stays on this machine: a loopback address, or a name for one."""
    address = address_of(host)
    return address.is_loopback if address else host in (None, "", "localhost", socket.gethostname())


def guard_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Install the guard and return the list to which it adds refused hosts.

    Names under ``.invalid`` never exist, so they fail at once without being listed.
    """
    tried: list[str] = []
    connect, connect_ex, getaddrinfo = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def check(host: object) -> None:
        if not is_on_this_machine(host):
            tried.append(str(host))
            raise NetworkForbiddenError(f"tests may not connect to {host}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        if (
            sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type != socket.SOCK_DGRAM
        ):  # that sends nothing
            check(address[0])
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        return connect_ex(sock, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if address_of(host) is None:  # only names need a look-up
            check(host)
        return getaddrinfo(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    return tried
