"""Decoded blocks and tables in memory: a least-recently-used cache, bounded in bytes."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy.typing as npt

#: Overhead of an entry, beside its content.
OVERHEAD_BYTES = 200

_SMALLEST_BYTES, _LARGEST_BYTES = 128 * 2**20, 512 * 2**20

#: The image number, followed by what identifies the entry.
Key = tuple[Any, ...]


class MemoryCache:
    """A dictionary that evicts the least recently used entries.

    Only the loop thread changes it. Any thread may read it without a lock: each step is one atomic
    operation of the dictionary, and comparing keys (tuples of numbers and names) runs no Python
    code.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._entries: OrderedDict[Key, tuple[Any, int]] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Any:
        """The entry, now marked as used, or None."""
        return next(self.get_each((key,)))

    def get_each(self, keys: Iterable[Key]) -> Iterator[Any]:
        """Like `get`, for thousands of keys."""
        entry_of, move_to_end = self._entries.get, self._entries.move_to_end
        for key in keys:
            entry = entry_of(key)
            if entry is None:
                yield None
                continue
            with contextlib.suppress(KeyError):  # another thread may have evicted it
                move_to_end(key)
            yield entry[0]

    def put(self, key: Key, value: Any, size_bytes: int) -> None:
        """Add an entry, evicting others until it fits."""
        size_bytes += OVERHEAD_BYTES
        self.discard(key)
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self.limit_bytes:
            _, (_, evicted_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= evicted_bytes

    def forget(self, owner: int) -> None:
        """Remove all entries of an image."""
        for key in list(self._entries):  # one atomic step: readers reorder meanwhile
            if key[0] == owner:
                self.discard(key)

    def discard(self, key: Key) -> None:
        """Remove an entry, if there is one."""
        _, size_bytes = self._entries.pop(key, (None, 0))
        self.size_bytes -= size_bytes


def owned_bytes(block: npt.NDArray[Any]) -> int:
    """Bytes of memory that an array takes; 0 for a broadcast value."""
    return block.nbytes if any(block.strides) else 0


def default_limit_bytes() -> int:
    """A sixteenth of the machine's memory, between 128 and 512 MiB."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return max(_SMALLEST_BYTES, min(_LARGEST_BYTES, total // 16))
    return _LARGEST_BYTES // 2
