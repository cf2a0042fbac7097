"""Volumes as the portal writes them: OME-Zarr 0.4 pyramids (zarr v2) and their MRC twins.

What the portal's importer produces, byte for byte in layout: levels ``0``, ``1``, ``2``; chunks of 256 x 256 x 256 at
every level, full size at the edges (padded with the fill value) and for arrays smaller than a chunk; ``/`` between
chunk indices; Blosc with lz4, level 5, byte shuffle, automatic block size; no ``.zmetadata``; a scale in ångström
and no translation. Tilt series have chunks of 1 x 1024 x 1024 and keep all their images at every level.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.stopping import raise_if_stopped

Kind = Literal["tomogram", "mask", "instances", "tiltseries"]
Shape3 = tuple[int, int, int]

LEVELS: Final = 3
COMPRESSOR: Final = {"blocksize": 0, "clevel": 5, "cname": "lz4", "id": "blosc", "shuffle": 1}
MRC_MODES: Final = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6}
_MRC_LABEL: Final = "Written by napari-cryoet."
_DTYPES: Final[dict[str, tuple[str, ...]]] = {
    "tomogram": ("float32",),
    "mask": ("int8",),
    "instances": ("uint16",),
    "tiltseries": ("float32",),
}


class Volume(Protocol):
    """Anything with a shape and a dtype that gives blocks of voxels: an array, a memory map, a lazy tiling."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> NDArray[Any]:
        """The voxels of a box."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What differs between the kinds of volumes."""

    chunk: Shape3
    factor: Shape3


_LAYOUTS: Final[dict[str, _Layout]] = {
    "tomogram": _Layout((256, 256, 256), (2, 2, 2)),
    "mask": _Layout((256, 256, 256), (2, 2, 2)),
    "instances": _Layout((256, 256, 256), (2, 2, 2)),
    "tiltseries": _Layout((1, 1024, 1024), (1, 2, 2)),
}


def write_pyramid(
    path: Path | str,
    volume_zyx: Volume,
    spacing_angstrom: float,
    kind: Kind = "tomogram",
    *,
    stop: threading.Event | None = None,
) -> int:
    """Write a volume as an OME-Zarr pyramid of three levels, as the portal does.

    Level 0 is read a row of chunks at a time, so a volume larger than the memory can be given as a lazy `Volume`; the
    coarser levels (an eighth of its size) are kept in memory.

    Parameters
    ----------
    path
        The folder to write, ending in ``.zarr``; it must not exist.
    volume_zyx
        float32 for a tomogram or tilt series, int8 (0 and 1) for a mask, uint16 (0 is background) for instances.
    spacing_angstrom
        Edge of a voxel; rounded to three digits as in the portal.
    kind
        Coarser levels are the mean of 2 x 2 x 2 voxels of a tomogram (zero beyond its end), of 1 x 2 x 2 pixels of a
        tilt series; one where any voxel of a mask is; every second voxel of instances.
    stop
        Set it to give up between two chunks.

    Returns
    -------
    int
        Bytes written, metadata included.

    Raises
    ------
    ValueError
        The volume has no three axes or another dtype than its kind has.
    FileExistsError
        There is something at ``path``.
    StoppedError
        ``stop`` was set; what was written so far is left.
    """
    shape = _checked_shape(volume_zyx, kind)
    spacing = round(float(spacing_angstrom), 3)
    folder = Path(path)
    folder.mkdir(parents=True)
    writer = _LevelWriter(_LAYOUTS[kind], np.dtype(volume_zyx.dtype).newbyteorder("<"), stop)
    found: set[int] = set()
    coarse = writer.write_finest(folder / "0", volume_zyx, shape, kind, found)
    for level in range(1, LEVELS):
        writer.write(folder / str(level), coarse)
        if level < LEVELS - 1:
            coarse = downsampled(coarse, kind)
    attributes = _attributes(spacing, kind, sorted(found) if kind == "instances" else None)
    writer.write_json(folder / ".zgroup", {"zarr_format": 2})
    writer.write_json(folder / ".zattrs", attributes)
    return writer.written_bytes


def write_mrc(
    path: Path | str, volume_zyx: Volume, spacing_angstrom: float, *, stop: threading.Event | None = None
) -> int:
    """Write a volume as MRC (mode 0, 1, 2 or 6 by its dtype, space group 1), a few planes at a time; gives its bytes.

    Raises
    ------
    ValueError
        MRC has no mode for the dtype.
    StoppedError
        ``stop`` was set; the unfinished file is removed.
    """
    import mrcfile

    dtype = np.dtype(volume_zyx.dtype)
    if dtype.name not in MRC_MODES:
        raise ValueError(f"MRC has no mode for {dtype.name}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with mrcfile.new_mmap(path, volume_zyx.shape, MRC_MODES[dtype.name], overwrite=True) as mrc:
            statistics = _Statistics()
            with path.open("rb+") as file:  # a full disk says so; through the memory map, it would kill the process
                file.seek(mrc.header.nbytes)
                for planes in _slabs(volume_zyx.shape, plane_bytes_limit=64 << 20, itemsize=dtype.itemsize):
                    raise_if_stopped(stop)
                    block = np.asarray(volume_zyx[planes, slice(None), slice(None)])
                    file.write(np.ascontiguousarray(block, mrc.data.dtype).data)
                    statistics.add(block)
            mrc.voxel_size = round(float(spacing_angstrom), 3)
            mrc.header.ispg = 1
            mrc.header.nlabl = 1
            mrc.header.label = np.array([_MRC_LABEL.encode(), *[b""] * 9], dtype="S80")
            mrc.header.dmin, mrc.header.dmax = statistics.minimum, statistics.maximum
            mrc.header.dmean, mrc.header.rms = statistics.mean, statistics.rms
    except StoppedError:
        path.unlink(missing_ok=True)
        raise
    return path.stat().st_size


def folder_bytes(folder: Path | str) -> int:
    """Bytes of all files below a folder, as the portal counts the size of a Zarr."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


class _LevelWriter:
    """Writes arrays chunk by chunk, encoding several chunks at a time, and counts the bytes."""

    def __init__(self, layout: _Layout, dtype: np.dtype[Any], stop: threading.Event | None) -> None:
        from numcodecs import Blosc

        self._layout = layout
        self._dtype = dtype
        self._stop = stop
        self._encode = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE, blocksize=0).encode
        self.written_bytes = 0

    def write(self, folder: Path, array: NDArray[Any]) -> None:
        """Write one level that is in memory."""
        self._write_metadata(folder, array.shape)
        self._write_chunks(folder, array, (0, 0, 0))

    def write_finest(
        self, folder: Path, volume: Volume, shape: Shape3, kind: Kind, labels_found: set[int]
    ) -> NDArray[Any]:
        """Write level 0 a row of chunks at a time, and give level 1."""
        self._write_metadata(folder, shape)
        rows, factor = self._layout.chunk, self._layout.factor
        coarse = np.zeros([math.ceil(n / f) for n, f in zip(shape, factor, strict=True)], self._dtype)
        for z, y in itertools.product(range(0, shape[0], rows[0]), range(0, shape[1], rows[1])):
            raise_if_stopped(self._stop)
            planes, lines = slice(z, z + rows[0]), slice(y, y + rows[1])
            row = np.asarray(volume[planes, lines, slice(None)])
            self._write_chunks(folder, row, (z // rows[0], y // rows[1], 0))
            below = downsampled(row, kind)
            z_below, y_below = z // factor[0], y // factor[1]
            coarse[z_below : z_below + below.shape[0], y_below : y_below + below.shape[1]] = below
            if kind == "instances":
                labels_found.update(int(label) for label in np.unique(row) if label)
        return coarse

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Write metadata the way zarr-python 2 does: sorted keys, indented by four."""
        text = json.dumps(content, indent=4, sort_keys=True, ensure_ascii=True, separators=(",", ": "))
        path.write_text(text, encoding="ascii", newline="\n")
        self.written_bytes += len(text)

    def _write_metadata(self, folder: Path, shape: tuple[int, ...]) -> None:
        folder.mkdir()
        metadata = {
            "chunks": list(self._layout.chunk),
            "compressor": COMPRESSOR,
            "dimension_separator": "/",
            "dtype": self._dtype.str,
            "fill_value": 0.0 if self._dtype.kind == "f" else 0,
            "filters": None,
            "order": "C",
            "shape": list(shape),
            "zarr_format": 2,
        }
        self.write_json(folder / ".zarray", metadata)

    def _write_chunks(self, folder: Path, array: NDArray[Any], first: Shape3) -> None:
        # Worker threads also make the frames reproducible: off the main thread Blosc compresses the blocks in order.
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="portal-zarr") as workers:
            jobs = [
                workers.submit(self._write_chunk, folder, array, index, first)
                for index in np.ndindex(
                    *(math.ceil(n / c) for n, c in zip(array.shape, self._layout.chunk, strict=True))
                )
            ]
            self.written_bytes += sum(job.result() for job in jobs)

    def _write_chunk(self, folder: Path, array: NDArray[Any], index: tuple[int, ...], first: Shape3) -> int:
        raise_if_stopped(self._stop)
        chunk_shape = self._layout.chunk
        part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunk_shape, strict=True))]
        if part.shape == chunk_shape:
            chunk = np.ascontiguousarray(part, dtype=self._dtype)
        else:
            chunk = np.zeros(chunk_shape, self._dtype)
            chunk[tuple(slice(0, n) for n in part.shape)] = part
        frame = self._encode(chunk)
        z, y, x = (i + f for i, f in zip(index, first, strict=True))
        path = folder / str(z) / str(y) / str(x)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(frame)
        return len(frame)


class _Statistics:
    """Minimum, maximum, mean and standard deviation of blocks that come one after the other."""

    def __init__(self) -> None:
        self.minimum, self.maximum = math.inf, -math.inf
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, block: NDArray[Any]) -> None:
        self.minimum = min(self.minimum, float(block.min()))
        self.maximum = max(self.maximum, float(block.max()))
        self._count += block.size
        self._sum += float(block.sum(dtype=np.float64))
        self._squares += float(np.square(block, dtype=np.float64).sum())

    @property
    def mean(self) -> float:
        return self._sum / self._count

    @property
    def rms(self) -> float:
        return math.sqrt(max(self._squares / self._count - self.mean**2, 0.0))


def _checked_shape(volume: Volume, kind: Kind) -> Shape3:
    if len(volume.shape) != 3 or 0 in volume.shape:
        raise ValueError(f"a volume has three axes, none of them empty; this one has the shape {volume.shape}")
    if np.dtype(volume.dtype).name not in _DTYPES[kind]:
        raise ValueError(f"the dtype of a {kind} is {' or '.join(_DTYPES[kind])}, not {volume.dtype}")
    z, y, x = volume.shape
    return z, y, x


def downsampled(array: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """The next coarser level of a box that starts at an even index, by what `write_pyramid` says of its kind."""
    if kind == "instances":
        return array[::2, ::2, ::2]
    factor = _LAYOUTS[kind].factor
    padding = [(0, -n % f) for n, f in zip(array.shape, factor, strict=True)]
    padded = np.pad(array, padding) if any(after for _, after in padding) else array
    blocks = [padded[offset] for offset in _strides(factor)]
    if kind == "mask":
        covered: NDArray[Any] = np.logical_or.reduce(blocks).astype(array.dtype)
        return covered
    total: NDArray[Any] = blocks[0].astype(np.float32)
    for block in blocks[1:]:
        total += block
    total /= np.float32(len(blocks))
    return total


def _strides(factor: Shape3) -> Iterator[tuple[slice, slice, slice]]:
    for z, y, x in np.ndindex(*factor):
        yield slice(z, None, factor[0]), slice(y, None, factor[1]), slice(x, None, factor[2])


def _attributes(spacing: float, kind: Kind, labels: Sequence[int] | None) -> dict[str, Any]:
    factor = _LAYOUTS[kind].factor
    datasets = [
        {
            "coordinateTransformations": [{"scale": [spacing * f**level for f in factor], "type": "scale"}],
            "path": str(level),
        }
        for level in range(LEVELS)
    ]
    metadata: dict[str, Any] = {}
    if labels is not None:
        colors = [{"label-value": int(label)} for label in labels]
        metadata["image-label"] = {"colors": colors, "version": "0.4"}
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    return {"multiscales": [{"axes": axes, "datasets": datasets, "metadata": metadata, "name": "/", "version": "0.4"}]}


def _slabs(shape: tuple[int, ...], *, plane_bytes_limit: int, itemsize: int) -> Iterator[slice]:
    planes = max(1, plane_bytes_limit // (math.prod(shape[1:]) * itemsize))
    for start in range(0, shape[0], planes):
        yield slice(start, min(start + planes, shape[0]))


def as_mrc_dtype(volume: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """The same voxels in the dtype of the MRC twin; refuses a change of values.

    Raises
    ------
    ValueError
        A voxel's value does not survive.
    """
    twin = volume.astype(dtype)
    if not np.array_equal(twin, volume):
        raise ValueError(f"the voxels do not fit {np.dtype(dtype).name}")
    return twin
