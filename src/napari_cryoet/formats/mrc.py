"""MRC2014 volumes (.mrc, .map, .rec): read their headers, and write them.

A file has a header of 1,024 bytes, an extended header of ``nsymbt`` bytes, then the voxels,
sections slowest; see https://www.ccpem.ac.uk/mrc_format.

IMOD deviates from the standard (https://bio3d.colorado.edu/imod/doc/mrc_format.txt). Files with its
stamp (word 39) have flags (word 40): 1 for signed bytes, 4 for an origin with the standard's sign,
16 for two values per byte. Without the first flag, bytes (mode 0) are unsigned. Without the second,
unless the version is one of the standard's, the origin has the opposite sign. A file without the
stamp has unsigned bytes if its minimum density (word 20) is at least 0 and its maximum (word 21) at
least 128.

Words 17 to 19 assign axes (1 is x, 2 is y, 3 is z) to columns, rows and sections. Sizes and first
positions (words 1 to 3, 5 to 7) refer to columns, rows and sections; grid and cell (words 8 to 13)
to x, y and z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError
from napari_cryoet.formats.ome_zarr import VoxelSource, slabs
from napari_cryoet.task import UNWATCHED, Task

HEADER_BYTES: Final = 1024
#: Numbers along z, y and x.
Triple = tuple[float, float, float]

_DTYPES: Final = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES: Final = {
    3: "complex 16-bit integers",
    4: "complex numbers",
    16: "colours (RGB)",
    101: "4-bit integers",
}
_MAX_SIZE: Final = 2**20
_IMOD_STAMP: Final = 1146047817
_IMOD_SIGNED, _IMOD_OTHER_ORIGIN, _IMOD_HALF_BYTES = 1, 4, 16
#: The first version of the standard, ten times the year.
_FIRST_VERSION: Final = 20140
AS_STORED: Final = (0, 1, 2)
_LABEL: Final = "Written by napari-cryoet."
_PLANES_WRITTEN: Final = 64  # at a time


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """The parsed header; None for values that it doesn't define."""

    shape_zyx: tuple[int, int, int]
    dtype: np.dtype[Any]  # in the file's byte order
    offset: int  # of the first voxel, in bytes
    spacing_angstrom: Triple | None
    origin_angstrom: Triple | None = None  # position of the first voxel, z, y, x
    axis_order: tuple[int, int, int] = (
        AS_STORED  # stored axes (0: sections, 1: rows, 2: columns) of z, y and x
    )

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """The number of sections, rows and columns."""
        sections, rows, columns = (self.shape_zyx[self.axis_order.index(axis)] for axis in range(3))
        return sections, rows, columns


def write_mrc(
    path: Path | str,
    volume_zyx: VoxelSource,
    spacing_angstrom: float,
    task: Task = UNWATCHED,
) -> int:
    """Write a volume of int8, int16, uint16 or float32 as an MRC file; return its size in bytes."""
    import mrcfile

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    n_voxels = math.prod(volume_zyx.shape)
    lowest, highest, total, total_of_squares = math.inf, -math.inf, 0.0, 0.0
    mode = mrcfile.utils.mode_from_dtype(np.dtype(volume_zyx.dtype))
    with mrcfile.new_mmap(path, volume_zyx.shape, mode, overwrite=True) as mrc:
        with path.open(
            "rb+"
        ) as file:  # writing to the memory map would crash the process on a full disk
            file.seek(mrc.header.nbytes)
            for _, slab in slabs(volume_zyx, _PLANES_WRITTEN, task):
                file.write(np.ascontiguousarray(slab).data)
                lowest, highest = min(lowest, float(slab.min())), max(highest, float(slab.max()))
                total += float(slab.sum(dtype=np.float64))
                total_of_squares += float(np.square(slab, dtype=np.float64).sum())
        header = mrc.header
        mrc.voxel_size, header.ispg = spacing_angstrom, 1
        header.dmin, header.dmax, header.dmean = lowest, highest, total / n_voxels
        header.rms = math.sqrt(max(0.0, total_of_squares / n_voxels - (total / n_voxels) ** 2))
        header.nlabl = 1
        header.label = np.array(
            [_LABEL.encode(), *[b""] * 9], dtype="S80"
        )  # the library's label contains the time
    return path.stat().st_size


def parse_header(content: bytes, where: str) -> MrcHeader:
    """Parse and check the first 1,024 bytes of a file.

    OtherKindError if it isn't an MRC file at all.
    """
    if content.startswith((b"\x1f\x8b", b"BZ")):
        raise FormatError(f"{where} is compressed with gzip or bzip2.", hint="Unpack it first.")
    if not content:
        raise FormatError(f"{where} is empty: it has 0 bytes.", hint="Copy or download it again.")
    if len(content) < HEADER_BYTES:
        raise _no_mrc(content, f"{where} isn't an MRC file: it has only {len(content):,} bytes.")
    header = _header_in_byte_order(content, where)
    axes_crs = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    if any(axes_crs) and sorted(axes_crs) != [1, 2, 3]:
        raise FormatError(
            f"{where} names its axes {', '.join(map(str, axes_crs))}; they are 1, 2 and 3 in some order."
        )
    extended_bytes = int(header["nsymbt"])
    if extended_bytes < 0:
        raise FormatError(f"{where} has an extended header of {extended_bytes} bytes.")
    z, y, x = (axes_crs[::-1].index(axis) for axis in (3, 2, 1)) if any(axes_crs) else AS_STORED
    sizes_src = [int(header[name]) for name in ("nz", "ny", "nx")]
    flags, is_bytes = _imod_flags(header), int(header["mode"]) == 0
    if is_bytes and flags is not None and flags & _IMOD_HALF_BYTES:
        raise FormatError(f"{where} holds {_OTHER_MODES[101]}, which can't be shown.")
    dtype = (
        "u1" if is_bytes and _has_unsigned_bytes(header, flags) else _DTYPES[int(header["mode"])]
    )
    spacing = _spacing(header)
    return MrcHeader(
        (sizes_src[z], sizes_src[y], sizes_src[x]),
        np.dtype(dtype).newbyteorder(header.dtype["nx"].byteorder),
        offset=HEADER_BYTES + extended_bytes,
        spacing_angstrom=spacing,
        origin_angstrom=_origin(header, flags, spacing, (z, y, x)),
        axis_order=(z, y, x),
    )


def _header_in_byte_order(content: bytes, where: str) -> Any:
    """The header in the byte order that gives a valid mode and sizes, because programs write wrong stamps."""
    from mrcfile.dtypes import HEADER_DTYPE

    headers = [np.frombuffer(content, HEADER_DTYPE.newbyteorder(order), 1)[0] for order in "<>"]
    modes = [int(header["mode"]) for header in headers]
    for header, mode in zip(headers, modes, strict=True):
        if mode in _DTYPES and all(
            0 < int(header[name]) <= _MAX_SIZE for name in ("nx", "ny", "nz")
        ):
            return header
    other = next((_OTHER_MODES[mode] for mode in modes if mode in _OTHER_MODES), None)
    if other is not None:
        raise FormatError(f"{where} holds {other}, which can't be shown.")
    sizes = " x ".join(str(int(headers[0][name])) for name in ("nx", "ny", "nz"))
    raise _no_mrc(
        content,
        f"{where} isn't an MRC file: its header states {sizes} voxels of data mode {modes[0]}.",
    )


def _no_mrc(content: bytes, message: str) -> FormatError:
    """`FormatError` for a damaged MRC file, which has the format's name in word 53.

    Else `OtherKindError`.
    """
    return FormatError(message) if content[208:211] == b"MAP" else OtherKindError(message)


def _imod_flags(header: Any) -> int | None:
    """The flags of a file with IMOD's stamp; words 39 and 40 are in mrcfile's ``extra2``."""
    words = np.frombuffer(
        header["extra2"].tobytes()[40:48], np.dtype("i4").newbyteorder(header.dtype["nx"].byteorder)
    )
    return int(words[1]) if words[0] == _IMOD_STAMP else None


def _has_unsigned_bytes(header: Any, flags: int | None) -> bool:
    if flags is not None:
        return not flags & _IMOD_SIGNED
    return bool(header["dmin"] >= 0 and 128 <= header["dmax"] <= 255)


def _spacing(header: Any) -> Triple | None:
    """Voxel size: cell size divided by grid size along z, y, x."""
    cell_zyx = [float(header["cella"][axis]) for axis in "zyx"]
    grid_zyx = [int(header[name]) for name in ("mz", "my", "mx")]
    if not all(
        math.isfinite(cell) and cell > 0 and grid > 0
        for cell, grid in zip(cell_zyx, grid_zyx, strict=True)
    ):
        return None
    z, y, x = (_rounded(cell / grid) for cell, grid in zip(cell_zyx, grid_zyx, strict=True))
    return z, y, x


def _origin(
    header: Any, flags: int | None, spacing: Triple | None, order: tuple[int, int, int]
) -> Triple | None:
    """Position of the first voxel: words 50 to 52 in headers since 2000, else words 5 to 7, in voxels."""
    has_imod_sign = (
        flags is not None
        and not flags & _IMOD_OTHER_ORIGIN
        and int(header["nversion"]) < _FIRST_VERSION
    )
    z, y, x = (
        _rounded(float(header["origin"][axis]) * (-1 if has_imod_sign else 1)) for axis in "zyx"
    )
    if bytes(header["map"])[:3] == b"MAP" and any((z, y, x)) and all(map(math.isfinite, (z, y, x))):
        return z, y, x
    stored = [int(header[name]) for name in ("nzstart", "nystart", "nxstart")]
    if spacing is None or not any(stored):
        return None
    z, y, x = (stored[axis] * width for axis, width in zip(order, spacing, strict=True))
    return z, y, x


def _rounded(value: float) -> float:
    """Round to the digits of the header's 32-bit floats."""
    return float(f"{value:.6g}")
