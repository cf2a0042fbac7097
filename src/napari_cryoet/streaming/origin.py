"""How a pyramid was made, so that other processes can make it too: dask sends arrays to where they are computed."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from napari_cryoet.exceptions import ChangedError
from napari_cryoet.files import file_at
from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari_cryoet.formats.ome_zarr import CoarseOffset
    from napari_cryoet.http import Http
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.watch import State

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


@dataclass(frozen=True, slots=True)
class Original:
    """The pyramid of another process that one is made of here: the process, its number there, and what it was."""

    process: str
    owner: int
    state: State | None = None

    def changed(self, place: str) -> ChangedHereError:
        """What to raise where it isn't what is here."""
        return ChangedHereError(f"{place} changed since it was opened.", hint="Try again.", original=self)


class ChangedHereError(ChangedError):
    """What another process has opened is changed here; where this error reaches it, it knows."""

    def __init__(self, message: str, *, hint: str = "", original: Original) -> None:
        super().__init__(message, hint=hint)
        self.original = original

    def __reduce__(self) -> tuple[Any, ...]:
        return _heard, (self.message, self.hint, self.original)


def _heard(message: str, hint: str, original: Original) -> ChangedHereError:
    pyramid = _alive.get(original.owner) if original.process == process_name() else None
    if pyramid is not None:
        pyramid.hear(original.state)
    return ChangedHereError(message, hint=hint, original=original)


def process_name() -> str:
    """What no other process is called, on this computer or another one."""
    return f"{_token}{os.getpid():x}"


def remember(owner: int, pyramid: Pyramid) -> None:
    """Note that a pyramid was made in this process."""
    _alive[owner] = pyramid


def made_again(original: Original, origin: Origin, coarse_offset: CoarseOffset) -> Pyramid:
    """A pyramid of some process: itself where that is this one, else another one of the same, which is kept.

    Raises
    ------
    ChangedHereError
        Where that process has opened something else.
    """
    is_own = original.process == process_name()
    pyramid = _alive.get(original.owner) if is_own else None
    if pyramid is not None:
        return pyramid
    with _making:  # a cache alone would let each of several threads make one
        return _make_again(original, origin, coarse_offset)


@lru_cache(maxsize=_MOST_MADE_AGAIN)
def _make_again(original: Original, origin: Origin, coarse_offset: CoarseOffset) -> Pyramid:
    """Once for all arrays and tasks of a pyramid."""
    pyramid = origin.made(None)
    pyramid.coarse_offset = coarse_offset
    if original.process != process_name():
        pyramid.original = original
        if original.state is not None and not pyramid.agrees(original.state):
            raise original.changed(file_at(pyramid.url))
    return pyramid
