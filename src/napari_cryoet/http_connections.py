"""Connections that send nothing once nobody wants it, and that another thread can hang up while they wait."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Protocol

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3


class Watcher(Protocol):
    """Who wants an answer: see `napari_cryoet.errand.Errand`."""

    def beat(self) -> None:
        """Raise where the answer isn't wanted any more."""

    def abort_with(self, abort: Callable[[], None]) -> None:
        """Take what hangs up the connection."""


_local = threading.local()


def watch_requests(watcher: Watcher) -> None:
    """Let ``watcher`` watch the requests that this thread sends from now on."""
    _local.watcher = watcher


class _Watched:
    """Asks its thread's watcher, once connected, whether to send at all, and tells it how to hang up after that."""

    sock: socket.socket | None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        _watcher().beat()

    def request(self, *args: Any, **kwargs: Any) -> None:
        super().request(*args, **kwargs)  # type: ignore[misc]
        sock = self.sock
        if sock is not None:
            _watcher().abort_with(lambda: hang_up(sock))


def hang_up(sock: socket.socket) -> None:
    """End a connection so that whoever reads from it wakes; closing would pull it away under them."""
    with contextlib.suppress(OSError, ValueError):
        # not the socket's own method: TLS sockets drop their state in it, which their reader still uses
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def watched(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make a pool manager use watched connections; its requests need a watcher from then on."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


def _watcher() -> Watcher:
    watcher: Watcher = _local.watcher
    return watcher


class _HttpConnection(_Watched, HTTPConnection):
    pass


class _HttpsConnection(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
