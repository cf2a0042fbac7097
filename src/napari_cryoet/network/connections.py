"""The background event loop, and the aiohttp session whose connections all requests share."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.request import getproxies, proxy_bypass

from napari_cryoet.network.hosts import is_this_computer
from napari_cryoet.task import in_daemon_thread

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

T = TypeVar("T")

CONNECTIONS: Final = 64  # to one server at once
#: A server's header that asks each client to open at most so many connections.
CONNECTIONS_HEADER: Final = "X-Connections-Per-Client"
POSTS: Final = 4  # the portal answers queries one by one, so more at once would only wait

_PROXY_S = 5.0  # how long to remember the system's proxy for a server


class Network:
    """The event loop, its session, and the limits on concurrent requests to each server."""

    def __init__(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._slots: dict[tuple[str, URL], asyncio.Semaphore] = {}
        self._limits: dict[URL, int] = {}  # of servers that asked for fewer connections
        self._proxies: dict[URL, tuple[float, str]] = {}
        #: How often each server asked for fewer requests (status 429 or 503), by `client.server_of`.
        self.refusals: Counter[str] = Counter()
        #: Until when servers last asked to wait, in seconds since 1970, by `client.server_of`.
        self.waits: dict[str, float] = {}

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started at first use; may be called from any thread."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(_DaemonThreads())
                threading.Thread(
                    target=self._loop.run_forever, name="napari-cryoet-network", daemon=True
                ).start()
                atexit.register(self._close)
            return self._loop

    def session(self) -> aiohttp.ClientSession:
        """The session. This and the methods below are for the loop's own thread."""
        if self._session is None:
            from napari_cryoet.network.session import open_session  # imports aiohttp

            self._session = open_session()
        return self._session

    def slot(self, method: str, url: URL) -> asyncio.Semaphore:
        """The semaphore to hold during a request, which limits concurrent requests to a server."""
        asked = self._limits.get(url.origin(), CONNECTIONS)
        limit = POSTS if method == "POST" else asked
        return self._slots.setdefault((method, url.origin()), asyncio.Semaphore(limit))

    def limit(self, url: URL, text: str) -> None:
        """Open fewer connections from now on, if a server's header asks for it."""
        asked = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else CONNECTIONS
        if 0 < asked < self._limits.get(url.origin(), CONNECTIONS):
            self._limits[url.origin()] = asked
            self._slots.pop(("GET", url.origin()), None)

    async def proxy_for(self, url: URL) -> str | None:
        """The system's proxy for a server, or None."""
        server, now = url.origin(), time.monotonic()
        until, proxy = self._proxies.get(server, (0.0, ""))
        if now > until:
            proxy = await asyncio.to_thread(_system_proxy, url.scheme, url.host or "")
            self._proxies[server] = now + _PROXY_S, proxy
        return proxy or None

    def forget_proxies(self) -> None:
        """Ask the system for proxies again, because the network may have changed."""
        self._proxies.clear()

    def _close(self) -> None:
        """Close all connections at exit."""
        if self._loop is None or self._pid != os.getpid():
            return

        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            if self._session is not None:
                await self._session.close()

        concurrent.futures.wait([asyncio.run_coroutine_threadsafe(end(), self._loop)], 1.0)
        self._loop.call_soon_threadsafe(self._loop.stop)


_networks: dict[
    int, Network
] = {}  # by process id: a forked process can't use its parent's thread and connections


def network() -> Network:
    """The `Network` of this process."""
    return _networks.get(os.getpid()) or _networks.setdefault(os.getpid(), Network())


@functools.cache
def tls() -> ssl.SSLContext:
    """A TLS context with the system's certificate authorities and Mozilla's: some Pythons come with none."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _system_proxy(scheme: str, host: str) -> str:
    """The system's http(s) proxy for a host, or an empty string."""
    if is_this_computer(host) or proxy_bypass(host):
        return ""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    proxy = proxy if "://" in proxy or not proxy else f"http://{proxy}"
    return proxy if proxy.startswith("http") else ""


class _DaemonThreads(concurrent.futures.ThreadPoolExecutor):
    """A daemon thread for each blocking call, so that a stalled name server or disk doesn't delay the exit."""

    def submit(
        self, fn: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[T]:
        """Start a call in a new thread."""
        return in_daemon_thread(functools.partial(fn, *args, **kwargs), "napari-cryoet-call")
