"""Names of several addresses, as a test wants these to be: some lead to a server on this computer, some nowhere."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

#: What becomes of a connection: the port of a server on this computer, an error at once, or no answer at all.
Fate = int | str

SILENT = "silent"
UNREACHABLE = "unreachable"


class ManyAddresses:
    """Stands between this process and its sockets, and answers for addresses of which it was told.

    Attributes
    ----------
    names
        The addresses of each name, in the order in which the system gives them.
    fates
        What becomes of connections to an address; IPv6 addresses can't lead to a server.
    tried
        The addresses that were connected to, in order, of those that it was told of: what an earlier test began may go
        on in other threads, with servers of its own.
    sockets
        What they were connected to with.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[str]] = {}
        self.fates: dict[str, Fate] = {}
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []
        self._connect, self._look_up = socket.socket.connect_ex, socket.getaddrinfo
        monkeypatch.setattr(socket.socket, "connect_ex", lambda *asked: self.connect(*asked))  # noqa: PLW0108 - a test may set another
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    @property
    def n_open(self) -> int:
        """How many of the sockets are not closed yet."""
        return sum(sock.fileno() >= 0 for sock in self.sockets)

    def look_up(self, host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        """As `socket.getaddrinfo`."""
        if host not in self.names:
            return self._look_up(host, port, *args, **options)
        return [_found(address, port) for address in self.names[host]]

    def connect(self, sock: socket.socket, address: Any) -> int:
        """As `socket.socket.connect_ex`."""
        if address[0] not in self.fates and not any(address[0] in known for known in self.names.values()):
            return self._connect(sock, address)
        self.tried.append(address[0])
        self.sockets.append(sock)
        match self.fates.get(address[0]):
            case int() as port:
                return self._connect(sock, ("127.0.0.1", port))
            case "silent":
                sock.listen(1)  # waits, and never gets to where it could be written to
                return errno.EINPROGRESS
            case "unreachable":
                return errno.ENETUNREACH
        return self._connect(sock, address)


def _found(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
