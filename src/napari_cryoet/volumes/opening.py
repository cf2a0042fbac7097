"""Open volumes from any file: lazy levels in z, y, x, with voxel spacing and origin.

Some writers of OME-Zarr give every image five axes: t, c, z, y, x. It is a volume if it has one
time point and one channel. Axes in another order than z, y, x are refused, except in MRC files,
which are transposed.

A file may place its first voxel elsewhere than at 0 (the origin of an MRC file, the translation of
OME-Zarr's finest level). This is reported but not applied: positions of picks and masks count from
the first voxel.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.formats.notes import ATTRIBUTE, as_notes, read_beside, source_of
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import Tomogram
from napari_cryoet.streaming.sources import read_file
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes.volume import Volume

if TYPE_CHECKING:
    from napari_cryoet.formats.mrc import MrcHeader, Triple
    from napari_cryoet.streaming import Pyramid
    from napari_cryoet.streaming.level import Level

AXES: Final = ("z", "y", "x")
MRC_SUFFIXES: Final = frozenset({".mrc", ".map", ".rec"})
TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff"})
#: Suffixes of volumes compressed as a whole, such as EMDB's maps: `x.map.gz`.
_PACKED_SUFFIXES: Final = frozenset({".gz", ".bz2", ".xz", ".zip"})
_ANGSTROM_PER: Final = {"angstrom": 1.0} | {
    f"{prefix}{unit}": factor
    for unit in ("meter", "metre")
    for prefix, factor in (
        ("", 1e10),
        ("milli", 1e7),
        ("micro", 1e4),
        ("nano", 10.0),
        ("pico", 0.01),
    )
}


def open_volume(
    source: Tomogram | PathOrUrl,
    *,
    spacing_angstrom: float | None = None,
    task: Task = UNWATCHED,
) -> Volume:
    """Open a tomogram, or any three-dimensional file; only metadata is read.

    Parameters
    ----------
    source
        A portal record, or the path or URL of an OME-Zarr, zarr, MRC or (as a file) TIFF volume.
    spacing_angstrom
        The voxel spacing of a file, by default that of the portal's folder that it is in, else the
        file's own. A record has its own.
    task
        Set it to cancel.

    Raises
    ------
    FormatError
        If it isn't a volume with the axes z, y, x, or the record has no file.
    StreamError
        If it can't be reached.
    StoppedError
        If ``task`` is set.
    """
    if isinstance(source, Tomogram):
        return _open_tomogram(source, task)
    location = Location.of(source)
    volume = open_file(location, task=task)
    width = spacing_in_layout(location) if spacing_angstrom is None else spacing_angstrom
    return volume if width is None else replace(volume, spacing_angstrom=(width, width, width))


def open_file(
    location: Location,
    *,
    task: Task = UNWATCHED,
    cache: Literal["shared"] | None = "shared",
) -> Volume:
    """Open a file with the voxel spacing that it states.

    Blocks of OME-Zarr that come over the network are kept on disk, unless ``cache`` is None.
    Raises OtherKindError if it isn't a volume with the axes z, y, x.
    """
    name = location.name
    if location.suffix in MRC_SUFFIXES:
        return _open_mrc(location, task)
    if location.suffix in TIFF_SUFFIXES:
        return _open_tiff(location)
    if is_packed_volume(location):
        raise FormatError(
            f"{name} is compressed.", hint="Unpack it first; parts of it can't be read."
        )
    if location.path is not None and location.path.is_file():
        hint = (
            "Choose a file that ends in .mrc, .map, .rec or .tif, or a folder that ends in .zarr."
        )
        raise FormatError(f"{name} is not a volume that can be read here.", hint=hint)
    return _open_zarr(location, task, cache)


def is_packed_volume(location: Location) -> bool:
    """Whether it is named like a compressed volume, such as ``x.mrc.gz``."""
    name = PurePosixPath(location.name.lower())
    return name.suffix in _PACKED_SUFFIXES and PurePosixPath(name.stem).suffix in MRC_SUFFIXES | {
        ".zarr"
    }


def fetch_file(url_or_path: PathOrUrl, limit_bytes: int, task: Task) -> bytes:
    """The content of a remote or local file; FormatError if it doesn't exist."""
    location = Location.of(url_or_path)
    piece = read_file(location, limit_bytes=limit_bytes, task=task)
    if piece is None:
        raise FormatError(f"There is no file at {location}.")
    return piece.content


def own_provenance(volume: Volume, location: Location) -> Provenance:
    """The provenance of a volume that we exported or downloaded; empty for others."""
    path = location.path
    if location.suffix in MRC_SUFFIXES | TIFF_SUFFIXES:
        return source_of(path, read_beside(path) if path is not None else None)
    notes = None if volume.pyramid is None else volume.pyramid.metadata.get(ATTRIBUTE)
    return source_of(path, as_notes(notes) if isinstance(notes, dict) else None)


def checked_spacing(spacing_zyx: Any) -> Triple | None:
    """Three lengths, or None unless all are finite and positive."""
    z, y, x = (float(length) for length in spacing_zyx)
    return (z, y, x) if all(math.isfinite(length) and length > 0 for length in (z, y, x)) else None


def _open_tomogram(tomogram: Tomogram, task: Task) -> Volume:
    if not tomogram.url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    volume = open_file(Location.of(tomogram.url), task=task)
    width = tomogram.voxel_spacing
    # a download of only coarse levels has their origin in its file; an MRC's origin isn't reliable
    origin = volume.origin_angstrom if tomogram.https_omezarr_dir else None
    origin_z, origin_y, origin_x = origin or (0.0, 0.0, 0.0)
    # offsets are in voxels, relative to the run's canonical tomogram, whose frame annotations use
    start = (
        tomogram.offset_z * width + origin_z,
        tomogram.offset_y * width + origin_y,
        tomogram.offset_x * width + origin_x,
    )
    return replace(
        volume,
        spacing_angstrom=(width, width, width),
        origin_angstrom=None if origin else volume.origin_angstrom,
        start_angstrom=start,
        remarks=() if origin else volume.remarks,
    )


def _open_zarr(location: Location, task: Task, cache: Literal["shared"] | None) -> Volume:
    from napari_cryoet.streaming import open_pyramid

    pyramid = _in_three_axes(open_pyramid(location, task=task, cache=cache), location.name)
    if pyramid.dtype.kind == "c":
        raise OtherKindError(f"{location.name} holds complex numbers, which can't be shown.")
    widths = pyramid.scales[0]
    spacing = None if widths is None else _in_angstrom(widths, pyramid.units)
    if spacing == (1.0, 1.0, 1.0) and ATTRIBUTE not in pyramid.metadata:
        spacing = None  # early portal files have this for any volume
    origin = (
        None if pyramid.translation is None else _in_angstrom(pyramid.translation, pyramid.units)
    )
    origin = origin if origin is not None and any(origin) else None
    z, y, x = (
        (1.0, 1.0, 1.0)
        if widths is None or spacing is not None
        else (width / min(widths) for width in widths)
    )
    remarks = () if origin is None else (_not_applied(origin),)
    return Volume(
        pyramid.levels,
        spacing,
        is_labels=pyramid.is_labels,
        origin_angstrom=origin,
        proportions=(z, y, x),
        remarks=remarks,
    )


def _in_three_axes(pyramid: Pyramid, name: str) -> Pyramid:
    """Reduce a pyramid to the axes z, y, x; OtherKindError if that isn't possible."""
    names, n_axes = (
        tuple(axis.lower() for axis in pyramid.axes or pyramid.dimension_names),
        len(pyramid.shapes[0]),
    )
    if not pyramid.axes and not set(names) & set(AXES):
        names = ("",) * (n_axes - len(AXES)) + AXES[-n_axes:]
    spatial = tuple(axis for axis in names if axis in AXES)
    if spatial != AXES and sorted(spatial) == sorted(AXES):
        raise OtherKindError(
            f"{name} stores its axes in the order {', '.join(names)}, and only z, y, x can be shown.",
            hint="Save it with its axes transposed to z, y, x.",
        )
    if spatial != AXES:
        raise OtherKindError(
            f"{name} is not a volume with the axes z, y, x (it has {', '.join(names)})."
        )
    extra = [number for number, axis in enumerate(names) if axis not in AXES]
    for number in extra:
        if (length := pyramid.shapes[0][number]) != 1:
            called = {"t": "time points", "c": "channels"}.get(names[number], "volumes")
            raise OtherKindError(
                f"{name} is not a single volume: it has {length:,} {called}.",
                hint=f"Save one of these {called} as a separate volume.",
            )
    return pyramid.without_axes(extra) if extra else pyramid


def _in_angstrom(lengths: tuple[float, ...], units: tuple[str, ...]) -> Triple | None:
    """Convert lengths along z, y, x from the file's units.

    None if any unit is missing or unknown.
    """
    factors = [_ANGSTROM_PER[unit] for unit in units if unit in _ANGSTROM_PER]
    if not len(lengths) == len(factors) == len(AXES):
        return None
    z, y, x = (length * factor for length, factor in zip(lengths, factors, strict=True))
    return z, y, x


def _not_applied(origin_zyx: Triple) -> str:
    z, y, x = origin_zyx
    return (
        f"The file places its first voxel at x, y, z = {x:.6g}, {y:.6g}, {z:.6g} Å (its origin). Here it is at 0, so "
        "that positions in voxels fit; positions relative to the file's origin are shifted by as much."
    )


def open_mrc(url_or_path: PathOrUrl, *, task: Task = UNWATCHED) -> tuple[list[Level], MrcHeader]:
    """Open an MRC file as a list of one dask array in z, y, x, and its header.

    Only the header is read.
    """
    from napari_cryoet.formats.mrc import HEADER_BYTES, parse_header
    from napari_cryoet.streaming.pyramid import open_raw

    location = Location.of(url_or_path)
    where = location.shown()
    start = read_file(location, length=HEADER_BYTES, limit_bytes=HEADER_BYTES, task=task)
    if start is None:
        raise FormatError(f"There is no file {where}.")
    header = parse_header(start.content, where)
    end = header.offset + math.prod(header.shape_zyx) * header.dtype.itemsize
    if start.total_bytes is not None and start.total_bytes < end:
        raise StreamError(
            f"{where} is cut short: it ends before the last of its {header.stored_shape[0]} planes."
        )
    pyramid = open_raw(
        location,
        header.stored_shape,
        header.dtype,
        offset=header.offset,
        etag=start.etag,
        axes=("z", "y", "x"),
        order=header.axis_order,
    )
    return pyramid.levels, header


def _open_mrc(location: Location, task: Task) -> Volume:
    from napari_cryoet.formats.mrc import AS_STORED

    levels, header = open_mrc(location, task=task)
    origin, remarks = header.origin_angstrom, []
    if header.axis_order != AS_STORED:
        slowest_first = ", ".join("zyx"[header.axis_order.index(axis)] for axis in range(3))
        remarks.append(
            f"The header says that the file stores its axes in the order {slowest_first} (slowest first); they were "
            "transposed to z, y, x. Positions from programs that ignore this part of the header have swapped axes."
        )
    if origin is not None:
        remarks.append(_not_applied(origin))
    return Volume(levels, header.spacing_angstrom, origin_angstrom=origin, remarks=tuple(remarks))


def _open_tiff(location: Location) -> Volume:
    from napari_cryoet.formats.tiff import open_tiff

    if location.path is None:
        raise FormatError(
            f"{location.name}: TIFF files are read from this computer only.",
            hint="Download it first.",
        )
    level, spacing = open_tiff(location.path)
    return Volume([level], spacing)
