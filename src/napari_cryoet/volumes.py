"""A volume from a file: lazy levels in z, y, x, and what the file itself says of its voxels.

Other writers of OME-Zarr give every image five axes, t, c, z, y, x. One time and one channel make a volume; of several,
none is chosen here in silence. Axes in another order aren't turned, but for those of MRC files.

Where a file says that its first voxel lies elsewhere than at 0 (an MRC's origin, a translation of OME-Zarr's finest
level), that is told and not applied: picks and masks of a volume are counted from its first voxel.
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
from napari_cryoet.formats.ome_zarr import other_transformations
from napari_cryoet.streaming.sources import path_in, path_of

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from napari_cryoet.streaming.grid import Box
    from napari_cryoet.streaming.pyramid import Pyramid

MRC_SUFFIXES: Final = frozenset({".mrc", ".map", ".rec"})
TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff"})
AXES: Final = ("z", "y", "x")
_ANGSTROM_PER: Final = {"angstrom": 1.0} | {
    f"{prefix}{unit}": factor
    for unit in ("meter", "metre")
    for prefix, factor in (("", 1e10), ("milli", 1e7), ("micro", 1e4), ("nano", 10.0), ("pico", 0.01))
}
_PACKED: Final = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2"}
#: What is packed as a whole by its name, as EMDB's maps are: `x.map.gz`.
_PACKED_SUFFIXES: Final = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
_SHOWN: Final = 60
_AXIS_WORDS: Final = {"t": "time points", "c": "channels"}
#: Voxels along y and x of the sample that contrast and content are judged by.
_SAMPLE_SIDE: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An opened volume; no voxel has been read.

    Attributes
    ----------
    levels
        Dask arrays in z, y, x, finest first.
    shape_zyx
        Of the finest level.
    spacing_angstrom
        z, y, x as the file says it, or None where it doesn't.
    is_labels
        Whether the file itself says that its values are labels.
    pyramid
        What is behind the levels, where they stream.
    origin_angstrom
        Where the file says that its first voxel lies, z, y, x; None where that is at 0, or the unit isn't known.
    remarks
        What the file says that isn't shown, in words.
    """

    levels: list[da.Array]
    shape_zyx: tuple[int, int, int]
    spacing_angstrom: tuple[float, float, float] | None
    is_labels: bool
    pyramid: Pyramid | None
    origin_angstrom: tuple[float, float, float] | None = None
    remarks: tuple[str, ...] = ()

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
        return self.read(
            level, ((first_z, min(first_z + 2, shape[0])), _middle(shape[1]), _middle(shape[2])), stop=stop
        )

    def read_planes(self, planes: slice, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read whole z planes of the finest level, without padding."""
        size_z, size_y, size_x = self.shape_zyx
        start, end, _ = planes.indices(size_z)
        return self.read(0, ((start, end), (0, size_y), (0, size_x)), stop=stop)

    def read(self, level: int, box: Box, *, stop: threading.Event | None = None) -> NDArray[Any]:
        """Read the voxels of a level from the start to before the end of each axis, z, y, x."""
        if self.pyramid is not None:
            return self.pyramid.read(level, box, stop=stop)
        return np.asarray(self.levels[level][tuple(slice(*span) for span in box)])

    def close(self) -> None:
        """Forget what was fetched; nothing can be read any more."""
        if self.pyramid is not None:
            self.pyramid.close()


def open_volume(url_or_path: str | Path, *, stop: threading.Event | None = None) -> Volume:
    """Open a three-dimensional OME-Zarr, zarr, MRC or TIFF file; only metadata is read.

    TIFF files are read from this computer only.

    Raises
    ------
    FormatError
        If it is damaged; an OtherKindError if it is something else, or has other axes than z, y, x.
    StreamError
        If it can't be read.
    """
    if suffix_of(url_or_path) in MRC_SUFFIXES:
        return _open_mrc(url_or_path, stop)
    if suffix_of(url_or_path) in TIFF_SUFFIXES:
        return _open_tiff(url_or_path)
    _refuse_files(url_or_path)
    if "://" in str(url_or_path) and is_packed_volume(url_or_path):
        packing = _PACKED_SUFFIXES[suffix_of(url_or_path)]
        raise _is_packed(f"{name_of(url_or_path)}, as its name says,", packing)
    from napari_cryoet.streaming import open_pyramid

    pyramid = _in_three_axes(open_pyramid(url_or_path, stop=stop), name_of(url_or_path))
    if pyramid.dtype.kind == "c":
        raise OtherKindError(f"{name_of(url_or_path)} holds complex numbers, which can't be shown.")
    size_z, size_y, size_x = pyramid.shapes[0]
    origin = _origin(pyramid)
    return Volume(
        levels=pyramid.levels,
        shape_zyx=(size_z, size_y, size_x),
        spacing_angstrom=_spacing(pyramid),
        is_labels=pyramid.is_labels,
        pyramid=pyramid,
        origin_angstrom=origin,
        remarks=_remarks(pyramid, origin),
    )


def _refuse_files(url_or_path: str | Path) -> None:
    """Say of a file on this computer that it is no folder, as an OME-Zarr is; of a packed one, that it is packed."""
    try:
        if "://" in str(url_or_path) or not Path(url_or_path).is_file():
            return
        with Path(url_or_path).open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError):  # whoever opens it says why it can't be
        return
    packed = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
    name = name_of(url_or_path)
    if packed is not None:
        raise _is_packed(name, packed)
    if is_packed_volume(url_or_path):
        raise FormatError(f"{name} is not compressed, as its name says.", hint="Take the last ending off its name.")
    if suffix_of(url_or_path) == ".zarr":
        raise FormatError(f"{name} is a file, and an OME-Zarr is a folder.", hint="Choose a folder that ends in .zarr.")
    raise FormatError(
        f"{name} is a file of another kind than the volumes that are read here.",
        hint="Choose a file that ends in .mrc, .map, .rec or .tif, or a folder that ends in .zarr.",
    )


def _is_packed(what: str, packing: str) -> FormatError:
    return FormatError(f"{what} is compressed with {packing}.", hint="Unpack it first; parts of it can't be read.")


def _in_three_axes(pyramid: Pyramid, name: str) -> Pyramid:
    """A pyramid with the axes z, y, x and no others.

    Raises
    ------
    OtherKindError
        If there are several positions along another axis, or its axes are others or in another order.
    """
    names, shape = _axis_names(pyramid), pyramid.shapes[0]
    if names:
        further = [axis for axis, called in enumerate(names) if called not in AXES]
        spatial = tuple(called for called in names if called in AXES)
    else:
        further = list(range(len(shape) - len(AXES)))
        spatial = AXES if len(shape) >= len(AXES) else ()
    if spatial != AXES:
        said = ", ".join(names) or f"{len(shape)} unnamed ones"
        if sorted(spatial) == sorted(AXES):
            raise OtherKindError(
                f"{name} stores its axes in the order {said}, and only z, y, x can be shown.",
                hint="Save it with its axes turned to z, y, x.",
            )
        raise OtherKindError(f"{name} is no volume with the axes z, y, x (it has {said}).")
    for axis in further:
        length = max(level[axis] for level in pyramid.shapes)
        if length != 1:
            called = names[axis] if names else f"number {axis + 1} of {len(shape)}"
            what = _AXIS_WORDS.get(called, "positions")
            raise OtherKindError(
                f"{name} is no single volume: it has {length:,} {what} along its axis {called}.",
                hint=f"Save one of these {what} as a volume of its own.",
            )
    return pyramid.without_axes(further) if further else pyramid


def _axis_names(pyramid: Pyramid) -> tuple[str, ...]:
    """What the axes are called, or nothing where nobody named any of z, y and x."""
    if pyramid.axes:
        return tuple(name.lower() if name in {"Z", "Y", "X", "T", "C"} else name for name in pyramid.axes)
    names = tuple(name.lower() for name in pyramid.dimension_names)
    return names if set(names) & set(AXES) else ()


def suffix_of(url_or_path: str | Path) -> str:
    """The ending of a file's name, lower case with its dot; of an address without its query."""
    return PurePosixPath(_path_of(url_or_path)).suffix.lower()


def is_packed_volume(url_or_path: str | Path) -> bool:
    """Whether it is called like a volume that was compressed as a whole, such as ``x.mrc.gz``."""
    name = PurePosixPath(_path_of(url_or_path).lower())
    return name.suffix in _PACKED_SUFFIXES and PurePosixPath(name.stem).suffix in MRC_SUFFIXES | {".zarr"}


def name_of(url_or_path: str | Path) -> str:
    """The file's own name."""
    return PurePosixPath(_path_of(url_or_path)).name


def own_provenance(volume: Volume, url_or_path: str | Path) -> dict[str, Any]:
    """Where a mask of our own export, or of a download, comes from; empty for any other volume."""
    path = None if "://" in str(url_or_path) else Path(url_or_path)
    if suffix_of(url_or_path) in MRC_SUFFIXES | TIFF_SUFFIXES:
        return source_of(path, read_beside(path) if path is not None else None)
    notes = None if volume.pyramid is None else volume.pyramid.metadata.get(ATTRIBUTE)
    return source_of(path, as_notes(notes) if isinstance(notes, dict) else None)


def _path_of(url_or_path: str | Path) -> str:
    text = str(url_or_path)
    try:
        return (path_in(text) if "://" in text else Path(text).as_posix()).rstrip("/")
    except ValueError as error:
        raise FormatError(f"{without_login(text)!r} isn't a web address.", hint="Check the address.") from error


def _middle(size: int) -> tuple[int, int]:
    start = max(0, (size - _SAMPLE_SIDE) // 2)
    return start, min(size, start + _SAMPLE_SIDE)


def _spacing(pyramid: Pyramid) -> tuple[float, float, float] | None:
    """What the file says, unless it is 1 Å along all axes: early files of the portal say that of any volume."""
    widths = _in_angstrom(pyramid.scales[0], pyramid)
    if widths is None or (set(widths) == {1.0} and not isinstance(pyramid.metadata.get(ATTRIBUTE), dict)):
        return None
    return checked_spacing(widths)


def _in_angstrom(lengths: tuple[float, ...] | None, pyramid: Pyramid) -> tuple[float, float, float] | None:
    """Lengths along z, y, x, in the units of the file, or None where it doesn't say one of those."""
    factors = [_ANGSTROM_PER.get(unit) for unit in pyramid.units]
    if lengths is None or not len(lengths) == len(factors) == len(AXES):
        return None
    z, y, x = (length * (factor or 0.0) for length, factor in zip(lengths, factors, strict=True))
    return (z, y, x) if all(factors) else None


def _origin(pyramid: Pyramid) -> tuple[float, float, float] | None:
    origin = _in_angstrom(pyramid.translation, pyramid)
    return origin if origin is not None and any(origin) else None


def _remarks(pyramid: Pyramid, origin_angstrom: tuple[float, float, float] | None) -> tuple[str, ...]:
    """What the file says of its voxels that isn't shown."""
    said = []
    units = ", ".join(dict.fromkeys(unit or "no unit" for unit in pyramid.units)) or "no unit"
    scale = pyramid.scales[0]
    if scale is not None and len(scale) == len(AXES) and set(scale) != {1.0} and _in_angstrom(scale, pyramid) is None:
        z, y, x = scale
        said.append(
            f"The file gives its voxels widths of {x:.6g}, {y:.6g}, {z:.6g} along x, y, z, but in no unit of length "
            f"that is known here ({units})."
        )
    if origin_angstrom is not None:
        said.append(_not_applied(origin_angstrom, "Å"))
    elif pyramid.translation is not None and any(pyramid.translation):
        said.append(_not_applied(pyramid.translation, f"({units})"))
    others = other_transformations(pyramid.metadata)
    if others:
        said.append(f"The file also moves its voxels in a way that isn't followed here ({', '.join(others)[:_SHOWN]}).")
    return tuple(said)


def _not_applied(origin_zyx: tuple[float, ...], unit: str) -> str:
    z, y, x = origin_zyx
    return (
        f"The file places its first voxel at x, y, z = {x:.6g}, {y:.6g}, {z:.6g} {unit} (its origin). "
        "Here the first voxel is at 0, so that positions counted in voxels fit; positions that were measured from "
        "the file's origin lie elsewhere by as much."
    )


def checked_spacing(spacing_zyx: Any) -> tuple[float, float, float] | None:
    """Three positive lengths, or None if any of them is none."""
    z, y, x = (float(length) for length in spacing_zyx)
    return (z, y, x) if all(math.isfinite(length) and length > 0 for length in (z, y, x)) else None


def _open_mrc(url_or_path: str | Path, stop: threading.Event | None) -> Volume:
    from napari_cryoet.formats.mrc import open_mrc
    from napari_cryoet.streaming import pyramid_of

    levels, header = open_mrc(url_or_path, stop=stop)
    spacing, origin = header.spacing_angstrom, header.origin_angstrom
    said = []
    if header.is_turned:
        slowest_first = ", ".join("zyx"[header.axis_order.index(axis)] for axis in range(3))
        said.append(
            f"The file stores its voxels along {slowest_first} (slowest first), as its header says; they were turned "
            "to z, y, x. Positions from programs that don't go by that part of the header have their axes swapped."
        )
    return Volume(
        levels=levels,
        shape_zyx=header.shape_zyx,
        spacing_angstrom=None if spacing is None else checked_spacing(spacing),
        is_labels=False,
        pyramid=pyramid_of(levels),
        origin_angstrom=origin,
        remarks=(*said, *(() if origin is None else (_not_applied(origin, "Å"),))),
    )


def _open_tiff(url_or_path: str | Path) -> Volume:
    from napari_cryoet.formats.tiff import open_tiff
    from napari_cryoet.streaming import pyramid_of

    if "://" in str(url_or_path):
        raise FormatError(
            f"{name_of(url_or_path)} is at an address, and TIFF files are read from this computer only.",
            hint="Download it first.",
        )
    opened = open_tiff(path_of(str(url_or_path)))
    return Volume(
        levels=[opened.level],
        shape_zyx=(opened.level.shape[0], opened.level.shape[1], opened.level.shape[2]),
        spacing_angstrom=opened.spacing_angstrom,
        is_labels=False,
        pyramid=pyramid_of([opened.level]),
    )
