"""TIFF volumes (.tif, .tiff), opened lazily from this computer's disk through tifffile: planes are read as asked for.

Voxel sizes are taken from ImageJ's description (``unit``, ``spacing``, and the resolution tags) or from OME-XML
(``PhysicalSizeX`` …, in µm by default); the resolution of any other file is one for printing.
"""

from __future__ import annotations

import math
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import ChangedError, CryoETError, FormatError, OtherKindError, StreamError
from napari_cryoet.files import brief

if TYPE_CHECKING:
    import dask.array as da
    from tifffile import TiffFile, TiffPageSeries

_BYTES_AT_ONCE: Final = 2**24
_LARGEST_PLANE_BYTES: Final = 2**30
#: Axes of planes that are one behind another: z, and those without a name.
_ALONG_Z: Final = "ZIQ"
_ANGSTROM_PER: Final = {
    **{"m": 1e10, "cm": 1e8, "mm": 1e7, "um": 1e4, "µm": 1e4, "μm": 1e4, "micron": 1e4, "microns": 1e4},
    **{"nm": 10.0, "nanometer": 10.0, "nanometre": 10.0, "pm": 0.01, "å": 1.0, "angstrom": 1.0, "ångström": 1.0},
}
_X_RESOLUTION, _Y_RESOLUTION, _ORIENTATION, _MIN_IS_WHITE = 282, 283, 274, 0
#: What tifffile and its codecs raise at damaged files.
_DAMAGED: Final = (
    *(ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, AttributeError, RuntimeError, AssertionError),
    *(MemoryError, EOFError, struct.error, zlib.error),
)

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class TiffVolume:
    """An opened TIFF file.

    Attributes
    ----------
    level
        A dask array in z, y, x.
    spacing_angstrom
        Voxel size along z, y, x; None if the file doesn't say all of it.
    remarks
        What the file says that isn't followed.
    """

    level: da.Array
    spacing_angstrom: Spacing | None
    remarks: tuple[str, ...]


def open_tiff(path: Path) -> TiffVolume:
    """Open a TIFF file; only what describes its planes is read.

    Raises
    ------
    FormatError
        If it is no TIFF file, or damaged; an `OtherKindError` if it is no volume.
    StreamError
        If it can't be read, or is cut short, now or when its voxels are read; also once it changed.
    """
    from dask.array import from_array
    from tifffile import TiffFile

    with _damage_explained(path):
        version = _version_of(path)
        with TiffFile(path) as file:
            if len(file.series) != 1:
                raise OtherKindError(f"{path.name} holds {len(file.series)} images, not one volume.")
            series, page = file.series[0], file.series[0].keyframe
            shape = _shape(path, series)
            _refuse_cut(path, file, shape)
            spacing = _spacing(*_lengths_and_units(file))
            said = {
                "shows its smallest values white": page.photometric == _MIN_IS_WHITE,
                "turns or mirrors its planes": page.tags.valueof(_ORIENTATION, default=1) != 1,
            }
            planes = _Planes(path.absolute(), version, shape, series.dtype)
        planes.refuse_changed()
    at_once = max(1, _BYTES_AT_ONCE // (math.prod(shape[1:]) * planes.dtype.itemsize))
    level: da.Array = from_array(  # type: ignore[no-untyped-call]
        planes,
        chunks=(min(shape[0], at_once), *shape[1:]),
        name=False,
        meta=np.empty((0, 0, 0), planes.dtype),
    )
    remarks = (f"The file {what}; values are taken as they are stored." for what, is_so in said.items() if is_so)
    return TiffVolume(level, spacing, tuple(remarks))


class _Planes:
    """The voxels of a file that must stay as it is, for dask. It stays open; other processes open it anew."""

    ndim = 3

    def __init__(self, path: Path, version: tuple[int, int], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self._path, self._version, self.shape, self.dtype = path, version, shape, dtype

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_array"}

    def __getitem__(self, region: tuple[Any, ...]) -> NDArray[Any]:
        with _damage_explained(self._path, StreamError):
            self.refuse_changed()
            has_z = len(self._array.shape) == 3
            found = np.asarray(self._array[region if has_z else region[1:]])
            self.refuse_changed()
        return found if has_z else found[np.newaxis][region[0]]

    @cached_property
    def _array(self) -> Any:
        import zarr
        from tifffile import TiffFile

        return zarr.open_array(TiffFile(self._path).series[0].aszarr(level=0, chunkmode="page"), mode="r")

    def refuse_changed(self) -> None:
        """Raise `ChangedError` if the file isn't the one that was opened."""
        if _version_of(self._path) != self._version:
            raise ChangedError(f"{self._path.name} changed since it was opened.", hint="Reopen it.")


@contextmanager
def _damage_explained(path: Path, kind: type[CryoETError] = FormatError) -> Iterator[None]:
    """Turn what a damaged file makes others raise into our errors."""
    try:
        yield
    except CryoETError:
        raise
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {path.name}.") from error
    except OSError as error:
        raise StreamError(f"{path.name} can't be read ({error.strerror or error}).") from error
    except _DAMAGED as error:  # also for a codec that isn't installed, which the error names
        raise kind(f"{path.name} is no TIFF file that can be read ({brief(error)}).", hint="Save it again.") from error


def _version_of(path: Path) -> tuple[int, int]:
    known = path.stat()
    if not stat.S_ISREG(known.st_mode):  # a pipe would be waited for
        raise FormatError(f"{path.name} is no file.")
    return known.st_size, known.st_mtime_ns


def _shape(path: Path, series: TiffPageSeries) -> tuple[int, int, int]:
    """Size along z, y, x; an `OtherKindError` for what is no single volume with its axes in that order."""
    axes, full_shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    kept = [(axis, int(size)) for axis, size in zip(axes, full_shape, strict=True) if axis in "YX" or size != 1]
    names, sizes = "".join(axis for axis, _ in kept), [size for _, size in kept]
    is_volume = (len(names) == 3 and names[0] in _ALONG_Z) or (len(names) == 2 and "Z" in axes)
    if not is_volume or not names.endswith("YX") or series.dtype.kind not in "biuf":
        raise OtherKindError(
            f"{path.name} is no single volume of numbers along z, y, x: it has the axes {axes.lower()}, the shape "
            f"{full_shape} and {series.dtype} values.",
            hint="Save one volume of it, with its planes along an axis z.",
        )
    z, y, x = sizes if len(sizes) == 3 else (1, *sizes)
    if not 0 < y * x * series.dtype.itemsize <= _LARGEST_PLANE_BYTES or not z:
        raise FormatError(f"{path.name} is a damaged TIFF file: it says that it has {z} x {y} x {x} voxels.")
    return z, y, x


def _refuse_cut(path: Path, file: TiffFile, shape: tuple[int, int, int]) -> None:
    """Refuse a file that lacks planes, or parts of them: it would look like a smaller volume, or like zeros."""
    size_bytes, series = file.filehandle.size, file.series[0]
    file.filehandle.seek(file.pages.next_page_offset or 0)
    next_offset = file.filehandle.read(file.tiff.offsetsize)
    parts = [
        (offset, count)
        for page in file.pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    if series.dataoffset is not None:
        parts.append((series.dataoffset, series.nbytes))
    if any(next_offset) or len(next_offset) < file.tiff.offsetsize or max(map(sum, parts), default=0) > size_bytes:
        raise StreamError(f"{path.name} is cut short: it ends before the last of its planes.", hint="Copy it again.")
    n_there = shape[0] if series.dataoffset is not None else sum(page is not None for page in series.pages)
    n_named = (file.imagej_metadata or {}).get("images", shape[0])
    if not n_named == n_there == shape[0] or not all(count for _, count in parts):
        raise FormatError(f"{path.name} lacks some of its {n_named:,} planes, or parts of them.", hint="Save it again.")


def _lengths_and_units(file: TiffFile) -> tuple[list[Any], list[str]]:
    """Voxel sizes along z, y, x with their units, as ImageJ or OME say them."""
    from tifffile import xml2dict

    if file.ome_metadata:
        image = xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
        units = [str(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"]
        return [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"], units
    about, tags = file.imagej_metadata or {}, file.pages.first.tags
    widths = [
        units / pixels if pixels else None
        for pixels, units in (tags.valueof(tag, default=(0, 1)) for tag in (_Y_RESOLUTION, _X_RESOLUTION))
    ]
    return [about.get("spacing"), *widths], [str(about.get(f"{axis}unit", about.get("unit", ""))) for axis in "zyx"]


def _spacing(lengths: list[Any], units: list[str]) -> Spacing | None:
    """Lengths along z, y, x in ångström; None if one isn't known."""
    z, y, x = (_angstrom(length, unit) for length, unit in zip(lengths, units, strict=True))
    return (z, y, x) if z and y and x else None


def _angstrom(length: Any, unit: str) -> float:
    """A length in ångström, 0 if it is none; ImageJ escapes what isn't ASCII."""
    name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), unit).strip()
    is_large = name in {"Mm", "Pm", "MM", "PM"}  # mega- and petametres
    factor = 0.0 if is_large else _ANGSTROM_PER.get(name.lower().replace("\u212b", "å"), 0.0)
    try:
        angstrom = float(f"{float(length) * factor:.6g}")  # programs keep few digits of it
    except (TypeError, ValueError):
        return 0.0
    return angstrom if 0 < angstrom < math.inf else 0.0
