"""Connections that can be hung up from another thread while theirs waits for a byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable

_local = threading.local()


def on_request(watch: Callable[[Callable[[], None]], None] | None) -> None:
    """Have ``watch`` called, for each request that this thread sends, with what hangs up its connection."""
    _local.watch = watch


class _Watched:
    """Tells its thread's watcher how to hang up, before a request is sent."""

    sock: socket.socket | None

    def request(self, *args: Any, **kwargs: Any) -> None:
        super().request(*args, **kwargs)  # type: ignore[misc]
        watch, sock = getattr(_local, "watch", None), self.sock
        if watch is not None and sock is not None:
            watch(lambda: hang_up(sock))


def hang_up(sock: socket.socket) -> None:
    """End a connection so that whoever reads from it wakes; closing would pull it away under them."""
    with contextlib.suppress(OSError, ValueError):
        # not the socket's own method: TLS sockets drop their state in it, which their reader still uses
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _HttpConnection(_Watched, HTTPConnection):
    pass


class _HttpsConnection(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def watched(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make a pool manager use connections that can be hung up."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager
