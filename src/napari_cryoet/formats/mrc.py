"""MRC2014 volumes (.mrc, .map, .rec), opened lazily from disk or over HTTP.

The format: a header of 1,024 bytes, an extended header of ``nsymbt`` bytes, then the voxels, sections slowest; see
https://www.ccpem.ac.uk/mrc_format.

IMOD departs from it (https://bio3d.colorado.edu/imod/doc/mrc_format.txt). Files that bear its stamp (word 39) have
flags (word 40): 1 for signed bytes, 4 for an origin whose sign is the standard's, 16 for two values in a byte. Without
the first, bytes (mode 0) are unsigned. Without the second, unless the version is one of the standard's, the origin is
that of the coordinates as seen from the first voxel. A file without the stamp has unsigned bytes if its densities
(words 20 and 21) go from 0 or more to 128 or more.

Words 17 to 19 name the axis (1 is x, 2 is y, 3 is z) of columns, rows and sections. Sizes and first positions (words 1
to 3, 5 to 7) are of columns, rows and sections; the grid and the cell (words 8 to 13) are of x, y and z.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError

if TYPE_CHECKING:
    import dask.array as da

HEADER_BYTES: Final = 1024
Triple = tuple[float, float, float]

_DTYPES: Final = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES: Final = {3: "complex 16-bit integers", 4: "complex numbers", 16: "colours (RGB)", 101: "4-bit integers"}
_PACKED: Final = {b"\x1f\x8b": "gzip", b"BZ": "bzip2"}
_MAX_SIZE: Final = 2**20
_IMOD_STAMP: Final = 1146047817
_IMOD_SIGNED, _IMOD_OTHER_ORIGIN, _IMOD_HALF_BYTES = 1, 4, 16
#: Versions of the standard, ten times the year.
_VERSIONS: Final = range(20140, 21000)
#: Space groups of stacks of volumes; the grid's z says how many planes each has.
_STACKS: Final = range(401, 631)
_AS_STORED: Final = (0, 1, 2)


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
        Voxel size along z, y, x; None if it isn't said.
    origin_angstrom
        Position of the first voxel, z, y, x; None if it is zero, or not said in ångström.
    angles_degree
        Of the cell, alpha, beta and gamma; None if they are right ones, or not said.
    axis_order
        Which of the stored axes (sections 0, rows 1, columns 2) are z, y and x.
    """

    shape_zyx: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    spacing_angstrom: Triple | None
    origin_angstrom: Triple | None = None
    angles_degree: Triple | None = None
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


class MrcVolume(NamedTuple):
    """An opened MRC file: one dask array in z, y, x in a list, and the header."""

    levels: list[da.Array]
    header: MrcHeader


def open_mrc(url_or_path: str | Path, *, stop: threading.Event | None = None) -> MrcVolume:
    """Open an MRC file; only its header is read.

    Raises
    ------
    FormatError
        If it is no MRC file, compressed, or no volume of real numbers.
    StreamError
        If it can't be read, or ends before its last voxel.
    """
    from napari_cryoet.streaming.pyramid import open_raw
    from napari_cryoet.streaming.sources import read_file, shown_address

    where = shown_address(str(url_or_path))
    start = read_file(url_or_path, length=HEADER_BYTES, limit_bytes=HEADER_BYTES, stop=stop)
    if start is None:
        raise FormatError(f"There is no file {where}.")
    header = parse_header(start.content, where)
    voxel_bytes = header.dtype.itemsize
    end, size_bytes = header.offset + math.prod(header.shape_zyx) * voxel_bytes, start.total_bytes
    if size_bytes is None:
        last = read_file(url_or_path, start=end - voxel_bytes, length=voxel_bytes, limit_bytes=voxel_bytes, stop=stop)
        size_bytes = end - voxel_bytes + len(last.content if last else b"")
    if size_bytes < end:
        raise StreamError(f"{where} is cut short: it ends before the last of its {header.stored_shape[0]} planes.")
    pyramid = open_raw(
        url_or_path,
        header.stored_shape,
        header.dtype,
        offset=header.offset,
        etag=start.etag,
        axes=("z", "y", "x"),
        order=header.axis_order,
    )
    return MrcVolume(pyramid.levels, header)


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
        What is wrong; an `OtherKindError` if nothing says that this was ever meant to be an MRC file.
    """
    from mrcfile.dtypes import HEADER_DTYPE

    packing = next((name for start, name in _PACKED.items() if content.startswith(start)), None)
    if packing is not None:
        raise FormatError(f"{where} is compressed with {packing}.", hint="Unpack it first; parts of it can't be read.")
    if not content:
        raise FormatError(f"{where} is empty: it has 0 bytes.", hint="Copy or download it again.")
    if len(content) < HEADER_BYTES:
        raise _no_mrc(content, f"{where} is no MRC file: it has only {len(content):,} bytes.")
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    headers = [np.frombuffer(content, HEADER_DTYPE.newbyteorder(order), 1)[0] for order in orders]
    header, order = _in_its_byte_order(content, headers, where)
    mode, size_crs = int(header["mode"]), [int(header[name]) for name in ("nx", "ny", "nz")]
    grid_xyz = [int(header[name]) for name in ("mx", "my", "mz")]
    axes_crs = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    extended_bytes = int(header["nsymbt"])
    if not all(0 < size <= _MAX_SIZE for size in size_crs):
        sizes = " x ".join(map(str, size_crs))
        raise _no_mrc(content, f"{where} is no MRC file: its header names a volume of {sizes} voxels.")
    if not 0 <= extended_bytes < 2**31 - HEADER_BYTES:
        raise FormatError(f"{where} has an extended header of {extended_bytes} bytes.")
    if any(axes_crs) and sorted(axes_crs) != [1, 2, 3]:
        raise FormatError(f"{where} names its axes {', '.join(map(str, axes_crs))}; they are 1, 2 and 3 in some order.")
    if int(header["ispg"]) in _STACKS and 0 < grid_xyz[2] < size_crs[2]:
        raise FormatError(f"{where} is a stack of volumes of {grid_xyz[2]} planes each.", hint="Take it apart first.")
    flags = _imod_flags(header)
    if mode == 0 and flags is not None and flags & _IMOD_HALF_BYTES:
        raise FormatError(f"{where} holds {_OTHER_MODES[101]}, which can't be shown.")
    dtype = np.dtype("u1" if mode == 0 and _has_unsigned_bytes(header, flags) else _DTYPES[mode]).newbyteorder(order)
    z, y, x = (axes_crs[::-1].index(axis) for axis in (3, 2, 1)) if any(axes_crs) else _AS_STORED
    spacing = _spacing(header, grid_xyz)
    sizes_src = size_crs[::-1]
    return MrcHeader(
        (sizes_src[z], sizes_src[y], sizes_src[x]),
        dtype,
        offset=HEADER_BYTES + extended_bytes,
        spacing_angstrom=spacing,
        origin_angstrom=_origin(header, flags, spacing, (z, y, x)),
        angles_degree=_angles(header),
        axis_order=(z, y, x),
    )


def _in_its_byte_order(content: bytes, headers: list[Any], where: str) -> tuple[Any, Literal["<", ">"]]:
    """The header in the order in which its mode exists, and sizes can be such; else by the machine stamp.

    The stamp comes last: programs write none, or a wrong one.
    """
    known = [index for index, header in enumerate(headers) if int(header["mode"]) in _DTYPES]
    if not known:
        other = next((_OTHER_MODES[int(h["mode"])] for h in headers if int(h["mode"]) in _OTHER_MODES), None)
        if other is not None:
            raise FormatError(f"{where} holds {other}, which can't be shown.")
        raise _no_mrc(content, f"{where} is no MRC file: its header names the data mode {int(headers[0]['mode'])}.")
    if len(known) == 2:  # mode 0 reads the same both ways
        names = ("nx", "ny", "nz")
        possible = [i for i in known if all(0 < int(headers[i][name]) <= _MAX_SIZE for name in names)]
        known = possible if len(possible) == 1 else [int(content[212:214] == b"\x11\x11")]
    return headers[known[0]], "<" if known[0] == 0 else ">"


def _no_mrc(content: bytes, message: str) -> FormatError:
    """A damaged MRC file if it bears the format's name (word 53), else something of another kind."""
    return FormatError(message) if content[208:211] == b"MAP" else OtherKindError(message)


def _imod_flags(header: Any) -> int | None:
    """The flags of a file with IMOD's stamp (words 39 and 40, bytes 44 to 52 of mrcfile's ``extra2``)."""
    words = np.frombuffer(header["extra2"].tobytes()[40:48], np.dtype("i4").newbyteorder(header.dtype["nx"].byteorder))
    return int(words[1]) if words[0] == _IMOD_STAMP else None


def _has_unsigned_bytes(header: Any, flags: int | None) -> bool:
    if flags is not None:
        return not flags & _IMOD_SIGNED
    return bool(header["dmin"] >= 0 and 128 <= header["dmax"] <= 255)


def _spacing(header: Any, grid_xyz: list[int]) -> Triple | None:
    """Cell size over grid size along z, y, x."""
    cell_xyz = [float(header["cella"][axis]) for axis in "xyz"]
    if not all(math.isfinite(cell) and cell > 0 and grid > 0 for cell, grid in zip(cell_xyz, grid_xyz, strict=True)):
        return None
    x, y, z = (_rounded(cell / grid) for cell, grid in zip(cell_xyz, grid_xyz, strict=True))
    return z, y, x


def _origin(header: Any, flags: int | None, spacing: Triple | None, order: tuple[int, int, int]) -> Triple | None:
    """Position of the first voxel: words 50 to 52 of headers of 2000 and later, else words 5 to 7, in voxels."""
    x, y, z = (float(header["origin"][axis]) for axis in "xyz")
    if bytes(header["map"])[:3] == b"MAP" and any((x, y, z)) and all(map(math.isfinite, (x, y, z))):
        is_imods = flags is not None and not flags & _IMOD_OTHER_ORIGIN and int(header["nversion"]) not in _VERSIONS
        sign = -1 if is_imods else 1
        return _rounded(sign * z), _rounded(sign * y), _rounded(sign * x)
    stored = [int(header[name]) for name in ("nzstart", "nystart", "nxstart")]
    if spacing is None or not any(stored):
        return None
    z, y, x = (stored[axis] * width for axis, width in zip(order, spacing, strict=True))
    return z, y, x


def _angles(header: Any) -> Triple | None:
    """The angles of an oblique cell, as crystals have."""
    alpha, beta, gamma = (float(header["cellb"][name]) for name in ("alpha", "beta", "gamma"))
    are_angles = all(1 < angle < 179 for angle in (alpha, beta, gamma))  # NaN compares false
    is_oblique = any(abs(angle - 90) > 0.01 for angle in (alpha, beta, gamma))
    return (alpha, beta, gamma) if are_angles and is_oblique else None


def _rounded(value: float) -> float:
    """The digits that the header's 32-bit floats hold."""
    return float(f"{value:.6g}")
