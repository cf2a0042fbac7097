"""What could not be had for a picture, and why; it is asked for again after a while, or when somebody says so."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

from napari_cryoet.streaming.thin import is_part

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari_cryoet.exceptions import CryoETError

_REPEATS = 2  # after retry something may still share the failure of what was under way then
_FAILED_S = 10.0  # what failed is not asked for again sooner, unless somebody says so


class Failures:
    """Of the blocks of a picture. Not safe for several threads."""

    def __init__(self) -> None:
        self._failed: dict[Hashable, tuple[float, CryoETError]] = {}
        self._to_repeat: dict[Hashable, int] = {}  # how often a failure after retry is no news: see _REPEATS

    def note(self, keys: Iterable[Hashable], awaited: set[Hashable], error: CryoETError) -> tuple[set[Hashable], bool]:
        """Take a failure in: which of the awaited blocks failed, and whether something is to be asked for at once."""
        keys = list(keys)
        to_repeat = {key for key in keys if self._to_repeat.get(key)}
        for key in to_repeat:
            self._to_repeat[key] -= 1
        awaited = awaited.intersection(keys) - to_repeat  # what is ahead may fail until it is looked at
        failed = {key for key in awaited if not is_part(key)}  # else nothing else of the block would mend it
        told = copy.copy(error)  # without its traceback, which would keep all that was read in memory
        self._failed.update(dict.fromkeys(failed, (time.monotonic(), told)))
        return failed, bool(to_repeat)

    @property
    def are_none(self) -> bool:
        """Whether all could be had that was asked for lately."""
        return not self._failed

    def errors_of(self, keys: Iterable[Hashable]) -> list[CryoETError]:
        """What kept some blocks from being had."""
        return [self._failed[key][1] for key in keys if key in self._failed]

    def is_recent(self, key: Hashable, now: float) -> bool:
        """Whether a block failed a short while ago."""
        return now - self._failed.get(key, (-_FAILED_S, None))[0] < _FAILED_S

    def mend(self, keys: Iterable[Hashable]) -> None:
        """Forget the failures of blocks that came after all."""
        for key in keys:
            self._failed.pop(key, None)

    def retry(self, awaited: Iterable[Hashable]) -> None:
        """Forget all, and take none for news that the awaited blocks still meet."""
        self._to_repeat = dict.fromkeys(awaited, _REPEATS)
        self.clear()

    def clear(self) -> None:
        """Forget all, so that everything is asked for again."""
        self._failed.clear()
