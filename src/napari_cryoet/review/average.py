"""The running mean of the kept picks: a quick sub-tomogram average that follows each decision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.review.crops import Crop

_KEPT_BYTES: Final = 64 * 2**20  # of cubes in memory, so that what is undone need not be read again


class RunningMean:
    """The mean of cubes, to which cubes are added and from which they are taken away one by one.

    Samples outside of the volume count for nothing, so each voxel is the mean of those picks that have it.
    """

    def __init__(self) -> None:
        self._total: NDArray[np.float64] | None = None
        self._lost: NDArray[np.float64] | None = None  # what rounding took from the total
        self._count: NDArray[np.int64] | None = None
        self._rows: set[int] = set()
        self._cubes: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    @property
    def rows(self) -> frozenset[int]:
        """The picks that are in it."""
        return frozenset(self._rows)

    def lacks(self, wanted: Iterable[int]) -> tuple[list[int], list[int]]:
        """Which picks are to be added and which to be taken away, so that just the wanted ones are in it.

        What is in memory is added and taken away at once; the answer are those whose cubes have to be read.
        """
        wanted = set(wanted)
        for row in wanted ^ self._rows:
            if row in self._cubes:
                self._change(row, self._cubes[row])
        return sorted(wanted - self._rows), sorted(self._rows - wanted)

    def change(self, crop: Crop) -> None:
        """Add a cube that isn't in it, or take away one that is."""
        self._change(crop.row, crop.values)
        self._cubes[crop.row] = crop.values
        self._cubes.move_to_end(crop.row)
        while len(self._cubes) * crop.values.nbytes > _KEPT_BYTES:
            self._cubes.popitem(last=False)

    @property
    def mean(self) -> NDArray[np.float32] | None:
        """float32 (z, y, x), NaN where no pick has anything; None while nothing is in it."""
        if self._total is None or self._lost is None or self._count is None or not self._rows:
            return None
        mean = np.where(self._count > 0, (self._total + self._lost) / np.maximum(self._count, 1), np.nan)
        return mean.astype(np.float32)

    def sections(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
        """The three sections through its middle, as planes show them: XY (y, x), XZ (z, x) and YZ (z, y)."""
        mean = self.mean
        if mean is None:
            return None
        z, y, x = (size // 2 for size in mean.shape)
        return mean[z], mean[:, y], mean[:, :, x]

    def _change(self, row: int, values: NDArray[np.float32]) -> None:
        is_known = np.isfinite(values)
        sign = -1 if row in self._rows else 1
        if self._total is None or self._lost is None or self._count is None or not self._rows:
            # an empty one starts from exact zeros again, whatever was added and taken away before
            self._total, self._lost = np.zeros(values.shape), np.zeros(values.shape)
            self._count = np.zeros(values.shape, dtype=np.int64)
        added = sign * np.where(is_known, values, 0).astype(np.float64)
        before, self._total = self._total, self._total + added
        counted = self._total - before  # Knuth's two-sum: a bright speck that goes again leaves the others as they were
        self._lost += (before - (self._total - counted)) + (added - counted)
        self._count += sign * is_known
        self._rows ^= {row}
