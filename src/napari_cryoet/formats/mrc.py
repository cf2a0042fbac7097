"""MRC2014 volumes (.mrc, .map, .rec), opened lazily from disk or over HTTP: planes are read as they are asked for.

The format: a header of 1,024 bytes (56 words), an extended header of ``nsymbt`` bytes, then the voxels, sections
slowest. Described in Cheng et al., J. Struct. Biol. 192 (2015), and at https://www.ccpem.ac.uk/mrc_format.

IMOD departs from it, as https://bio3d.colorado.edu/imod/doc/mrc_format.txt and its library (``readBytesSigned``,
``mrc_head_read``) say. Files that bear its stamp (word 39) have flags (word 40): 1 for signed bytes, 4 for an origin
whose sign is the standard's, 16 for two values in a byte. Without the first, bytes (mode 0) are unsigned. Without the
second, unless the version (word 28) is one of the standard's, from 20140 on, the origin is that of the coordinates as
seen from the first voxel, and not the position of the first voxel.

Words 17 to 19 name the axis (1 is x, 2 is y, 3 is z) that columns, rows and sections run along. Crystallographers' maps
often have another order than 1, 2, 3; they are turned as they are read. Sizes and first positions (words 1 to 3, 5 to
7) are of columns, rows and sections; the grid and the cell (words 8 to 13) are of x, y and z.

In the standard bytes are signed, but others wrote unsigned ones too. As in IMOD, a file without the stamp has those
where its header gives densities (words 20 and 21) from 0 or more to 128 or more.
"""

from __future__ import annotations

import math
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError
from napari_cryoet.streaming.addresses import shown_address

if TYPE_CHECKING:
    from pathlib import Path

    import dask.array as da

    from napari_cryoet.streaming.sources import ByteSource

ByteOrder = Literal["<", ">"]

HEADER_BYTES = 1024

_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES = {3: "complex 16-bit integers", 4: "complex numbers", 16: "colours (RGB)", 101: "4-bit integers"}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2"}
_MAX_SIZE = 2**20
_RIGHT_DEGREE = 0.01
#: What IMOD writes into its files, and the flags beside it that matter here.
_IMOD_STAMP = 1146047817
_IMOD_SIGNED, _IMOD_OTHER_ORIGIN, _IMOD_HALF_BYTES = 1, 4, 16
#: Versions of the standard, ten times the year: old files may hold anything there.
_VERSIONS = range(20140, 21000)
#: Space groups of stacks of volumes; the third size of the grid says how many planes each has.
_STACKS = range(401, 631)
_AS_STORED = (0, 1, 2)


class MrcVolume(NamedTuple):
    """An opened MRC file.

    Attributes
    ----------
    levels
        One dask array in z, y, x; each dask chunk is what is read as one. `streaming.pyramid_of` finds what is behind.
    spacing_angstrom
        Size of a voxel along z, y, x, or None where the header doesn't say (zero in any of its sizes).
    """

    levels: list[da.Array]
    spacing_angstrom: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What a header says.

    Attributes
    ----------
    shape_zyx, dtype
        Of the volume; the dtype has the file's byte order.
    offset
        Where the voxels start, in bytes.
    spacing_angstrom
        Size of a voxel along z, y, x, or None.
    origin_angstrom
        Where it says that the first voxel lies, z, y, x; None where that is zero, or not said in ångström.
    angles_degree
        Of the cell, alpha, beta and gamma; None where they are right ones, or not said.
    axis_order
        Which of the stored axes (sections 0, rows 1, columns 2) are z, y and x.
    """

    shape_zyx: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    spacing_angstrom: tuple[float, float, float] | None
    origin_angstrom: tuple[float, float, float] | None = None
    angles_degree: tuple[float, float, float] | None = None
    axis_order: tuple[int, int, int] = _AS_STORED

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """How many sections, rows and columns there are."""
        sections, rows, columns = (self.shape_zyx[self.axis_order.index(axis)] for axis in range(3))
        return sections, rows, columns

    @property
    def is_turned(self) -> bool:
        """Whether sections, rows and columns aren't z, y and x."""
        return self.axis_order != _AS_STORED


def open_mrc(url_or_path: str | Path, *, stop: threading.Event | None = None) -> MrcVolume:
    """Open an MRC file; only its header is read.

    Parameters
    ----------
    url_or_path
        An http(s) or ``file://`` address, or a path.
    stop
        Set by whoever no longer wants it.

    Raises
    ------
    FormatError
        If it is no MRC file, compressed, or of a kind that isn't a volume of real numbers.
    StreamError
        If it can't be read, or ends before its last voxel, now or whenever its voxels are read; once the file
        changed, its voxels can't be read any more.
    """
    levels, header = open_with_header(url_or_path, stop=stop)
    return MrcVolume(levels, header.spacing_angstrom)


def open_with_header(
    url_or_path: str | Path, *, stop: threading.Event | None = None
) -> tuple[list[da.Array], MrcHeader]:
    """As `open_mrc`, with all that the header says."""
    from napari_cryoet.streaming.documents import parse_or_read_again
    from napari_cryoet.streaming.making import plain_pyramid
    from napari_cryoet.streaming.sources import open_source

    source = open_source(url_or_path)
    where = shown_address(source.url)
    start = source.read("", length=HEADER_BYTES, stop=stop)
    if start is None:
        raise FormatError(f"There is no file {where}.")
    start, header = parse_or_read_again(
        source, "", start, lambda piece: (piece, parse_header(piece.content, where)), length=HEADER_BYTES, stop=stop
    )
    _check_end(source, header, start.total_bytes, stop)
    pyramid = plain_pyramid(
        source,
        header.stored_shape,
        header.dtype,
        offset=header.offset,
        version=start.version,
        axes=("z", "y", "x"),
        order=header.axis_order,
    )
    return pyramid.levels, header


def parse_header(content: bytes, where: str) -> MrcHeader:
    """Read and check a header.

    Parameters
    ----------
    content
        The first 1,024 bytes of the file.
    where
        What to call the file in messages.

    Raises
    ------
    FormatError
        Saying what is wrong; an OtherKindError where nothing says that this was ever meant to be an MRC file.
    """
    for start, name in _COMPRESSED.items():
        if content.startswith(start):
            raise FormatError(f"{where} is compressed with {name}.", hint="Unpack it first; parts of it can't be read.")
    if not content:
        raise FormatError(f"{where} is empty: it has 0 bytes.", hint="Copy or download it again.")
    if len(content) < HEADER_BYTES:
        raise _no_mrc(content, f"{where} is no MRC file: it has only {len(content):,} bytes.")
    order = _byte_order(content, where)
    nx, ny, nz, mode = struct.unpack_from(f"{order}4i", content, 0)
    grid_xyz = struct.unpack_from(f"{order}3i", content, 28)
    cell_xyz = struct.unpack_from(f"{order}3f", content, 40)
    axes_crs = struct.unpack_from(f"{order}3i", content, 64)
    space_group, extended_bytes = struct.unpack_from(f"{order}2i", content, 88)
    if not all(0 < size <= _MAX_SIZE for size in (nx, ny, nz)):
        raise _no_mrc(content, f"{where} is no MRC file: its header names a volume of {nx} x {ny} x {nz} voxels.")
    if not 0 <= extended_bytes < 2**31 - HEADER_BYTES:
        raise FormatError(f"{where} has an extended header of {extended_bytes} bytes.")
    if axes_crs != (0, 0, 0) and sorted(axes_crs) != [1, 2, 3]:
        raise FormatError(f"{where} names its axes {', '.join(map(str, axes_crs))}; they are 1, 2 and 3 in some order.")
    if space_group in _STACKS and 0 < grid_xyz[2] < nz:
        raise FormatError(
            f"{where} is a stack of {nz // grid_xyz[2]} volumes of {grid_xyz[2]} planes.", hint="Take it apart first."
        )
    if mode == 0 and (_imod_flags(content, order) or 0) & _IMOD_HALF_BYTES:
        raise FormatError(f"{where} holds {_OTHER_MODES[101]}, which can't be shown.")
    dtype = np.dtype("u1" if mode == 0 and _has_unsigned_bytes(content, order) else _DTYPES[mode]).newbyteorder(order)
    turned = _order_of(axes_crs)
    spacing = _spacing(cell_xyz, grid_xyz)
    size_z, size_y, size_x = ((nz, ny, nx)[axis] for axis in turned)
    return MrcHeader(
        (size_z, size_y, size_x),
        dtype,
        offset=HEADER_BYTES + extended_bytes,
        spacing_angstrom=spacing,
        origin_angstrom=_origin(content, order, spacing, turned),
        angles_degree=_angles(content, order),
        axis_order=turned,
    )


def _order_of(axes_crs: tuple[int, ...]) -> tuple[int, int, int]:
    """Which of sections, rows and columns are z, y and x; given is the axis of columns, of rows and of sections."""
    if not any(axes_crs):  # old files say nothing
        return _AS_STORED
    z, y, x = (axes_crs[::-1].index(axis) for axis in (3, 2, 1))
    return z, y, x


def _angles(content: bytes, order: ByteOrder) -> tuple[float, float, float] | None:
    """The angles of the cell where it is oblique, as those of crystals are."""
    alpha, beta, gamma = struct.unpack_from(f"{order}3f", content, 52)
    are_angles = all(1 < angle < 179 for angle in (alpha, beta, gamma))  # what isn't a number compares false
    is_oblique = any(abs(angle - 90) > _RIGHT_DEGREE for angle in (alpha, beta, gamma))
    return (alpha, beta, gamma) if are_angles and is_oblique else None


def _imod_flags(content: bytes, order: ByteOrder) -> int | None:
    """The flags of a file with IMOD's stamp, None for others."""
    stamp, flags = struct.unpack_from(f"{order}2i", content, 152)
    return int(flags) if stamp == _IMOD_STAMP else None


def _has_unsigned_bytes(content: bytes, order: ByteOrder) -> bool:
    flags = _imod_flags(content, order)
    if flags is not None:
        return not flags & _IMOD_SIGNED
    smallest, largest = struct.unpack_from(f"{order}2f", content, 76)
    return bool(smallest >= 0 and 128 <= largest <= 255)


def _origin(
    content: bytes, order: ByteOrder, spacing: tuple[float, float, float] | None, turned: tuple[int, int, int]
) -> tuple[float, float, float] | None:
    """Where the first voxel lies: words 50 to 52 of headers of 2000 and later, else words 5 to 7, in voxels."""
    x, y, z = struct.unpack_from(f"{order}3f", content, 196)
    if content[208:211] == b"MAP" and any((x, y, z)) and all(map(math.isfinite, (x, y, z))):
        flags, (version,) = _imod_flags(content, order), struct.unpack_from(f"{order}i", content, 108)
        is_imods = flags is not None and not flags & _IMOD_OTHER_ORIGIN and version not in _VERSIONS
        sign = -1 if is_imods else 1
        z, y, x = (float(f"{sign * position:.6g}") for position in (z, y, x))
        return z, y, x
    stored = struct.unpack_from(f"{order}3i", content, 16)[::-1]
    starts = [stored[axis] for axis in turned]
    if spacing is None or not any(starts):
        return None
    z, y, x = (start * width for start, width in zip(starts, spacing, strict=True))
    return z, y, x


def _byte_order(content: bytes, where: str) -> ByteOrder:
    """The order in which the mode is one that exists, of two such the one in which sizes can be such.

    Only where all of that is so in both, the machine stamp decides: programs write none, or a wrong one.
    """
    orders: tuple[ByteOrder, ByteOrder] = ("<", ">")
    modes = {order: struct.unpack_from(f"{order}i", content, 12)[0] for order in orders}
    known = [order for order, mode in modes.items() if mode in _DTYPES]
    if known == ["<", ">"]:  # mode 0 reads the same both ways
        sizes = {order: struct.unpack_from(f"{order}3i", content, 0) for order in orders}
        possible = [order for order in orders if all(0 < size <= _MAX_SIZE for size in sizes[order])]
        if len(possible) == 1:
            return possible[0]
        return ">" if content[212:214] == b"\x11\x11" else "<"
    if known:
        return known[0]
    for mode in modes.values():
        if mode in _OTHER_MODES:
            raise FormatError(f"{where} holds {_OTHER_MODES[mode]}, which can't be shown.")
    raise _no_mrc(content, f"{where} is no MRC file: its header names the data mode {modes['<']}.")


def _no_mrc(content: bytes, message: str) -> FormatError:
    """An error about what is no MRC file, or a damaged one where it bears the format's name (word 53)."""
    return FormatError(message) if content[208:211] == b"MAP" else OtherKindError(message)


def _spacing(cell_xyz: tuple[float, ...], grid_xyz: tuple[int, ...]) -> tuple[float, float, float] | None:
    """Cell size over grid size along z, y, x."""
    if not all(math.isfinite(cell) and cell > 0 and grid > 0 for cell, grid in zip(cell_xyz, grid_xyz, strict=True)):
        return None
    # the header holds 32-bit floats: more digits than that would be made up
    x, y, z = (float(f"{cell / grid:.6g}") for cell, grid in zip(cell_xyz, grid_xyz, strict=True))
    return z, y, x


def _check_end(source: ByteSource, header: MrcHeader, size_bytes: int | None, stop: threading.Event | None) -> None:
    """Refuse a file that ends before its last voxel, rather than fail in the middle of looking at it."""
    voxel_bytes = header.dtype.itemsize
    end = header.offset + math.prod(header.shape_zyx) * voxel_bytes
    if size_bytes is None:
        last = source.read("", start=end - voxel_bytes, length=voxel_bytes, stop=stop)
        size_bytes = end - voxel_bytes + len(last.content if last else b"")
    if size_bytes < end:
        raise StreamError(
            f"{shown_address(source.url)} is cut short: it ends before the last of its {header.stored_shape[0]} planes."
        )
