"""Volumes as the portal writes them: OME-Zarr 0.4 pyramids (zarr v2), and their MRC twins.

Levels ``0``, ``1``, ``2``; chunks of 256 x 256 x 256 at every level, full size also where the array ends; ``/`` between
chunk indices; Blosc with lz4, level 5, byte shuffle; no ``.zmetadata``; a scale in ångström and no translation. Tilt
series have chunks of 1 x 1024 x 1024 and keep all their images at every level.
"""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.stopping import raise_if_stopped

Kind = Literal["tomogram", "mask", "instances", "tiltseries"]
Shape3 = tuple[int, int, int]

LEVELS: Final = 3
_COMPRESSOR: Final = {"blocksize": 0, "clevel": 5, "cname": "lz4", "id": "blosc", "shuffle": 1}
_MRC_LABEL: Final = "Written by napari-cryoet."


class Volume(Protocol):
    """Anything with a shape and a dtype that gives boxes of voxels: an array of numpy, dask or zarr, a lazy tiling."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any:
        """The voxels of a box, or what computes them."""


@dataclass(frozen=True, slots=True)
class _Layout:
    dtype: str
    chunk: Shape3 = (256, 256, 256)
    factor: Shape3 = (2, 2, 2)


_LAYOUTS: Final[dict[Kind, _Layout]] = {
    "tomogram": _Layout("float32"),
    "mask": _Layout("int8"),
    "instances": _Layout("uint16"),
    "tiltseries": _Layout("float32", (1, 1024, 1024), (1, 2, 2)),
}


def write_pyramid(
    path: Path | str,
    volume_zyx: Volume,
    spacing_angstrom: float,
    kind: Kind = "tomogram",
    *,
    stop: threading.Event | None = None,
) -> int:
    """Write a volume as an OME-Zarr pyramid and give its size in bytes.

    Level 0 is read a row of chunks at a time, so a volume larger than the memory can be given as a lazy `Volume`.

    Parameters
    ----------
    path
        The folder to write, ending in ``.zarr``; it must not exist.
    volume_zyx
        float32 for a tomogram or tilt series, int8 (0 and 1) for a mask, uint16 (0 is background) for instances.
    spacing_angstrom
        Edge of a voxel; rounded to three digits as in the portal.
    kind
        Coarser levels are the mean of 2 x 2 x 2 voxels of a tomogram (zero beyond its end), or of 1 x 2 x 2 pixels of a
        tilt series; one where any voxel of a mask is; every second voxel of instances.
    stop
        Set it to give up; what was written so far is left.

    Raises
    ------
    ValueError
        The volume has no three axes, or another dtype than its kind has.
    FileExistsError
        There is something at ``path``.
    StoppedError
        ``stop`` was set.
    """
    layout = _LAYOUTS[kind]
    if len(volume_zyx.shape) != 3 or 0 in volume_zyx.shape:
        raise ValueError(f"a volume has three axes, none of them empty; this one has the shape {volume_zyx.shape}")
    if np.dtype(volume_zyx.dtype) != layout.dtype:
        raise ValueError(f"the dtype of a {kind} is {layout.dtype}, not {volume_zyx.dtype}")
    folder = Path(path)
    folder.mkdir(parents=True)
    found: set[int] = set()
    level = volume_zyx
    for number in range(LEVELS):
        level = _write_level(folder / str(number), level, kind, stop, found)
    _write_json(folder / ".zgroup", {"zarr_format": 2})
    _write_json(folder / ".zattrs", _attributes(round(float(spacing_angstrom), 3), kind, sorted(found - {0})))
    return folder_bytes(folder)


def write_mrc(
    path: Path | str, volume_zyx: Volume, spacing_angstrom: float, *, stop: threading.Event | None = None
) -> int:
    """Write a volume of int8, int16, uint16 or float32 as an MRC file and give its size in bytes."""
    import mrcfile

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    raise_if_stopped(stop)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.asarray(volume_zyx[slice(None), slice(None), slice(None)]))
        mrc.set_volume()
        mrc.voxel_size = round(float(spacing_angstrom), 3)
        mrc.header.nlabl = 1
        mrc.header.label = np.array([_MRC_LABEL.encode(), *[b""] * 9], dtype="S80")  # the library's has the time in it
    return path.stat().st_size


def folder_bytes(folder: Path | str) -> int:
    """Bytes of all files below a folder, as the portal counts the size of a Zarr."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def coarser(block: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """The next coarser level of a box that starts at an even index; see `write_pyramid`."""
    if kind == "instances":
        return block[::2, ::2, ::2]
    factor = _LAYOUTS[kind].factor
    padding = [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)]
    padded = np.pad(block, padding) if any(after for _, after in padding) else block
    parts = [padded[z :: factor[0], y :: factor[1], x :: factor[2]] for z, y, x in np.ndindex(*factor)]
    if kind == "mask":
        return np.asarray(np.logical_or.reduce(parts), dtype=block.dtype)
    return np.asarray(sum(parts[1:], start=parts[0]) / np.float32(len(parts)))


def _write_level(
    folder: Path, volume: Volume, kind: Kind, stop: threading.Event | None, found: set[int]
) -> NDArray[Any]:
    """Write one level and give the next coarser one; the values of instances are added to ``found``."""
    from numcodecs import Blosc

    layout = _LAYOUTS[kind]
    dtype = np.dtype(layout.dtype).newbyteorder("<")
    encode = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE, blocksize=0).encode

    def write_chunk(place: Path, part: NDArray[Any]) -> None:
        raise_if_stopped(stop)
        chunk = np.zeros(layout.chunk, dtype)
        chunk[tuple(slice(0, size) for size in part.shape)] = part
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode(chunk))

    folder.mkdir()
    _write_json(folder / ".zarray", _array_metadata(volume.shape, dtype, layout.chunk))
    coarse = np.zeros([-(-size // step) for size, step in zip(volume.shape, layout.factor, strict=True)], dtype)
    row_starts = itertools.product(*(range(0, volume.shape[axis], layout.chunk[axis]) for axis in (0, 1)))
    # Off the main thread, Blosc compresses in one thread: equal voxels give equal files.
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="portal-zarr") as workers:
        for z, y in row_starts:
            row = np.asarray(volume[slice(z, z + layout.chunk[0]), slice(y, y + layout.chunk[1]), slice(None)])
            place = folder / str(z // layout.chunk[0]) / str(y // layout.chunk[1])
            jobs = [
                workers.submit(write_chunk, place / str(x // layout.chunk[2]), row[:, :, x : x + layout.chunk[2]])
                for x in range(0, row.shape[2], layout.chunk[2])
            ]
            if kind == "instances":
                found.update(np.unique(row).tolist())
            below = coarser(row, kind)
            z_below, y_below = z // layout.factor[0], y // layout.factor[1]
            coarse[z_below : z_below + below.shape[0], y_below : y_below + below.shape[1]] = below
            for job in jobs:
                job.result()
    return coarse


def _array_metadata(shape: tuple[int, ...], dtype: np.dtype[Any], chunk: Shape3) -> dict[str, Any]:
    return {
        "chunks": list(chunk),
        "compressor": _COMPRESSOR,
        "dimension_separator": "/",
        "dtype": dtype.str,
        "fill_value": 0.0 if dtype.kind == "f" else 0,
        "filters": None,
        "order": "C",
        "shape": list(shape),
        "zarr_format": 2,
    }


def _attributes(spacing: float, kind: Kind, labels: list[int]) -> dict[str, Any]:
    scales = [[spacing * step**level for step in _LAYOUTS[kind].factor] for level in range(LEVELS)]
    datasets = [
        {"coordinateTransformations": [{"scale": scale, "type": "scale"}], "path": str(level)}
        for level, scale in enumerate(scales)
    ]
    metadata: dict[str, Any] = {}
    if kind == "instances":
        metadata["image-label"] = {"colors": [{"label-value": label} for label in labels], "version": "0.4"}
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    return {"multiscales": [{"axes": axes, "datasets": datasets, "metadata": metadata, "name": "/", "version": "0.4"}]}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write metadata as zarr-python 2 does: sorted keys, indented by four."""
    path.write_text(json.dumps(content, indent=4, sort_keys=True), encoding="ascii", newline="\n")
