"""Local TIFF volumes (.tif, .tiff), opened lazily with tifffile: planes are read on demand.

Voxel sizes come from ImageJ's description (``unit``, ``spacing``, and the resolution tags) or from
OME-XML (``PhysicalSizeX`` …, in µm by default). Resolution tags of other files are for printing and
ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import (
    ChangedError,
    CryoETError,
    FormatError,
    OtherKindError,
    StreamError,
)
from napari_cryoet.wording import brief

if TYPE_CHECKING:
    import dask.array as da
    from tifffile import TiffFile, TiffPageSeries

    from napari_cryoet.formats.mrc import Triple

_BYTES_AT_ONCE: Final = 2**24
#: Axes that count as z: z itself and unnamed ones.
_ALONG_Z: Final = "ZIQ"
#: Many programs write the planes of a volume as ImageJ's channels or frames. They are along z if
#: the distance between slices is stated.
_OF_IMAGEJ: Final = "CT"
_MICROMETRES: Final = (
    "um",
    "µm",
    "μm",
    "\\u00b5m",
    "micron",
    "microns",
)  # ImageJ escapes what isn't ASCII
_ANGSTROMS: Final = ("å", "\u212b", "\\u00c5", "angstrom")
_ANGSTROM_PER: Final = {
    "m": 1e10,
    "cm": 1e8,
    "mm": 1e7,
    "nm": 10.0,
    "nanometer": 10.0,
    "pm": 0.01,
} | (dict.fromkeys(_MICROMETRES, 1e4) | dict.fromkeys(_ANGSTROMS, 1.0))
_X_RESOLUTION, _Y_RESOLUTION = 282, 283


def open_tiff(path: Path) -> tuple[da.Array, Triple | None]:
    """Open a TIFF file as a dask array in z, y, x, with its voxel size.

    OtherKindError if it isn't a volume.
    """
    from dask.array import from_array
    from tifffile import TiffFile

    if not path.is_file():
        raise FormatError(f"There is no file {path.name}.")
    with _damage_explained(path, FormatError):
        version = _version_of(path)
        with TiffFile(path) as file:
            if len(file.series) != 1:
                raise OtherKindError(
                    f"{path.name} holds {len(file.series)} images, not one volume."
                )
            states_z = "spacing" in (file.imagej_metadata or {})
            shape = _shape(path, file.series[0], _ALONG_Z + (_OF_IMAGEJ if states_z else ""))
            _refuse_truncated(path, file, shape[0])
            spacing, dtype = _spacing(file), file.series[0].dtype
    planes = _Planes(path.absolute(), version, shape, dtype)
    at_once = max(1, _BYTES_AT_ONCE // (math.prod(shape[1:]) * dtype.itemsize))
    level: da.Array = from_array(  # type: ignore[no-untyped-call]
        planes,
        chunks=(min(shape[0], at_once), *shape[1:]),
        name=False,
        meta=np.empty((0, 0, 0), dtype),
    )
    return level, spacing


class _Planes:
    """Array interface for dask.

    The file must not change; it stays open, and is reopened after unpickling.
    """

    ndim = 3

    def __init__(
        self,
        path: Path,
        version: tuple[int, int],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
    ) -> None:
        self._path, self._version, self.shape, self.dtype = path, version, shape, dtype

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_array"}

    def __getitem__(self, region: tuple[Any, ...]) -> NDArray[Any]:
        with _damage_explained(self._path, StreamError):
            has_z = len(self._array.shape) == 3
            planes = np.asarray(self._array[region if has_z else region[1:]])
            if _version_of(self._path) != self._version:
                raise ChangedError(
                    f"{self._path.name} changed since it was opened.", hint="Reopen it."
                )
        return planes if has_z else planes[np.newaxis][region[0]]

    @cached_property
    def _array(self) -> Any:
        import zarr
        from tifffile import TiffFile

        return zarr.open_array(
            TiffFile(self._path).series[0].aszarr(level=0, chunkmode="page"), mode="r"
        )


@contextmanager
def _damage_explained(path: Path, kind: type[CryoETError]) -> Iterator[None]:
    """Convert errors that libraries raise for damaged files to ours."""
    try:
        yield
    except CryoETError:
        raise
    except OSError as error:
        raise StreamError(f"{path.name} can't be read ({error.strerror or error}).") from error
    except (
        Exception
    ) as error:  # tifffile and its codecs raise all kinds of errors, also for a missing codec
        raise kind(
            f"{path.name} isn't a valid TIFF file ({brief(error)}).", hint="Save it again."
        ) from error


def _version_of(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


def _shape(path: Path, series: TiffPageSeries, along_z: str) -> tuple[int, int, int]:
    """Size along z, y, x.

    OtherKindError unless the file is a single volume with axes in that order.
    """
    axes, full_shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    kept = [
        (axis, int(size))
        for axis, size in zip(axes, full_shape, strict=True)
        if axis in "YX" or size != 1
    ]
    names, sizes = "".join(axis for axis, _ in kept), [size for _, size in kept]
    is_volume = (len(names) == 3 and names[0] in along_z) or (len(names) == 2 and "Z" in axes)
    if not is_volume or not names.endswith("YX") or series.dtype.kind not in "biuf":
        raise OtherKindError(
            f"{path.name} isn't a single volume of numbers along z, y, x: it has the axes {axes.lower()}, the shape "
            f"{full_shape} and {series.dtype} values.",
            hint="Save a single volume, with its planes along z.",
        )
    z, y, x = sizes if len(sizes) == 3 else (1, *sizes)
    return z, y, x


def _refuse_truncated(path: Path, file: TiffFile, n_planes: int) -> None:
    """Refuse truncated files: they would look like smaller volumes, or contain zeros."""
    series = file.series[0]
    parts = [
        part
        for page in file.pages
        for part in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    n_present, n_stated = n_planes, (file.imagej_metadata or {}).get("images", n_planes)
    if series.dataoffset is not None:  # all planes follow the first one, whatever the pages say
        parts.append((series.dataoffset, series.nbytes))
    else:
        n_present = sum(page is not None for page in series.pages)
    file.filehandle.seek(file.pages.next_page_offset or 0)
    ends_well = file.filehandle.read(file.tiff.offsetsize) == bytes(file.tiff.offsetsize)
    is_whole = all(count and offset + count <= file.filehandle.size for offset, count in parts)
    if not (ends_well and is_whole and n_stated == n_present == n_planes):
        raise StreamError(
            f"{path.name} is truncated or lacks some of its planes.", hint="Copy or save it again."
        )


def _spacing(file: TiffFile) -> Triple | None:
    """Voxel sizes along z, y, x in ångström, from ImageJ's or OME's metadata.

    None if one is missing.
    """
    from tifffile import xml2dict

    if file.ome_metadata:
        image = xml2dict(file.ome_metadata)["OME"]["Image"]
        metadata = (image[0] if isinstance(image, list) else image)["Pixels"]
        lengths = {axis: metadata.get(f"PhysicalSize{axis.upper()}") for axis in "zyx"}
        units = {axis: metadata.get(f"PhysicalSize{axis.upper()}Unit", "µm") for axis in "zyx"}
    else:
        metadata, tags = file.imagej_metadata or {}, file.pages.first.tags
        lengths = {"z": metadata.get("spacing")}
        for axis, tag in (("y", _Y_RESOLUTION), ("x", _X_RESOLUTION)):
            pixels, width = tags.valueof(tag, default=(0, 1))
            lengths[axis] = width / pixels if pixels else None
        units = {axis: metadata.get(f"{axis}unit", metadata.get("unit", "")) for axis in "zyx"}
    z, y, x = (_angstrom(lengths[axis], str(units[axis])) for axis in "zyx")
    return (z, y, x) if z and y and x else None


def _angstrom(length: Any, unit: str) -> float:
    """Convert a length to ångström; 0 if it is invalid."""
    try:
        angstrom = float(
            f"{float(length) * _ANGSTROM_PER[unit.strip().lower()]:.6g}"
        )  # programs store few digits
    except (TypeError, ValueError, KeyError):
        return 0.0
    return angstrom if 0 < angstrom < math.inf else 0.0
