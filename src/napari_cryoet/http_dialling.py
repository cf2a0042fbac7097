"""Connecting to a name that has several addresses, of which some may lead nowhere, without waiting for these.

As RFC 8305 ("Happy Eyeballs") wants it: the addresses of IPv6 and IPv4 take turns in the order in which the system
gives them, each gets a quarter of a second before the next one is tried beside it, and the first that connects is
taken. One that was faster than those before it is tried first for a while.
"""

from __future__ import annotations

import errno
import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from urllib3.util.connection import allowed_gai_family

from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.stopping import POLL_S, raise_if_stopped

DELAY_S = 0.25  # what RFC 8305 recommends in section 8
REMEMBERED_S = 600.0
_MOST_REMEMBERED = 1_000

_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


class Address(NamedTuple):
    """One of those that a name has, as `socket.getaddrinfo` tells it."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    protocol: int
    place: Any  # as sockets of that family want it: host and port first

    def __str__(self) -> str:
        return str(self.place[0])


@dataclass(frozen=True, slots=True)
class Manner:
    """How to connect.

    Attributes
    ----------
    timeout_s
        How long to wait for the first that connects; None waits as long as the system does for each.
    source_address
        Host and port from which to connect.
    socket_options
        What to set before.
    stop
        Set by whoever doesn't want the connection any more.
    """

    timeout_s: float | None
    source_address: tuple[str, int] | None
    socket_options: Sequence[tuple[int, int, int | bytes]] | None
    stop: threading.Event


class DialError(OSError):
    """No address of a host could be connected to.

    Attributes
    ----------
    host
        Whose addresses these were.
    tried
        All to which a connection was begun, with what went wrong; None where nothing came within the time.
    timeout_s
        That time.
    """

    def __init__(self, host: str, tried: Iterable[tuple[str, OSError | None]], timeout_s: float | None) -> None:
        self.host, self.tried, self.timeout_s = host, tuple(tried), timeout_s
        what = ", ".join(f"{address}: {error or 'no answer'}" for address, error in self.tried)
        super().__init__(f"no connection to {host} ({what or 'it has no address'})")


class GreetingTimeoutError(TimeoutError):
    """A connection was made, but what comes before a request, such as agreeing on how to encrypt it, took too long.

    Attributes
    ----------
    timeout_s
        How long was waited.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"no greeting within {timeout_s:g} seconds")


class Dialler:
    """Connects, and remembers for a while which addresses were worth it; may be used from any thread.

    Parameters
    ----------
    delay_s
        How long one address may be silent before the next one is tried beside it.
    remembered_s
        How long one that overtook others is tried before them.
    """

    def __init__(self, *, delay_s: float = DELAY_S, remembered_s: float = REMEMBERED_S) -> None:
        self._delay_s, self._remembered_s = delay_s, remembered_s
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Remember nothing; see `forks`."""
        self._preferred: dict[tuple[str, int], tuple[Address, float]] = {}
        self._lock = threading.Lock()

    def dial(self, host: str, port: int, manner: Manner) -> socket.socket:
        """A connection to whichever address of a host answers first.

        Raises
        ------
        DialError
            None did.
        socket.gaierror
            There is no such name.
        StoppedError
            ``manner.stop`` was set.
        """
        found = _look_up(host.strip("[]"), port)
        raise_if_stopped(manner.stop)
        race = _Race(in_turn(found, self._preferred_to(host, port)), manner, self._delay_s)
        try:
            winner, sock = race.run()
        except _NoneLeftError:
            self._prefer(host, port, None)  # who knows in which network one is by now
            raise DialError(host, race.tried(), manner.timeout_s) from None
        if winner != race.first:  # else those of a server that has many go on to share the work
            self._prefer(host, port, winner)
        return sock

    def _preferred_to(self, host: str, port: int) -> Address | None:
        with self._lock:
            address, until = self._preferred.get((host, port), (None, 0.0))
            return address if time.monotonic() < until else None

    def _prefer(self, host: str, port: int, address: Address | None) -> None:
        with self._lock:
            self._preferred.pop((host, port), None)
            if address is None:
                return
            if len(self._preferred) >= _MOST_REMEMBERED:
                self._preferred.clear()
            self._preferred[host, port] = address, time.monotonic() + self._remembered_s


def in_turn(found: Iterable[Address], preferred: Address | None = None) -> list[Address]:
    """Addresses in the order in which to try them: families take turns, and what is preferred comes first."""
    families: dict[int, list[Address]] = {} if preferred is None else {preferred.family: []}
    for address in dict.fromkeys(found):
        families.setdefault(address.family, []).append(address)
    turns = [address for address in chain(*zip_longest(*families.values())) if address is not None]
    return sorted(turns, key=lambda address: address != preferred)


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
    return [Address(family, kind, protocol, place) for family, kind, protocol, _name, place in found]


class _NoneLeftError(Exception):
    """All addresses were tried in vain, or the time is over."""


class _Race:
    """Connections under way to addresses of one server, of which one will be kept."""

    def __init__(self, addresses: Sequence[Address], manner: Manner, delay_s: float) -> None:
        self.first = addresses[0] if addresses else None
        self._waiting = list(addresses)
        self._manner, self._delay_s = manner, delay_s
        self._errors: dict[Address, OSError | None] = {}  # of those that were tried, in order
        self._next_at = self._began_at = time.monotonic()

    def tried(self) -> list[tuple[str, OSError | None]]:
        """What was tried, and what went wrong where something did."""
        return [(str(address), error) for address, error in self._errors.items()]

    def run(self) -> tuple[Address, socket.socket]:
        """The winner and its connection; no other is left, whatever happens."""
        with selectors.DefaultSelector() as selector:
            try:
                while True:
                    raise_if_stopped(self._manner.stop)
                    if self._left_s() <= 0:
                        raise _NoneLeftError
                    if (won := self._await_one(selector)) is not None:  # also where the next one is due
                        return won
                    if self._is_next_due(selector):
                        self._begin(selector)
            finally:
                for key in selector.get_map().values():
                    key.data[1].close()

    def _left_s(self) -> float:
        limit_s = self._manner.timeout_s
        return math.inf if limit_s is None else self._began_at + limit_s - time.monotonic()

    def _is_next_due(self, selector: selectors.BaseSelector) -> bool:
        if not self._waiting:
            return False
        return not selector.get_map() or time.monotonic() >= self._next_at

    def _begin(self, selector: selectors.BaseSelector) -> None:
        """Begin a connection to the next address."""
        address = self._waiting.pop(0)
        self._next_at = time.monotonic() + self._delay_s
        self._errors[address] = None
        try:
            sock = _begun(address, self._manner)
        except OSError as error:
            self._fail(address, error)
        else:
            selector.register(sock, selectors.EVENT_WRITE, (address, sock))

    def _await_one(self, selector: selectors.BaseSelector) -> tuple[Address, socket.socket] | None:
        """Wait for a moment at most; one that has connected by then."""
        if not selector.get_map():
            if self._waiting:
                return None
            raise _NoneLeftError
        wait_s = min(self._left_s(), POLL_S)
        if self._waiting:
            wait_s = min(wait_s, self._next_at - time.monotonic())
        for key, _events in selector.select(max(wait_s, 0.0)):
            address, sock = key.data
            selector.unregister(sock)
            if not (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                sock.settimeout(self._manner.timeout_s)
                return address, sock
            sock.close()
            self._fail(address, OSError(code, os.strerror(code)))
        return None

    def _fail(self, address: Address, error: OSError) -> None:
        self._errors[address] = error.with_traceback(None)  # which would keep its socket
        self._next_at = time.monotonic()


def _begun(address: Address, manner: Manner) -> socket.socket:
    """A socket on its way to an address."""
    sock = socket.socket(address.family, address.kind, address.protocol)
    try:
        for option in manner.socket_options or ():
            sock.setsockopt(*option)
        sock.setblocking(False)
        if manner.source_address:
            sock.bind(manner.source_address)
        code = sock.connect_ex(address.place)
        if code not in _UNDER_WAY:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock
