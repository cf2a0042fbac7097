"""The volume that crops are cut from: a streamed pyramid or an array, read block by block, each block once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.geometry import Box, box_slices

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid

_NEAR_VOXELS: Final = 64


class ReviewVolume(ABC):
    """A volume in one or several resolutions, z, y, x.

    Attributes
    ----------
    shapes
        Of the levels in voxels, without padding, finest first.
    factors
        How many finest voxels a voxel of each level spans along z, y, x.
    spacing_zyx
        The size of a finest voxel in ångström; it may differ between the axes, and is below 0 along an axis that is
        mirrored in the world.
    is_mean
        Whether a coarse voxel lies in the middle of the finest voxels that it spans, and not on the first of them.
    is_near
        Whether it is on this computer, so that reading much of it costs little.
    """

    shapes: tuple[tuple[int, ...], ...]
    factors: tuple[tuple[float, ...], ...]
    spacing_zyx: NDArray[np.float64]
    is_mean: bool
    is_near: bool

    def voxel_angstrom(self, level: int) -> float:
        """The longest side of a voxel of a level."""
        return float(np.abs(self.spacing_zyx * self.factors[level]).max())

    def level_for(self, pixel_angstrom: float) -> int:
        """The coarsest level that still has a voxel for each pixel of that size; the finest where none has."""
        fine = [level for level in range(len(self.shapes)) if self.voxel_angstrom(level) <= pixel_angstrom * 1.001]
        return max(fine, default=0)

    def to_level(self, level: int, finest_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel coordinates of the finest level as those of another."""
        factors = np.asarray(self.factors[level])
        shift = (factors - 1) / 2 if self.is_mean else 0.0
        return np.asarray((finest_zyx - shift) / factors, dtype=np.float64)

    @abstractmethod
    def block_shape(self, level: int) -> tuple[int, ...]:
        """In voxels of the level."""

    @abstractmethod
    def covering(self, level: int, box: Box) -> Iterable[Hashable]:
        """The blocks that have voxels in a box."""

    @abstractmethod
    def arriving(
        self, level: int, blocks: Iterable[Hashable], stop: threading.Event | None
    ) -> Iterator[tuple[Hashable, Box, NDArray[Any]]]:
        """Blocks in whichever order they come, each with the box that it fills and its values."""

    def times_changed(self) -> int:
        """How often it was met changed; blocks that come after don't belong to those that came before."""
        return 0

    @abstractmethod
    def has(self, level: int, box: Box) -> bool:
        """Whether all of a box can be had at once, without reading."""

    @abstractmethod
    def read(self, level: int, box: Box, stop: threading.Event | None = None) -> NDArray[Any]:
        """All values of a box."""


class PyramidVolume(ReviewVolume):
    """A pyramid: its blocks come through the fetcher and the memory that its pictures share."""

    def __init__(self, pyramid: Pyramid, spacing_zyx: Any) -> None:
        self._pyramid = pyramid
        self.shapes, self.factors = pyramid.shapes, pyramid.factors
        self.spacing_zyx = np.asarray(spacing_zyx, dtype=np.float64)
        self.is_mean = pyramid.coarse_offset == "mean"
        self.is_near = not pyramid.line

    def block_shape(self, level: int) -> tuple[int, ...]:
        """See `ReviewVolume`."""
        return tuple(borders[1] for borders in self._pyramid.grid(level).borders)

    def covering(self, level: int, box: Box) -> Iterable[Hashable]:
        """See `ReviewVolume`."""
        return self._pyramid.grid(level).covering(box)

    def arriving(
        self, level: int, blocks: Iterable[Hashable], stop: threading.Event | None
    ) -> Iterator[tuple[Hashable, Box, NDArray[Any]]]:
        """See `ReviewVolume`."""
        grid = self._pyramid.grid(level)
        wanted = (block for block in blocks if isinstance(block, tuple))
        with closing(self._pyramid.arriving(level, wanted, stop=stop)) as parts:
            for block, values in parts:
                yield block, grid.box(block), values

    def times_changed(self) -> int:
        """See `ReviewVolume`."""
        return self._pyramid.times_changed()

    def has(self, level: int, box: Box) -> bool:
        """See `ReviewVolume`."""
        return self._pyramid.has(level, box)

    def read(self, level: int, box: Box, stop: threading.Event | None = None) -> NDArray[Any]:
        """See `ReviewVolume`."""
        return self._pyramid.read(level, box, stop=stop)


class ArrayVolume(ReviewVolume):
    """An array of one resolution; what is read of it is just what is needed."""

    def __init__(self, array: Any, spacing_zyx: Any) -> None:
        self._array = array
        self.shapes, self.factors = (tuple(array.shape),), ((1.0,) * 3,)
        self.spacing_zyx = np.asarray(spacing_zyx, dtype=np.float64)
        self.is_mean = self.is_near = True

    def block_shape(self, level: int) -> tuple[int, ...]:
        """See `ReviewVolume`; where things are near each other in memory."""
        return (_NEAR_VOXELS,) * 3

    def covering(self, level: int, box: Box) -> Iterable[Hashable]:
        """See `ReviewVolume`; the box is its only block."""
        return [box]

    def arriving(
        self, level: int, blocks: Iterable[Hashable], stop: threading.Event | None
    ) -> Iterator[tuple[Hashable, Box, NDArray[Any]]]:
        """See `ReviewVolume`."""
        for block in blocks:
            if isinstance(block, tuple):
                yield block, block, self.read(level, block, stop)

    def has(self, level: int, box: Box) -> bool:
        """See `ReviewVolume`."""
        return isinstance(self._array, np.ndarray)

    def read(self, level: int, box: Box, stop: threading.Event | None = None) -> NDArray[Any]:
        """See `ReviewVolume`."""
        raise_if_stopped(stop)
        return np.asarray(self._array[box_slices(box)])


def open_for_review(data: Any, spacing_zyx: Any) -> ReviewVolume:
    """A volume to cut crops from.

    Parameters
    ----------
    data
        A `Pyramid`, the levels of one, or any array in z, y, x (of several resolutions the finest is taken).
    spacing_zyx
        The size of a finest voxel along z, y, x in ångström.

    Raises
    ------
    FormatError
        If it isn't three-dimensional.
    """
    from napari_cryoet.streaming.own_levels import pyramid_of
    from napari_cryoet.streaming.pyramid import Pyramid

    pyramid = data if isinstance(data, Pyramid) else pyramid_of(data)
    if pyramid is None and (isinstance(data, Sequence) or not hasattr(data, "dtype")):
        data = data[0]  # napari's own levels have a dtype, too
    shape = pyramid.shapes[0] if pyramid is not None else data.shape
    if len(shape) != 3:
        raise FormatError(f"Crops are cut from volumes with three axes, and this image has {len(shape)}.")
    return ArrayVolume(data, spacing_zyx) if pyramid is None else PyramidVolume(pyramid, spacing_zyx)
