"""How a pyramid was made, so that other processes can make it too: dask sends arrays to where they are computed."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from napari_cryoet.forks import FreshLock
from napari_cryoet.policy import Limits, Policy, shared_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari_cryoet.formats.ome_zarr import CoarseOffset
    from napari_cryoet.http import Http
    from napari_cryoet.streaming.pyramid import Pyramid

_MOST_MADE_AGAIN = 16
_token = secrets.token_hex(8)
_alive: WeakValueDictionary[int, Pyramid] = WeakValueDictionary()
_making = FreshLock()


@dataclass(frozen=True, slots=True)
class Origin:
    """A function of a module and what to call it with, besides ``http``: what it asks servers with."""

    make: Callable[..., Pyramid]
    arguments: tuple[Hashable, ...]

    def made(self, http: Http | None) -> Pyramid:
        """The pyramid, made anew."""
        return self.make(*self.arguments, http=http)


def process_name() -> str:
    """What no other process is called, on this computer or another one."""
    return f"{_token}{os.getpid():x}"


def remember(owner: int, pyramid: Pyramid) -> None:
    """Note that a pyramid was made in this process."""
    _alive[owner] = pyramid


def made_again(process: str, owner: int, origin: Origin, coarse_offset: CoarseOffset, limits: Limits) -> Pyramid:
    """A pyramid of some process: itself where that is this one, else another one of the same, which is kept.

    It asks servers for no more than the process may that it comes from.
    """
    pyramid = _alive.get(owner) if process == process_name() else None
    if pyramid is not None:
        return pyramid
    with _making:  # a cache alone would let each of several threads make one
        return _make_again(process, owner, origin, coarse_offset, limits)


@lru_cache(maxsize=_MOST_MADE_AGAIN)
def _make_again(_process: str, _owner: int, origin: Origin, coarse_offset: CoarseOffset, limits: Limits) -> Pyramid:
    """Once for all arrays and tasks of a pyramid."""
    pyramid = origin.made(_http_under(limits))
    pyramid.coarse_offset = coarse_offset
    return pyramid


@lru_cache(maxsize=_MOST_MADE_AGAIN)
def _http_under(limits: Limits) -> Http | None:
    """What asks servers within some limits, and counts what it brings; None for what all of this process ask with."""
    from napari_cryoet.http import Http

    if limits == Limits():
        return None
    is_offline = limits.offline or shared_policy().offline
    policy = Policy(
        offline=is_offline, max_session_bytes=limits.max_session_bytes, max_minute_bytes=limits.max_minute_bytes
    )
    return Http(policy=policy)
