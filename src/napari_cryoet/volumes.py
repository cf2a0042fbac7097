"""A volume from a file: lazy levels in z, y, x, and what the file itself says of its voxels."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from napari_cryoet.exceptions import FormatError

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from napari_cryoet.streaming.pyramid import Pyramid

MRC_SUFFIXES: Final = frozenset({".mrc", ".map", ".rec"})
_ANGSTROM_PER: Final = {"angstrom": 1.0, "nanometer": 10.0, "nanometre": 10.0, "micrometer": 1e4, "micrometre": 1e4}
_SPACING_FOLDER: Final = re.compile(r"/VoxelSpacing(\d{1,6}(?:\.\d{1,6})?)/")
#: Voxels along y and x of the sample that contrast and content are judged by.
_SAMPLE_SIDE: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An opened volume; no voxel has been read.

    Attributes
    ----------
    levels
        Dask arrays in z, y, x, finest first, each exactly half of the one before, padded where sizes are odd.
    shape_zyx
        Of the finest level, without padding.
    spacing_angstrom
        z, y, x as the file says it, or None where it doesn't.
    is_labels
        Whether the file itself says that its values are labels.
    pyramid
        What is behind the levels, where they stream.
    """

    levels: list[da.Array]
    shape_zyx: tuple[int, int, int]
    spacing_angstrom: tuple[float, float, float] | None
    is_labels: bool
    pyramid: Pyramid | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        dtype: np.dtype[Any] = self.levels[0].dtype
        return dtype

    def sample(self, *, stop: threading.Event | None = None, level: int = 0, at: float = 0.5) -> NDArray[Any]:
        """Read two whole planes of a level, or their middle where they are large.

        Parameters
        ----------
        at
            How far along z, from 0 to 1. The middle planes are the ones that are shown first, so nothing is read twice.
        """
        shape = self.pyramid.shapes[level] if self.pyramid is not None else self.levels[level].shape
        first_z = min(int((self.levels[level].shape[0] - 1) * at), shape[0] - 1) // 2 * 2
        box = ((first_z, min(first_z + 2, shape[0])), _middle(shape[1]), _middle(shape[2]))
        if self.pyramid is not None:
            return self.pyramid.read(level, box, stop=stop)
        return np.asarray(self.levels[level][tuple(slice(*span) for span in box)])

    def read_planes(self, planes: slice, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read whole z planes of the finest level, without padding."""
        size_z, size_y, size_x = self.shape_zyx
        if self.pyramid is not None:
            start, end, _ = planes.indices(size_z)
            return self.pyramid.read(0, ((start, end), (0, size_y), (0, size_x)), stop=stop)
        return np.asarray(self.levels[0][planes, :size_y, :size_x])

    def close(self) -> None:
        """Forget what was fetched; nothing can be read any more."""
        if self.pyramid is not None:
            self.pyramid.close()


def open_volume(url_or_path: str | Path, *, stop: threading.Event | None = None) -> Volume:
    """Open a three-dimensional OME-Zarr, zarr or MRC file; only metadata is read.

    Raises
    ------
    FormatError
        If it is something else or has other axes than z, y, x.
    StreamError
        If it can't be read.
    """
    if suffix_of(url_or_path) in MRC_SUFFIXES:
        return _open_mrc(url_or_path, stop)
    from napari_cryoet.streaming.making import open_pyramid

    pyramid = open_pyramid(url_or_path, stop=stop)
    if len(pyramid.shapes[0]) != 3 or (pyramid.axes and tuple(pyramid.axes) != ("z", "y", "x")):
        axes = ", ".join(pyramid.axes) or f"{len(pyramid.shapes[0])} unnamed ones"
        raise FormatError(f"{name_of(url_or_path)} is no volume with the axes z, y, x (it has {axes}).")
    size_z, size_y, size_x = pyramid.shapes[0]
    return Volume(
        levels=pyramid.levels,
        shape_zyx=(size_z, size_y, size_x),
        spacing_angstrom=_spacing(pyramid),
        is_labels=pyramid.is_labels,
        pyramid=pyramid,
    )


def suffix_of(url_or_path: str | Path) -> str:
    """The ending of a file's name, lower case with its dot; of an address without its query."""
    return PurePosixPath(_path_of(url_or_path)).suffix.lower()


def name_of(url_or_path: str | Path) -> str:
    """The file's own name."""
    return PurePosixPath(_path_of(url_or_path)).name


def spacing_in_layout(url_or_path: str | Path) -> float | None:
    """The voxel spacing that the portal's folder layout says, in ångström: ``…/VoxelSpacing13.480/…``, or None.

    Downloads keep this layout. The number is the API's, rounded to three digits.
    """
    found = _SPACING_FOLDER.search(_path_of(url_or_path))
    return float(found.group(1)) or None if found else None


def _path_of(url_or_path: str | Path) -> str:
    text = str(url_or_path)
    try:
        return (urlsplit(text).path if "://" in text else Path(text).as_posix()).rstrip("/")
    except ValueError as error:
        raise FormatError(f"{text!r} isn't a web address.", hint="Check the address.") from error


def _middle(size: int) -> tuple[int, int]:
    start = max(0, (size - _SAMPLE_SIDE) // 2)
    return start, min(size, start + _SAMPLE_SIDE)


def _spacing(pyramid: Pyramid) -> tuple[float, float, float] | None:
    """What the file says, unless it is 1 along all axes: early files of the portal say that of any volume."""
    scale = pyramid.scales[0]
    factors = [_ANGSTROM_PER.get(unit) for unit in pyramid.units]
    if scale is None or len(scale) != 3 or len(factors) != 3 or set(scale) == {1.0}:
        return None
    known = [factor for factor in factors if factor is not None]
    if len(known) != 3:
        return None
    return checked_spacing(np.multiply(scale, known))


def checked_spacing(spacing_zyx: Any) -> tuple[float, float, float] | None:
    """Three positive lengths, or None if any of them is none."""
    z, y, x = (float(length) for length in spacing_zyx)
    return (z, y, x) if all(math.isfinite(length) and length > 0 for length in (z, y, x)) else None


def _open_mrc(url_or_path: str | Path, stop: threading.Event | None) -> Volume:
    from napari_cryoet.formats.mrc import open_mrc
    from napari_cryoet.streaming.pyramid import pyramid_of

    levels, spacing_angstrom = open_mrc(url_or_path, stop=stop)
    size_z, size_y, size_x = levels[0].shape
    return Volume(
        levels=levels,
        shape_zyx=(size_z, size_y, size_x),
        spacing_angstrom=None if spacing_angstrom is None else checked_spacing(spacing_angstrom),
        is_labels=False,
        pyramid=pyramid_of(levels),
    )
