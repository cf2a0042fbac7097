"""Values that are made once, however many threads ask for them at the same time, and then kept in a cache."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_cryoet.exceptions import CryoETError, StoppedError, StreamError, WithheldError
from napari_cryoet.forks import start_afresh_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari_cryoet.streaming.cache import MemoryCache

Value = TypeVar("Value")


class Once(Generic[Value]):
    """A cache of values of one kind.

    Parameters
    ----------
    memory
        Where they are kept.
    prefix
        Start of their keys there; no other kind of value may have it.
    size_bytes
        What a value takes in memory.
    """

    def __init__(
        self, memory: MemoryCache[object], prefix: tuple[Hashable, ...], size_bytes: Callable[[Value], int]
    ) -> None:
        self._memory, self._prefix, self._size_bytes = memory, prefix, size_bytes
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Know of nothing that is being made; see `forks`."""
        self._pending: dict[Hashable, Future[Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; whatever making it raises reaches all who wait for it, and is not kept.

        But for a stop, which is meant for the one who makes it, and for what is withheld, which may be allowed since:
        another of those who wait makes it then.
        """
        while True:
            with self._lock:
                kept = self._memory.get((*self._prefix, key))
                if isinstance(kept, tuple):
                    value: Value = kept[0]
                    return value
                future = self._pending.get(key)
                is_mine = future is None
                if future is None:
                    future = self._pending[key] = Future()
            if is_mine:
                self._make(key, make, future)
                return future.result()
            with suppress(StoppedError, WithheldError):
                return future.result()

    def _make(self, key: Hashable, make: Callable[[], Value], future: Future[Value]) -> None:
        made: tuple[Value] | CryoETError = StreamError("Reading failed in an unexpected way.")
        size_bytes = 0
        try:
            value = make()
            size_bytes = self._size_bytes(value)
            made = (value,)
        except CryoETError as error:
            made = error
        except MemoryError:
            made = StreamError("There isn't enough memory for what is read.")
            raise  # to whoever knows of what
        finally:  # also for what nobody foresaw: those who wait must not wait for ever
            with self._lock:  # first: whoever is told of a failure, and asks again, must not be told of it once more
                if key in self._pending and self._pending[key] is future:  # else it was forgotten meanwhile
                    del self._pending[key]
                    if isinstance(made, tuple):
                        self._memory.put((*self._prefix, key), made, size_bytes)
            if isinstance(made, tuple):
                future.set_result(made[0])
            else:
                future.set_exception(made)

    def forget_all(self) -> None:
        """As `forget`, for all values."""
        with self._lock:
            self._pending.clear()
            self._memory.forget_if(lambda key: isinstance(key, tuple) and key[:-1] == self._prefix)

    def forget(self, key: Hashable) -> None:
        """Make the value anew when it is asked for again; what is being made now reaches only those who wait for it."""
        with self._lock:
            self._pending.pop(key, None)
            self._memory.forget((*self._prefix, key))
