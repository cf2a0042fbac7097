"""A volume from any file: lazy levels in z, y, x, and what the file says of its voxels.

Other writers of OME-Zarr give every image five axes: t, c, z, y, x. One time point and one channel make a volume. Axes
in another order than z, y, x are refused, but for those of MRC files, which are turned.

A file may place its first voxel elsewhere than at 0 (an MRC's origin, a translation of OME-Zarr's finest level). That
is told and not applied: picks and masks of a volume are counted from its first voxel.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError
from napari_cryoet.files import without_login
from napari_cryoet.formats.notes import ATTRIBUTE, as_notes, read_beside, source_of
from napari_cryoet.streaming.sources import path_in, path_of, read_file

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import ArrayLike, NDArray

    from napari_cryoet.streaming import Pyramid

Triple = tuple[float, float, float]
Box = tuple[tuple[int, int], ...]

AXES: Final = ("z", "y", "x")
MRC_SUFFIXES: Final = frozenset({".mrc", ".map", ".rec"})
TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff"})
#: Of volumes that were compressed as a whole, as EMDB's maps are: `x.map.gz`.
_PACKED_SUFFIXES: Final = frozenset({".gz", ".bz2", ".xz", ".zip"})
_ANGSTROM_PER: Final = {"angstrom": 1.0} | {
    f"{prefix}{unit}": factor
    for unit in ("meter", "metre")
    for prefix, factor in (("", 1e10), ("milli", 1e7), ("micro", 1e4), ("nano", 10.0), ("pico", 0.01))
}
#: Voxels along y and x of the sample that contrast and content are judged by.
_SAMPLE_SIDE: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An opened volume; no voxel has been read."""

    levels: list[da.Array]  # in z, y, x, finest first
    spacing_angstrom: Triple | None = None  # z, y, x, as the file says it
    is_labels: bool = False  # as far as the file itself says it
    origin_angstrom: Triple | None = None  # z, y, x, of its first voxel; None where that is at 0, or in no known unit
    proportions: Triple = (1.0, 1.0, 1.0)  # of a voxel, the smallest side as 1, where its widths are in no known unit
    remarks: tuple[str, ...] = ()  # what the file says and isn't applied, in words

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Of the finest level."""
        size_z, size_y, size_x = self.levels[0].shape
        return int(size_z), int(size_y), int(size_x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        dtype: np.dtype[Any] = self.levels[0].dtype
        return dtype

    @property
    def pyramid(self) -> Pyramid | None:
        """What is behind the levels, where they stream."""
        from napari_cryoet.streaming import pyramid_of

        return pyramid_of(self.levels)

    def read(self, level: int, box: Box, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read the voxels of a level from the start to before the end of each axis, z, y, x."""
        pyramid = self.pyramid
        if pyramid is not None:
            return pyramid.read(level, box, stop=stop)
        return np.asarray(self.levels[level][tuple(slice(*span) for span in box)])

    def read_planes(self, planes: slice, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read whole z planes of the finest level."""
        size_z, size_y, size_x = self.shape_zyx
        start, end, _ = planes.indices(size_z)
        return self.read(0, ((start, end), (0, size_y), (0, size_x)), stop=stop)

    def sample(self, *, level: int = 0, at: float = 0.5, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read two whole planes of a level, or their middle where they are large.

        ``at`` is how far along z, from 0 to 1. The middle planes are shown first, so nothing is read twice.
        """
        size_z, size_y, size_x = self.levels[level].shape
        first = int((size_z - 1) * at) // 2 * 2
        return self.read(level, ((first, min(first + 2, size_z)), _middle(size_y), _middle(size_x)), stop=stop)

    def close(self) -> None:
        """Forget what was fetched; nothing can be read any more."""
        pyramid = self.pyramid
        if pyramid is not None:
            pyramid.close()


def open_volume(url_or_path: str | Path, *, stop: threading.Event | None = None) -> Volume:
    """Open a three-dimensional OME-Zarr, zarr, MRC or TIFF file; only metadata is read.

    An OtherKindError says that it is something else, or has other axes than z, y, x.
    """
    name, suffix, is_remote = name_of(url_or_path), suffix_of(url_or_path), "://" in str(url_or_path)
    if suffix in MRC_SUFFIXES:
        return _open_mrc(url_or_path, stop)
    if suffix in TIFF_SUFFIXES and is_remote:
        raise FormatError(f"{name}: TIFF files are read from this computer only.", hint="Download it first.")
    if suffix in TIFF_SUFFIXES:
        return _open_tiff(url_or_path)
    if is_packed_volume(url_or_path):
        raise FormatError(f"{name} is compressed.", hint="Unpack it first; parts of it can't be read.")
    if not is_remote and path_of(str(url_or_path)).is_file():
        hint = "Choose a file that ends in .mrc, .map, .rec or .tif, or a folder that ends in .zarr."
        raise FormatError(f"{name} is no volume that can be read here.", hint=hint)
    return _open_zarr(url_or_path, stop)


def suffix_of(url_or_path: str | Path) -> str:
    """The ending of a file's name, lower case with its dot; of an address without its query."""
    return PurePosixPath(name_of(url_or_path)).suffix.lower()


def is_packed_volume(url_or_path: str | Path) -> bool:
    """Whether it is called like a volume that was compressed as a whole, such as ``x.mrc.gz``."""
    name = PurePosixPath(name_of(url_or_path).lower())
    return name.suffix in _PACKED_SUFFIXES and PurePosixPath(name.stem).suffix in MRC_SUFFIXES | {".zarr"}


def name_of(url_or_path: str | Path) -> str:
    """The file's own name."""
    text = str(url_or_path)
    return PurePosixPath(path_in(text) if "://" in text else Path(text).as_posix()).name


def fetch_file(address: str, limit_bytes: int, stop: threading.Event | None) -> bytes:
    """The content of a whole file, on the web or on this computer; FormatError if there is none."""
    piece = read_file(address, limit_bytes=limit_bytes, stop=stop)
    if piece is None:
        raise FormatError(f"There is no file at {without_login(address)}.")
    return piece.content


def own_provenance(volume: Volume, url_or_path: str | Path) -> dict[str, Any]:
    """Where a mask of our own export, or of a download, comes from; empty for any other volume."""
    path = None if "://" in str(url_or_path) else Path(url_or_path)
    if suffix_of(url_or_path) in MRC_SUFFIXES | TIFF_SUFFIXES:
        return source_of(path, read_beside(path) if path is not None else None)
    notes = None if volume.pyramid is None else volume.pyramid.metadata.get(ATTRIBUTE)
    return source_of(path, as_notes(notes) if isinstance(notes, dict) else None)


def are_inside(points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which positions in voxels are in a volume, whose border voxels are half a voxel wider than their centres."""
    return np.asarray(((points_zyx >= -0.5) & (points_zyx <= np.array(shape_zyx) - 0.5)).all(axis=-1))


def edge_distances(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """How far positions in voxels are from the nearest face, in the unit of ``spacing_zyx``; negative outside."""
    inwards = np.minimum(points_zyx + 0.5, np.array(shape_zyx) - 0.5 - points_zyx)
    return np.asarray((inwards * np.abs(spacing_zyx)).min(axis=1), dtype=np.float64)


def checked_spacing(spacing_zyx: Any) -> Triple | None:
    """Three positive lengths, or None if any of them is none."""
    z, y, x = (float(length) for length in spacing_zyx)
    return (z, y, x) if all(math.isfinite(length) and length > 0 for length in (z, y, x)) else None


def _open_zarr(url_or_path: str | Path, stop: threading.Event | None) -> Volume:
    from napari_cryoet.streaming import open_pyramid

    pyramid = _in_three_axes(open_pyramid(url_or_path, stop=stop), name_of(url_or_path))
    if pyramid.dtype.kind == "c":
        raise OtherKindError(f"{name_of(url_or_path)} holds complex numbers, which can't be shown.")
    widths = pyramid.scales[0]
    spacing = None if widths is None else _in_angstrom(widths, pyramid.units)
    if spacing == (1.0, 1.0, 1.0) and ATTRIBUTE not in pyramid.metadata:
        spacing = None  # early files of the portal say so of any volume
    origin = None if pyramid.translation is None else _in_angstrom(pyramid.translation, pyramid.units)
    origin = origin if origin is not None and any(origin) else None
    z, y, x = (1.0, 1.0, 1.0) if widths is None or spacing is not None else (width / min(widths) for width in widths)
    remarks = () if origin is None else (_not_applied(origin),)
    return Volume(pyramid.levels, spacing, pyramid.is_labels, origin, (z, y, x), remarks)


def _in_three_axes(pyramid: Pyramid, name: str) -> Pyramid:
    """A pyramid with the axes z, y, x and no others."""
    names, n_axes = tuple(axis.lower() for axis in pyramid.axes or pyramid.dimension_names), len(pyramid.shapes[0])
    if not pyramid.axes and not set(names) & set(AXES):
        names = ("",) * (n_axes - len(AXES)) + AXES[-n_axes:]
    spatial = tuple(axis for axis in names if axis in AXES)
    if spatial != AXES and sorted(spatial) == sorted(AXES):
        raise OtherKindError(
            f"{name} stores its axes in the order {', '.join(names)}, and only z, y, x can be shown.",
            hint="Save it with its axes turned to z, y, x.",
        )
    if spatial != AXES:
        raise OtherKindError(f"{name} is no volume with the axes z, y, x (it has {', '.join(names)}).")
    further = [number for number, axis in enumerate(names) if axis not in AXES]
    for number in further:
        if (length := pyramid.shapes[0][number]) != 1:
            called = {"t": "time points", "c": "channels"}.get(names[number], "volumes")
            raise OtherKindError(
                f"{name} is no single volume: it has {length:,} {called}.",
                hint=f"Save one of these {called} as a volume of its own.",
            )
    return pyramid.without_axes(further) if further else pyramid


def _in_angstrom(lengths: tuple[float, ...], units: tuple[str, ...]) -> Triple | None:
    """Lengths along z, y, x, in the units of the file, or None where it doesn't say one of those."""
    factors = [_ANGSTROM_PER[unit] for unit in units if unit in _ANGSTROM_PER]
    if not len(lengths) == len(factors) == len(AXES):
        return None
    z, y, x = (length * factor for length, factor in zip(lengths, factors, strict=True))
    return z, y, x


def _not_applied(origin_zyx: Triple) -> str:
    z, y, x = origin_zyx
    return (
        f"The file places its first voxel at x, y, z = {x:.6g}, {y:.6g}, {z:.6g} Å (its origin). Here it is at 0, so "
        "that positions in voxels fit; those that were measured from the file's origin lie elsewhere by as much."
    )


def _open_mrc(url_or_path: str | Path, stop: threading.Event | None) -> Volume:
    from napari_cryoet.formats.mrc import AS_STORED, open_mrc

    levels, header = open_mrc(url_or_path, stop=stop)
    origin, remarks = header.origin_angstrom, []
    if header.axis_order != AS_STORED:
        slowest_first = ", ".join("zyx"[header.axis_order.index(axis)] for axis in range(3))
        remarks.append(
            f"The file stores its voxels along {slowest_first} (slowest first), as its header says; they were turned "
            "to z, y, x. Positions from programs that don't go by that part of the header have their axes swapped."
        )
    if origin is not None:
        remarks.append(_not_applied(origin))
    return Volume(levels, header.spacing_angstrom, origin_angstrom=origin, remarks=tuple(remarks))


def _open_tiff(url_or_path: str | Path) -> Volume:
    from napari_cryoet.formats.tiff import open_tiff

    level, spacing = open_tiff(path_of(str(url_or_path)))
    return Volume([level], spacing)


def _middle(size: int) -> tuple[int, int]:
    start = max(0, (size - _SAMPLE_SIDE) // 2)
    return start, min(size, start + _SAMPLE_SIDE)
