"""Connections, direct or through the system's proxy, safe if https, and never in the way of a stop.

They send nothing once nobody wants it, and another thread can hang them up while they wait.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from napari_cryoet import http_faults as faults
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.http_dialling import DialError, Dialler, GreetingTimeoutError, Manner
from napari_cryoet.this_computer import is_this_computer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PORTS = {"http": 80, "https": 443}
_LONGEST_IDLE_S = 90.0  # routers forget about connections after some minutes, and a computer that sleeps about all


class Watcher(Protocol):
    """Who wants an answer: see `napari_cryoet.errand.Errand`."""

    def beat(self) -> None:
        """Raise where the answer isn't wanted any more."""

    def abort_with(self, abort: Callable[[], None]) -> None:
        """Take what hangs up the connection."""


_local = threading.local()
_dialler = Dialler()


def watch_requests(watcher: Watcher) -> None:
    """Let ``watcher`` watch the requests that this thread sends from now on."""
    _local.watcher = watcher


class _Watched:
    """Tells its thread's watcher how to hang up, asks it once connected whether to send at all, and dials by itself."""

    sock: socket.socket | None
    _used_at = 0.0  # by a clock that goes on while the computer sleeps

    @property
    def is_connected(self) -> bool:
        """Whether it is used once more: one that nobody has ended may lead nowhere, which shows only by waiting."""
        is_fresh = 0 <= time.time() - self._used_at < _LONGEST_IDLE_S
        return is_fresh and bool(super().is_connected)  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """What urllib3 has kinds of connections say, as its own for SOCKS do: a socket that leads to the server."""
        stop = threading.Event()
        _watcher().abort_with(stop.set)
        this: Any = self
        manner = Manner(this.timeout, this.source_address, this.socket_options, stop)
        try:
            sock = _dialler.dial(this._dns_host, this.port, manner)
        except socket.gaierror as error:
            raise NameResolutionError(this.host, this, error) from error
        except DialError as error:
            raise NewConnectionError(this, str(error)) from error
        sys.audit("http.client.connect", this, this.host, this.port)
        _watcher().abort_with(lambda: hang_up(sock))
        return sock

    def connect(self) -> None:
        this: Any = self
        try:
            super().connect()  # type: ignore[misc]
        except TimeoutError as error:  # of the handshake, or of a proxy that is asked for a tunnel
            raise GreetingTimeoutError(this.timeout) from error
        _watcher().beat()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._used_at = time.time()
        super().request(*args, **kwargs)  # type: ignore[misc]
        sock = self.sock
        if sock is not None:
            _watcher().abort_with(lambda: hang_up(sock))


def hang_up(sock: socket.socket) -> None:
    """End a connection so that whoever reads from it wakes; closing would pull it away under them."""
    inner = getattr(sock, "socket", sock)  # of TLS within the TLS of a proxy, which is no socket
    with contextlib.suppress(OSError, ValueError):
        # not the socket's own method: TLS sockets drop their state in it, which their reader still uses
        socket.socket.shutdown(inner, socket.SHUT_RDWR)


def _watcher() -> Watcher:
    watcher: Watcher = _local.watcher
    return watcher


class _TlsSocket(ssl.SSLSocket):
    """Takes a connection over before it has agreed on how to encrypt it: from then on only this can hang it up."""

    def do_handshake(self, block: bool = False) -> None:
        _watcher().abort_with(lambda: hang_up(self))
        super().do_handshake(block)


class _HttpConnection(_Watched, HTTPConnection):
    pass


class _HttpsConnection(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class Connections:
    """Connections that are kept open, to any number of servers; may be used from any thread.

    Parameters
    ----------
    size
        How many are kept for each server.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Know of no connection; see `forks`."""
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def pool_for(self, url: str) -> urllib3.PoolManager:
        """The connections to use for a URL; FaultError where it is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise faults.not_an_address(url) from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise faults.not_an_address(url)
        proxy = _proxy_for(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])
        with self._lock:
            if proxy not in self._pools:
                try:
                    self._pools[proxy] = self._make_pool(proxy)
                except (urllib3.exceptions.HTTPError, ValueError) as error:
                    raise faults.unusable_proxy(url) from error
            return self._pools[proxy]

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            pools, self._pools = tuple(self._pools.values()), {}
        for pool in pools:
            for server in pool.pools.keys():  # noqa: SIM118 - it can't be iterated over
                if (idle := pool.pools.get(server)) is not None:
                    idle.close()  # now, and not once nothing refers to it any more, such as an error that was kept
            pool.clear()

    def _make_pool(self, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": self._size, "ssl_context": _tls_context()}
        if proxy:
            address = proxy if "://" in proxy else f"http://{proxy}"
            options["proxy_ssl_context"] = _tls_context()  # else another one, with fewer authorities
            pool: urllib3.PoolManager = urllib3.ProxyManager(address, proxy_headers=_login(address), **options)
        else:
            pool = urllib3.PoolManager(**options)
        pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return pool


def _login(proxy: str) -> dict[str, str]:
    """What a proxy is told that asks who one is; its address may name the user and the password."""
    login = urllib3.util.parse_url(proxy).auth
    if not login:
        return {}
    return {"Proxy-Authorization": f"Basic {b64encode(unquote(login).encode()).decode()}"}


@lru_cache(maxsize=64)
def _proxy_for(scheme: str, host: str, port: int) -> str:
    """The proxy that the system names for a server, or nothing; asking the system can take a while on Windows."""
    proxies = getproxies()
    is_direct = is_this_computer(host) or _is_within(host, proxies.get("no", "").split(","))
    if is_direct or proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return ""
    return proxies.get(scheme) or proxies.get("all", "")


def _is_within(host: str, networks: Iterable[str]) -> bool:
    """Whether a host is an address in one of these networks (``10.0.0.0/8``); other words among them don't count."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for network in networks:
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return False


@cache
def _tls_context() -> Any:
    """The computer's own certificate authorities and Mozilla's: some Pythons come with none."""
    import certifi

    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    context.load_verify_locations(certifi.where())
    return context
