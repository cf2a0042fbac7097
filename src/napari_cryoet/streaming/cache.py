"""Decoded blocks in memory: bounded in bytes, least recently used out first, shared by all threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.shared import made_once

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    import numpy.typing as npt

Value = TypeVar("Value")

_SMALLEST_BYTES = 128 * 2**20
_LARGEST_BYTES = 512 * 2**20
#: What an entry costs beside its content.
OVERHEAD_BYTES = 200


class MemoryCache(Generic[Value]):
    """A dictionary that forgets what was used longest ago.

    A picture looks up thousands of blocks while threads put others, so reading takes no lock: each step of it is one
    operation of the dictionary, and keys (tuples of numbers and names) are compared without running Python code.

    Parameters
    ----------
    limit_bytes
        What all entries may take together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._gone: set[Hashable] = set()  # owners whose entries aren't wanted, also those that are still on their way
        self.start_afresh()
        start_afresh_in_children(self)

    def start_afresh(self) -> None:
        """Keep what is there, and let nobody be about to change it; see `forks`."""
        self._lock = threading.Lock()
        self._size_bytes = sum(size_bytes for _, size_bytes in self._entries.values())

    @property
    def size_bytes(self) -> int:
        """What all entries take now."""
        return self._size_bytes

    def get(self, key: Hashable) -> Value | None:
        """The entry, which thereby counts as used, or None; waits for nobody."""
        return next(self.get_each((key,)))

    def get_each(self, keys: Iterable[Hashable]) -> Iterator[Value | None]:
        """As `get`, for thousands of keys."""
        entry_of, move_to_end = self._entries.get, self._entries.move_to_end
        for key in keys:
            entry = entry_of(key)
            if entry is None:
                yield None
                continue
            with contextlib.suppress(KeyError):  # another thread may just have forgotten it
                move_to_end(key)
            yield entry[0]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def put(self, key: Hashable, value: Value, size_bytes: int) -> None:
        """Remember an entry and forget others until it fits; what is larger than the limit is not remembered."""
        size_bytes += OVERHEAD_BYTES
        with self._lock:
            self._forget(key)
            if size_bytes > self.limit_bytes or (isinstance(key, tuple) and key[0] in self._gone):
                return
            self._entries[key] = (value, size_bytes)
            self._size_bytes += size_bytes
            while self._size_bytes > self.limit_bytes:
                _, (_, forgotten_bytes) = self._entries.popitem(last=False)
                self._size_bytes -= forgotten_bytes

    def forget(self, key: Hashable) -> None:
        """Forget an entry, if there is one."""
        with self._lock:
            self._forget(key)

    def forget_where(self, owner: Hashable) -> None:
        """Forget all entries whose key is a tuple that starts with ``owner``, and remember none from now on."""
        with self._lock:
            self._gone.add(owner)
            for key in [key for key in list(self._entries) if isinstance(key, tuple) and key[0] == owner]:
                self._forget(key)

    def forget_if(self, is_out: Callable[[Hashable], bool]) -> None:
        """Forget all entries whose key a function says yes to."""
        with self._lock:
            for key in [key for key in list(self._entries) if is_out(key)]:
                self._forget(key)

    def _forget(self, key: Hashable) -> None:
        _, size_bytes = self._entries.pop(key, (None, 0))
        self._size_bytes -= size_bytes


def owned_bytes(block: npt.NDArray[Any]) -> int:
    """What an array keeps in memory: nothing of its own where one value stands for all."""
    return block.nbytes if any(block.strides) else 0


def default_limit_bytes() -> int:
    """A sixteenth of the machine's memory, within 128 and 512 MiB."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return max(_SMALLEST_BYTES, min(_LARGEST_BYTES, total // 16))
    return _LARGEST_BYTES // 2


@made_once
def shared_cache() -> MemoryCache[object]:
    """The cache that all pyramids of this process share."""
    return MemoryCache(default_limit_bytes())
