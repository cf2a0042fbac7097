"""TIFF volumes (.tif, .tiff), opened lazily from this computer's disk: planes are read as they are asked for.

The package tifffile understands the files. Values that lie together uncompressed are read as those of an MRC file;
others by plane, which is never looked at as whole if any of it is missing.

A file that was cut short ends the list of its planes early, and would look like a smaller volume. So this list is
followed here, too: each plane's directory names where the next one is, the last names 0 (TIFF 6.0, section 2).
"""

from __future__ import annotations

import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_cryoet.exceptions import ChangedError, CryoETError, DamagedError, FormatError, OtherKindError, StreamError
from napari_cryoet.formats.tiff_spacing import imagej_remarks, imagej_spacing, is_ome, ome_spacing
from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.sources import version_of

if TYPE_CHECKING:
    import threading

    import dask.array as da
    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_PLANE_BYTES: Final = 2**30
_BYTES_AT_ONCE: Final = 2**24
#: Axes of planes that are one behind another: z, and what has no name.
_ALONG_Z: Final = "ZIQ"
_AXIS_WORDS: Final = {"T": "time points", "C": "channels", "S": "colours"}
_MIN_IS_WHITE: Final = 0
_INVERTED: Final = "The file asks for its smallest values to be shown white; values are taken as they are stored."
_X_RESOLUTION, _Y_RESOLUTION, _ORIENTATION = 282, 283, 274
_TURNED: Final = "The file asks for its planes to be shown turned or mirrored; they are taken as they are stored."
#: What tifffile and its codecs raise at damaged files, beside errors of its own, which are ValueErrors.
_DAMAGED: Final = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, AssertionError),
    *(MemoryError, EOFError, struct.error, zlib.error),
)


@dataclass(frozen=True, slots=True)
class TiffVolume:
    """An opened TIFF file.

    Attributes
    ----------
    level
        A dask array in z, y, x; each dask chunk is what is read as one.
    spacing_angstrom
        Size of a voxel along z, y, x, or None where the file doesn't say all of it.
    remarks
        What the file says that isn't gone by, in words.
    """

    level: da.Array
    spacing_angstrom: tuple[float, float, float] | None
    remarks: tuple[str, ...]


def open_tiff(path: Path, *, stop: threading.Event | None = None) -> TiffVolume:
    """Open a TIFF file; only what describes its planes is read.

    Raises
    ------
    FormatError
        If it is no TIFF file, damaged, or packed in a way that can't be read; an OtherKindError if it is no volume.
    StreamError
        If it can't be read, or is cut short, now or whenever its voxels are read; once it changed, they can't be read
        any more.
    """
    from tifffile import TiffFile

    name = path.name
    with _told(name):
        version = _version_at(path)
        directories = _directories(path)
        with TiffFile(path, is_ome=False) as file:
            series, axes, spacing, remark = _described(file, name, len(directories))
            shape = _shape(name, series, axes)
            dtype = _dtype(name, series)
            start, order = series.dataoffset, file.byteorder
            page = series.keyframe
            is_turned = page.tags.valueof(_ORIENTATION, default=1) != 1
            is_inverted = page.photometric == _MIN_IS_WHITE
            remarks = (remark, _INVERTED if is_inverted else "", _TURNED if is_turned else "")
            offsets = () if start is not None else _plane_offsets(name, series, shape, directories)
    if start is not None:
        level = _level_of_one_piece(path, shape, dtype.newbyteorder(order), start, stop)
    else:
        level = _level_of_planes(_Planes(path, version, offsets, shape, dtype))
    with _told(name):
        _require(path, version)  # else what was read of it may be of two files
    return TiffVolume(level, spacing, tuple(filter(None, remarks)))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever a damaged file makes others raise, in words."""
    try:
        yield
    except CryoETError:
        raise
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {name}.") from error
    except OSError as error:
        raise StreamError(f"{name} can't be read ({error.strerror or error}).") from error
    except _DAMAGED as error:
        raise FormatError(f"{name} is no TIFF file, or a damaged one.", hint="Copy or save it again.") from error


def _directories(path: Path) -> tuple[int, ...]:
    """Where the directories of all planes are.

    Raises
    ------
    StreamError
        If there is nothing where the next one should be.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        if start[:2] not in (b"II", b"MM"):
            raise FormatError(f"{path.name} is no TIFF file.")
        order = "<" if start[:2] == b"II" else ">"
        is_big = struct.unpack_from(f"{order}H", start, 2) == (43,)
        many, where, entry = ("Q", "Q", 20) if is_big else ("H", "I", 12)
        (next_offset,) = struct.unpack_from(f"{order}{where}", start, 8 if is_big else 4)
        found: dict[int, None] = {}
        while next_offset:
            if next_offset in found:
                raise FormatError(f"{path.name} is a damaged TIFF file: its list of planes has no end.")
            if next_offset >= size:
                raise _cut_short(path.name)
            found[next_offset] = None
            file.seek(next_offset)
            (count,) = struct.unpack(f"{order}{many}", _exactly(file.read, struct.calcsize(many), path.name))
            file.seek(min(count * entry, size), os.SEEK_CUR)
            (next_offset,) = struct.unpack(f"{order}{where}", _exactly(file.read, struct.calcsize(where), path.name))
    return tuple(found)


def _exactly(read: Any, length: int, name: str) -> bytes:
    content: bytes = read(length)
    if len(content) < length:
        raise _cut_short(name)
    return content


def _cut_short(name: str) -> StreamError:
    return StreamError(f"{name} is cut short: it ends before the last of its planes.", hint="Copy it again.")


def _described(
    file: TiffFile, name: str, planes: int
) -> tuple[TiffPageSeries, tuple[tuple[str, int], ...], tuple[float, float, float] | None, str]:
    """The one image of a file, its axes with their sizes, the widths of its voxels, and a remark on them."""
    if len(file.series) != 1:
        raise OtherKindError(
            f"{name} holds {len(file.series)} images of different sizes or kinds, not one volume.",
            hint="Save one of them as a file of its own.",
        )
    series = file.series[0]
    axes = tuple(zip(series.axes, series.shape, strict=True))
    first = file.pages.first
    if is_ome(first.description):
        spacing, said = ome_spacing(first.description, name, planes)
        return series, (*said, *axes[-2:]) if series.axes in {"YX", "IYX"} else axes, spacing, ""
    about = file.imagej_metadata
    if not about:
        return series, axes, None, ""
    named, listed = about.get("images"), math.prod(series.shape) // math.prod(first.shape)
    if isinstance(named, int) and named != listed:
        raise FormatError(f"{name} names {named:,} planes and lists {listed:,}.", hint="Save it again.")
    spacing, remark = imagej_spacing(about, (_resolution(first, _Y_RESOLUTION), _resolution(first, _X_RESOLUTION)))
    return series, axes, spacing, f"{remark} {imagej_remarks(about)}".strip()


def _resolution(page: TiffPage, tag: int) -> float:
    """Pixels per unit, 0 where that isn't said."""
    pixels, units = page.tags.valueof(tag, default=(0, 1))
    return pixels / units if units else 0.0


def _shape(name: str, series: TiffPageSeries, axes: tuple[tuple[str, int], ...]) -> tuple[int, int, int]:
    """Size along z, y, x.

    Raises
    ------
    OtherKindError
        If it is no single volume with its axes in that order.
    """
    letters = "".join(axis for axis, _ in axes)
    for axis, size in axes:
        if axis not in f"{_ALONG_Z}YX" and size != 1:
            what = _AXIS_WORDS.get(axis, "positions")
            raise OtherKindError(
                f"{name} is no single volume: it has {size:,} {what} along its axis {axis.lower()}.",
                hint=f"Save one of these {what} as a volume of its own; if they are planes, save them along an axis z.",
            )
    kept = [(axis, size) for axis, size in axes if axis in "YX" or size != 1]
    if [axis for axis, _ in kept[-2:]] != ["Y", "X"]:
        raise OtherKindError(f"{name} is no volume with the axes z, y, x (it has {letters.lower()}).")
    if len(kept) > 3:
        raise OtherKindError(f"{name} is no single volume: it has the shape {series.shape}.")
    if len(kept) < 3 and "Z" not in letters:
        raise OtherKindError(f"{name} is a picture, one plane without an axis z, and no volume.")
    z, y, x = (int(size) for _, size in (kept if len(kept) == 3 else [("Z", 1), *kept]))
    if 0 in (z, y, x):
        raise FormatError(f"{name} is a damaged TIFF file: it says that it has {z} x {y} x {x} voxels.")
    return z, y, x


def _dtype(name: str, series: TiffPageSeries) -> np.dtype[Any]:
    dtype = series.dtype
    if dtype.kind not in "biuf":
        raise OtherKindError(f"{name} holds {dtype} values, which can't be shown.")
    return dtype


def _plane_offsets(
    name: str, series: TiffPageSeries, shape: tuple[int, int, int], directories: tuple[int, ...]
) -> tuple[int, ...]:
    """Where the directories of the planes are, in order of z.

    Raises
    ------
    FormatError
        If they aren't one plane each, or can't be read.
    """
    from tifffile import TIFF

    if len(directories) != shape[0]:
        raise FormatError(f"{name} names {shape[0]:,} planes and lists {len(directories):,}.", hint="Save it again.")
    page = series.keyframe
    if math.prod(shape[1:]) * series.dtype.itemsize > _PLANE_BYTES:
        raise FormatError(f"{name} is compressed by plane, and its planes are too large for that.")
    try:
        TIFF.DECOMPRESSORS[page.compression]
        TIFF.UNPREDICTORS[page.predictor]
    except KeyError as error:
        called = getattr(page.compression, "name", page.compression)
        raise FormatError(
            f"{name} is compressed in a way ({called}) that can't be read without more.",
            hint="Save it uncompressed or with ZIP (Deflate), or install the package imagecodecs.",
        ) from error
    return directories


def _level_of_one_piece(
    path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], start: int, stop: threading.Event | None
) -> da.Array:
    from napari_cryoet.streaming.making import plain_pyramid
    from napari_cryoet.streaming.sources import open_source

    source = open_source(path)
    piece = source.read("", length=1, stop=stop)
    if piece is None or piece.total_bytes is None or piece.total_bytes < start + math.prod(shape) * dtype.itemsize:
        raise _cut_short(shown_address(path.name))
    pyramid = plain_pyramid(source, shape, dtype, offset=start, version=piece.version, axes=("z", "y", "x"))
    return pyramid.levels[0]


def _level_of_planes(planes: _Planes) -> da.Array:
    from dask.array import from_array

    size_z, size_y, size_x = planes.shape
    at_once = max(1, _BYTES_AT_ONCE // (size_y * size_x * planes.dtype.itemsize))
    level: da.Array = from_array(  # type: ignore[no-untyped-call]
        planes, chunks=(min(size_z, at_once), size_y, size_x), name=False, meta=np.empty((0, 0, 0), planes.dtype)
    )
    return level


def _version_at(path: Path) -> str:
    known = path.stat()
    if not (stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode)):  # a pipe would be waited for
        raise FormatError(f"{path.name} is no file.")
    return version_of(known)


def _require(path: Path, version: str) -> None:
    """Raise ChangedError where a file isn't this one any more."""
    if _version_at(path) != version:
        raise ChangedError(f"{path.name} changed since it was opened.", hint="Open it again.")


class _Planes:
    """The voxels of a file whose planes are read one by one; what dask makes its array of."""

    ndim = 3

    def __init__(
        self,
        path: Path,
        version: str,
        offsets: tuple[int, ...],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
    ) -> None:
        self._path, self._version, self._offsets = path.absolute(), version, offsets
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, region: tuple[Any, ...]) -> NDArray[Any]:
        """A part, by what numpy takes for each axis: dask hands on how its array is sliced."""
        from tifffile import TiffFile

        along_z, *others = region
        which = np.arange(self.shape[0])[along_z]
        numbers = np.atleast_1d(which).tolist()
        planes = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        with _told(self._path.name):
            _require(self._path, self._version)
            with TiffFile(self._path, is_ome=False) as file:
                for into, z in zip(planes, numbers, strict=True):
                    self._read(file, z, into)
            _require(self._path, self._version)
        return planes[:, *others] if which.ndim else planes[0][tuple(others)]

    def _read(self, file: TiffFile, z: int, into: NDArray[Any]) -> None:
        """Read a plane; all of it, or an error says which one it is."""
        from tifffile import TiffPage

        try:
            file.filehandle.seek(self._offsets[z])
            page = TiffPage(file, z)
            is_same = page.shape == into.shape and page.dtype == into.dtype
            done = _fill(into, page) if is_same else 0
        except _DAMAGED as error:
            raise self._damaged(z) from error
        if done != into.size:
            raise self._damaged(z)

    def _damaged(self, z: int) -> DamagedError:
        return DamagedError(f"Plane {z + 1} of {self._path.name} is damaged.", hint="Copy or save the file again.")


def _fill(into: NDArray[Any], page: TiffPage) -> int:
    """Put the parts of a plane in their places; how many of its pixels came."""
    done = 0
    for part, (_, _, y, x, _), (_, rows, columns, _) in page.segments(maxworkers=1):
        height, width = min(rows, into.shape[0] - y), min(columns, into.shape[1] - x)  # tiles go on beyond the edge
        if part is None or part.shape[1] < height or part.shape[2] < width:
            return 0
        into[y : y + height, x : x + width] = part[0, :height, :width, 0]
        done += height * width
    return done
