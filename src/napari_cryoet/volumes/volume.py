"""A volume from any file: lazy levels in z, y, x, finest first, with voxel spacing and origin."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import ArrayLike, NDArray

    from napari_cryoet.formats.mrc import Triple
    from napari_cryoet.streaming import Pyramid
    from napari_cryoet.streaming.grid import Box

#: Largest size along y and x of the sample for contrast and content.
_SAMPLE_SIDE: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An opened volume whose voxels are read on demand."""

    levels: list[da.Array]  # in z, y, x, finest first
    spacing_angstrom: Triple | None = None  # z, y, x, from the file
    is_labels: bool = False  # according to the file
    origin_angstrom: Triple | None = (
        None  # of the first voxel, z, y, x; None if 0 or in no known unit
    )
    proportions: Triple = (
        1.0,
        1.0,
        1.0,
    )  # of a voxel, relative to its smallest side, if in no known unit
    remarks: tuple[str, ...] = ()  # messages about metadata that isn't applied

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the finest level."""
        size_z, size_y, size_x = self.levels[0].shape
        return int(size_z), int(size_y), int(size_x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the values."""
        dtype: np.dtype[Any] = self.levels[0].dtype
        return dtype

    @property
    def pyramid(self) -> Pyramid | None:
        """The pyramid of the levels if they are streamed, else None."""
        from napari_cryoet.streaming import pyramid_of

        return pyramid_of(self.levels)

    def read(self, level: int, box: Box, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read a box of a level: start and stop (exclusive) on each axis, z, y, x."""
        pyramid = self.pyramid
        if pyramid is not None:
            return pyramid.read(level, box, stop=stop)
        return np.asarray(self.levels[level][tuple(slice(*span) for span in box)])

    def read_planes(self, planes: slice, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read whole z planes of the finest level."""
        size_z, size_y, size_x = self.shape_zyx
        start, end, _ = planes.indices(size_z)
        return self.read(0, ((start, end), (0, size_y), (0, size_x)), stop=stop)

    def sample(
        self, *, level: int = 0, at: float = 0.5, stop: threading.Event | None = None
    ) -> NDArray[Any]:
        """Read two adjacent planes of a level, or only the middle of large ones.

        ``at`` is the relative position along z, from 0 to 1. The default planes are those shown
        first, so nothing is read twice.
        """
        size_z, size_y, size_x = self.levels[level].shape
        first = int((size_z - 1) * at) // 2 * 2
        return self.read(
            level, ((first, min(first + 2, size_z)), _middle(size_y), _middle(size_x)), stop=stop
        )

    def close(self) -> None:
        """Free fetched data; the volume can't be read afterwards."""
        pyramid = self.pyramid
        if pyramid is not None:
            pyramid.close()


def are_inside(points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which positions in voxels are in a volume, which extends half a voxel beyond the outermost voxel centres."""
    return np.asarray(
        ((points_zyx >= -0.5) & (points_zyx <= np.array(shape_zyx) - 0.5)).all(axis=-1)
    )


def edge_distances(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Distances of positions in voxels to the nearest face, in the unit of ``spacing_zyx``.

    Negative outside.
    """
    inwards = np.minimum(points_zyx + 0.5, np.array(shape_zyx) - 0.5 - points_zyx)
    return np.asarray((inwards * np.abs(spacing_zyx)).min(axis=1), dtype=np.float64)


def _middle(size: int) -> tuple[int, int]:
    start = max(0, (size - _SAMPLE_SIDE) // 2)
    return start, min(size, start + _SAMPLE_SIDE)
