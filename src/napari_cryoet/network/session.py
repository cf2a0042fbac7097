"""The aiohttp session; imported with the first request, since aiohttp takes a quarter of a second."""

from __future__ import annotations

import platform
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from napari_cryoet._version import __version__
from napari_cryoet.network.hosts import is_link_local

_CONNECT_S: Final = 10.0
_IDLE_S: Final = 60.0
_USER_AGENT: Final = f"napari-cryoet/{__version__} (+python {platform.python_version()})"


def open_session() -> aiohttp.ClientSession:
    """A session for the running loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S, resolver=_Resolver()),
        timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": _USER_AGENT},
        read_bufsize=2**18,
    )


class _Resolver(AbstractResolver):
    """The system's name resolver, without link-local addresses."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """The allowed addresses of a host name; OSError if there are none."""
        addresses = await self._system.resolve(host, port, family)
        if allowed := [address for address in addresses if not is_link_local(address["host"])]:
            return allowed
        raise OSError(f"{host} has no address that may be used")

    async def close(self) -> None:
        """Nothing to do."""
