"""Crops around picks, cut as blocks of the volume arrive: each block is read once for all crops that need it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import CHANGED_HINT, ChangedError
from napari_cryoet.picks import are_rotations
from napari_cryoet.review.cropping import Cube, Cut, Frame, cut_around, level_of
from napari_cryoet.review.volume import ReviewVolume
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.geometry import box_shape, box_slices, intersect

#: So many crops are read together: their unfinished voxels are in memory.
TOGETHER: Final = 24
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What is around one pick.

    Attributes
    ----------
    row
        Which pick, by its row.
    values
        float32; of a frame (down, right), averaged over its slab; of a cube (z, y, x). NaN lies outside of the volume.
    is_oriented
        Whether it was cut along the particle's own axes.
    """

    row: int
    values: NDArray[np.float32]
    is_oriented: bool


class CropReader:
    """Cuts crops of one volume around many places.

    Parameters
    ----------
    volume
        Where they are cut from; see `open_for_review`.
    points_zyx
        The places, in voxels of the volume's finest level.
    rotations_zyx
        Of the particles, as `Picks.rotations_zyx`; those that are no rotations count as unknown.
    are_oriented
        Which of them are rotations, where that is known, as `Picks.are_oriented`.
    """

    def __init__(
        self,
        volume: ReviewVolume,
        points_zyx: ArrayLike,
        rotations_zyx: ArrayLike | None = None,
        *,
        are_oriented: NDArray[np.bool_] | None = None,
    ) -> None:
        self.volume = volume
        self.points_zyx = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
        self._rotations = None if rotations_zyx is None else np.asarray(rotations_zyx, dtype=np.float64)
        if self._rotations is None:
            self.are_oriented = np.zeros(len(self.points_zyx), dtype=bool)
        else:
            self.are_oriented = are_rotations(self._rotations) if are_oriented is None else are_oriented

    @property
    def n_inside(self) -> int:
        """How many of the picks lie inside the volume."""
        end = np.asarray(self.volume.shapes[0]) - 0.5
        return int(np.all((self.points_zyx >= -0.5) & (self.points_zyx < end), axis=1).sum())

    def read(self, rows: Iterable[int], shape: Frame | Cube, *, stop: threading.Event | None = None) -> Iterator[Crop]:
        """Crops around some picks, each as soon as all its blocks are there, in about the order of ``rows``.

        Where the volume changes meanwhile, those that are not finished are begun anew: no crop is of both versions.

        Raises
        ------
        ChangedError
            If it doesn't stop changing.
        StreamError
            If a block can't be read.
        StoppedError
            When ``stop`` is set.
        """
        rows = list(rows)
        for start in range(0, len(rows), TOGETHER):
            yield from self._read_unmixed(rows[start : start + TOGETHER], shape, stop)

    def is_in_memory(self, row: int, shape: Frame | Cube) -> bool:
        """Whether a crop can be cut without reading anything."""
        cut = self._cut(row, shape)
        return cut.box is None or self.volume.has(cut.level, cut.box)

    def near_each_other(self, rows: Sequence[int], shape: Frame | Cube) -> list[int]:
        """The same rows in an order in which those that share blocks follow one another."""
        chosen = np.asarray(rows, dtype=np.intp)
        if not len(chosen):
            return []
        level = level_of(self.volume, shape)
        sides = np.asarray(self.volume.block_shape(level)) * np.asarray(self.volume.factors[level])
        cells = np.floor(self.points_zyx[chosen] / sides).astype(np.int64)
        return [int(row) for row in chosen[np.lexsort((cells[:, 0], cells[:, 2], cells[:, 1]))]]

    def _cut(self, row: int, shape: Frame | Cube) -> Cut:
        rotation = None
        if shape.is_oriented and self._rotations is not None and self.are_oriented[row]:
            rotation = self._rotations[row]
        return cut_around(self.volume, shape, self.points_zyx[row], rotation)

    def _read_unmixed(self, rows: Sequence[int], shape: Frame | Cube, stop: threading.Event | None) -> Iterator[Crop]:
        left = dict.fromkeys(rows)
        for _ in range(_ATTEMPTS):
            seen = self.volume.times_changed()
            with closing(self._read_together(list(left), shape, stop)) as crops:
                for crop in crops:
                    if self.volume.times_changed() != seen:
                        break
                    del left[crop.row]
                    yield crop
            if not left:
                return
        raise ChangedError("The volume changed while crops of it were read.", hint=CHANGED_HINT)

    def _read_together(self, rows: Sequence[int], shape: Frame | Cube, stop: threading.Event | None) -> Generator[Crop]:
        cuts = {row: self._cut(row, shape) for row in dict.fromkeys(rows)}
        needed_by: dict[Hashable, list[int]] = {}
        lacking: dict[int, int] = {}
        for row, cut in cuts.items():
            if cut.box is None:
                yield _crop(row, cut, None, shape)
                continue
            blocks = list(self.volume.covering(cut.level, cut.box))
            lacking[row] = len(blocks)
            for block in blocks:
                needed_by.setdefault(block, []).append(row)
        contents: dict[int, NDArray[Any]] = {}
        for block, place, values in self.volume.arriving(level_of(self.volume, shape), list(needed_by), stop):
            for row in needed_by.pop(block, ()):  # others' blocks may come along, and ours with others' again
                box = cuts[row].box
                common = intersect(place, box) if box is not None else None
                if box is None or common is None:
                    continue
                if row not in contents:
                    contents[row] = np.empty(box_shape(box), values.dtype)
                contents[row][box_slices(common, box)] = values[box_slices(common, place)]
                lacking[row] -= 1
                if lacking[row] == 0:
                    raise_if_stopped(stop)
                    yield _crop(row, cuts[row], contents.pop(row), shape)


def _crop(row: int, cut: Cut, content: NDArray[Any] | None, shape: Frame | Cube) -> Crop:
    values = cut.mean(content) if isinstance(shape, Frame) else cut.values(content)
    return Crop(row, values, cut.axes_zyx is not None)
