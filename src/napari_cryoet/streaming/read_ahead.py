"""Notice that exact values are read block after block, and have the next ones fetched meanwhile.

dask reads as many blocks at a time as the computer has cores, far fewer than a long line to a server can carry. As
with files in an operating system, as much is read ahead of a sequence as has been read of it already.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.wishes import Priority

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from napari_cryoet.exceptions import CryoETError
    from napari_cryoet.streaming.fetcher import Fetcher, Run
    from napari_cryoet.streaming.geometry import BlockIndex
    from napari_cryoet.streaming.pyramid import Pyramid

_SHORTEST = 3  # fewer blocks in a row may be chance
_FARTHEST = 16
_LONGEST_STEP = 2
_MOST_SEQUENCES = 64


@dataclass(slots=True, eq=False)
class _Sequence:
    """Blocks of one chunk that were read in the order of the file (``sign`` 1), or backwards (-1)."""

    chunk: tuple[int, ...]
    last: int
    sign: int = 0  # not known yet
    length: int = 1
    asked: int = 0  # how many blocks beyond the last one have been asked for

    def goes_on_with(self, chunk: tuple[int, ...], position: int) -> bool:
        """Whether a block is the next one, or nearly: threads overtake each other."""
        step = position - self.last
        return chunk == self.chunk and 0 < abs(step) <= _LONGEST_STEP and (self.sign == 0 or step * self.sign > 0)

    def go_on_with(self, position: int) -> None:
        """Take a block in."""
        step = position - self.last
        self.last, self.sign = position, 1 if step > 0 else -1
        self.asked = max(0, self.asked - abs(step))
        self.length += abs(step)


class ReadAhead:
    """Watches the reads of one level.

    Parameters
    ----------
    pyramid, level
        What is read.
    fetcher
        Who fetches.
    """

    def __init__(self, pyramid: Pyramid, level: int, fetcher: Fetcher) -> None:
        self._pyramid, self._level, self._fetcher = pyramid, level, fetcher
        self._lock = FreshLock()
        self._sequences: deque[_Sequence] = deque(maxlen=_MOST_SEQUENCES)
        self._awaited: set[Hashable] = set()

    def note(self, block: BlockIndex) -> None:
        """A block is about to be read."""
        chunk, position = self._pyramid.grid(self._level).place(block)
        with self._lock:
            sequence = next((known for known in self._sequences if known.goes_on_with(chunk, position)), None)
            if sequence is None:
                self._sequences.appendleft(_Sequence(chunk, position))
                return
            sequence.go_on_with(position)
            window = min(sequence.length, _FARTHEST)
            if sequence.length < _SHORTEST or sequence.asked > window // 2:
                return
            sequence.asked = window
            runs = list(self._runs())
            wanted = [key for _, run in runs for key in run.keys]
            self._awaited = set(wanted)
            self._fetcher.want(self, runs)  # within the lock: of two threads, the newer wish has to come last
        # what is in memory already, or has come before the fetcher knew of this wish, will not arrive
        self._end_waiting([key for key in wanted if key in self._fetcher.memory])

    def blocks_arrived(self, keys: Sequence[Hashable]) -> None:
        """Nobody waits here; see `fetcher.Wanter`."""
        self._end_waiting(keys)

    def blocks_failed(self, keys: Sequence[Hashable], error: CryoETError) -> None:  # noqa: ARG002 - the protocol's
        """Who reads them will be told; see `fetcher.Wanter`."""
        self._end_waiting(keys)

    def _end_waiting(self, keys: Sequence[Hashable]) -> None:
        """Let the fetcher forget this once there is nothing more to come: else it would keep the pyramid for ever."""
        with self._lock:
            self._awaited.difference_update(keys)
            if not self._awaited:
                self._fetcher.forget(self)  # within the lock: else what is wanted since would be forgotten, too

    def _runs(self) -> Iterator[tuple[Priority, Run]]:
        """What lies ahead of every sequence."""
        grid = self._pyramid.grid(self._level)
        for sequence in self._sequences:
            positions = (sequence.last + sequence.sign * step for step in range(1, sequence.asked + 1))
            ahead = [grid.at_place(sequence.chunk, position) for position in positions]
            for run in self._pyramid.runs(self._level, [block for block in ahead if block is not None]):
                yield Priority.AHEAD, run
