"""Put the blocks of a box into one array as they come, each on the thread that brings it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cryoet.streaming.geometry import box_slices, intersect

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from napari_cryoet.streaming.fetcher import Block, Run
    from napari_cryoet.streaming.geometry import Box


class Assembly:
    """An array that is being filled.

    Parameters
    ----------
    values
        The array; what it held before is overwritten.
    box
        Which voxels it is for.
    box_of
        The voxels of the block with a key.
    """

    def __init__(self, values: Block, box: Box, box_of: Callable[[Hashable], Box]) -> None:
        self._values, self._box, self._box_of = values, box, box_of
        self._placed: set[Hashable] = set()
        self._state = threading.Condition()
        self._copying, self._is_closed = 0, False

    def placing(self, run: Run, *, is_kept: bool) -> Run:
        """The same run, but whoever loads it for this array also puts it there.

        Copying then takes as many cores as decoding does, and blocks that need not be kept in memory are gone before
        the next ones come.
        """
        own = set(run.keys)

        def load(keys: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
            blocks = run.load(keys, stop)
            self.place({key: block for key, block in blocks.items() if key in own})
            return blocks

        return replace(run, load=load, is_kept=is_kept, is_placed=True)

    def place(self, blocks: Mapping[Hashable, Block]) -> None:
        """Put blocks where they belong, unless they are there already."""
        with self._array() as values:
            if values is None:
                return
            for key in blocks.keys() - self._placed:
                place = self._box_of(key)
                if (common := intersect(place, self._box)) is not None:
                    values[box_slices(common, self._box)] = blocks[key][box_slices(common, place)]
                self._placed.add(key)

    def close(self) -> None:
        """Write nothing into the array from now on: whoever wanted it has given up, and may use it otherwise."""
        with self._state:
            self._is_closed = True
            self._state.wait_for(lambda: not self._copying)

    @contextmanager
    def _array(self) -> Iterator[Block | None]:
        """The array, None once it is closed; it isn't while somebody writes into it."""
        with self._state:
            values = None if self._is_closed else self._values
            self._copying += 1
        try:
            yield values
        finally:
            with self._state:
                self._copying -= 1
                self._state.notify_all()
