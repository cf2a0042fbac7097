"""Put the blocks of a box into one array as they come, each on the thread that brings it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cryoet.streaming.geometry import box_slices, intersect

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Hashable, Mapping

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

    def placing(self, run: Run, *, is_kept: bool) -> Run:
        """The same run, but whoever loads it for this array also puts it there.

        Copying then takes as many cores as decoding does, and blocks that need not be kept in memory are gone before
        the next ones come.
        """

        def load(keys: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
            blocks = run.load(keys, stop)
            self.place(blocks)
            return blocks

        return replace(run, load=load, is_kept=is_kept, is_placed=True)

    def place(self, blocks: Mapping[Hashable, Block]) -> None:
        """Put blocks where they belong, unless they are there already."""
        for key in blocks.keys() - self._placed:
            place = self._box_of(key)
            if (common := intersect(place, self._box)) is not None:
                self._values[box_slices(common, self._box)] = blocks[key][box_slices(common, place)]
            self._placed.add(key)
