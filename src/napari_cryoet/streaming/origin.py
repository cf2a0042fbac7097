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

    It asks servers for no more than this process may, and the one that it comes from.
    """
    is_own = process == process_name()
    pyramid = _alive.get(owner) if is_own else None
    if pyramid is not None:
        return pyramid
    own = shared_policy().limits
    both = own if is_own else limits.within(own)
    with _making:  # a cache alone would let each of several threads make one
        return _make_again(process, owner, origin, coarse_offset, None if both == own else both)


@lru_cache(maxsize=_MOST_MADE_AGAIN)
def _make_again(
    _process: str, _owner: int, origin: Origin, coarse_offset: CoarseOffset, limits: Limits | None
) -> Pyramid:
    """Once for all arrays and tasks of a pyramid; with no limits, within those of this process."""
    pyramid = origin.made(None if limits is None else _http_under(limits))
    pyramid.coarse_offset = coarse_offset
    return pyramid


@lru_cache(maxsize=_MOST_MADE_AGAIN)
def _http_under(limits: Limits) -> Http:
    """What asks servers within some limits, and counts what it brings."""
    from napari_cryoet.http import Http

    policy = Policy(
        offline=limits.offline, max_session_bytes=limits.max_session_bytes, max_minute_bytes=limits.max_minute_bytes
    )
    return Http(policy=policy)
