"""Writing volumes: OME-Zarr pyramids as the portal has them, and MRC files.

Pyramids have the levels ``0``, ``1``, ``2``. In version 0.4 they are as the portal's: chunks of 256 x 256 x 256, full
size also where the array ends; ``/`` between chunk indices; Blosc with lz4, level 5, byte shuffle; no ``.zmetadata``; a
scale in ångström and no translation. Tilt series have chunks of 1 x 1024 x 1024, and all their images at every level.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import raise_if_stopped

Kind = Literal["tomogram", "mask", "instances", "tiltseries"]
Version = Literal["0.4", "0.5"]

_LEVELS: Final = 3
_MRC_LABEL: Final = "Written by napari-cryoet."
_MRC_PLANES: Final = 64  # written at a time


class Volume(Protocol):
    """Anything that gives boxes of voxels in z, y, x: a NumPy, dask or zarr array, or a lazy tiling."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any: ...


def write_pyramid(
    path: Path | str,
    volume_zyx: Volume,
    spacing_angstrom: float,
    kind: Kind = "tomogram",
    *,
    version: Version = "0.4",
    is_labels: bool = False,
    attributes: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Write a volume as an OME-Zarr pyramid to a folder that doesn't exist, and give its size in bytes.

    The portal has float32 for tomograms and tilt series, int8 for masks, uint16 for instances. A slab of planes is read
    at a time; the coarser levels are kept in memory. They are the mean of 2 x 2 x 2 voxels of a tomogram (zero beyond
    its end), or of 1 x 2 x 2 pixels of a tilt series; one where any voxel of a mask is; every second voxel of
    instances, which are always said to be labels. After a stop, what was written so far is left.
    """
    import zarr

    group = zarr.open_group(path, mode="w-", zarr_format=2 if version == "0.4" else 3)
    level = volume_zyx
    for number in range(_LEVELS):
        level = _write_level(_created(group, str(number), level, kind, version), level, kind, stop)
    ome: dict[str, Any] = {"multiscales": [_multiscale(spacing_angstrom, kind, version)]}
    if is_labels or kind == "instances":
        ome["image-label"] = {}
    # last of all: without them, the folder is no image
    group.attrs.update((ome if version == "0.4" else {"ome": {"version": version} | ome}) | dict(attributes or {}))
    return folder_bytes(path)


def write_mrc(
    path: Path | str, volume_zyx: Volume, spacing_angstrom: float, stop: threading.Event | None = None
) -> int:
    """Write a volume of int8, int16, uint16 or float32 as an MRC file and give its size in bytes."""
    import mrcfile

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    n_voxels = math.prod(volume_zyx.shape)
    lowest, highest, total, total_of_squares = math.inf, -math.inf, 0.0, 0.0
    mode = mrcfile.utils.mode_from_dtype(np.dtype(volume_zyx.dtype))
    with mrcfile.new_mmap(path, volume_zyx.shape, mode, overwrite=True) as mrc:
        with path.open("rb+") as file:  # on a full disk, writing into the memory map would end the process
            file.seek(mrc.header.nbytes)
            for _, slab in slabs(volume_zyx, _MRC_PLANES, stop):
                file.write(np.ascontiguousarray(slab).data)
                lowest, highest = min(lowest, float(slab.min())), max(highest, float(slab.max()))
                total += float(slab.sum(dtype=np.float64))
                total_of_squares += float(np.square(slab, dtype=np.float64).sum())
        header = mrc.header
        mrc.voxel_size, header.ispg = spacing_angstrom, 1
        header.dmin, header.dmax, header.dmean = lowest, highest, total / n_voxels
        header.rms = math.sqrt(max(0.0, total_of_squares / n_voxels - (total / n_voxels) ** 2))
        header.nlabl = 1
        header.label = np.array([_MRC_LABEL.encode(), *[b""] * 9], dtype="S80")  # the library's has the time in it
    return path.stat().st_size


def slabs(volume_zyx: Volume, planes: int, stop: threading.Event | None) -> Iterator[tuple[int, NDArray[Any]]]:
    """All planes in order, some at a time, each time with the number of the first."""
    for start in range(0, volume_zyx.shape[0], planes):
        raise_if_stopped(stop)
        yield start, np.asarray(volume_zyx[start : start + planes, slice(None), slice(None)])


def folder_bytes(folder: Path | str) -> int:
    """Bytes of all files below a folder, as the portal counts the size of a Zarr."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def _created(group: Any, name: str, volume: Volume, kind: Kind, version: Version) -> Any:
    chunks = (1, 1024, 1024) if kind == "tiltseries" else (256,) * 3
    options: dict[str, Any] = {"chunks": chunks}
    if version == "0.4":
        from numcodecs import Blosc

        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        options["compressors"] = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    else:
        options |= {"chunks": (128,) * 3, "dimension_names": ["z", "y", "x"]}
    config = {"write_empty_chunks": True}
    return group.create_array(name, shape=volume.shape, dtype=volume.dtype, fill_value=0, config=config, **options)


def _write_level(array: Any, volume: Volume, kind: Kind, stop: threading.Event | None) -> NDArray[Any]:
    """Write one level and give the next coarser one."""
    factor = _factor(kind)
    coarse = np.zeros([-(-size // step) for size, step in zip(array.shape, factor, strict=True)], array.dtype)
    _, rows, columns = array.chunks
    for z, slab in slabs(volume, array.chunks[0], stop):
        for y, x in itertools.product(range(0, slab.shape[1], rows), range(0, slab.shape[2], columns)):
            raise_if_stopped(stop)
            box = (slice(y, y + rows), slice(x, x + columns))
            array[(slice(z, z + len(slab)), *box)] = slab[:, *box]
        below = _coarser(slab, kind)
        coarse[z // factor[0] : z // factor[0] + len(below)] = below
    return coarse


def _coarser(block: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """The next coarser level of a box that starts at an even index; see `write_pyramid`."""
    if kind == "instances":
        return block[::2, ::2, ::2]
    factor = _factor(kind)
    padded = np.pad(block, [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)])
    parts = [padded[z :: factor[0], y :: factor[1], x :: factor[2]] for z, y, x in np.ndindex(*factor)]
    if kind == "mask":
        return np.asarray(np.logical_or.reduce(parts), dtype=block.dtype)
    return np.asarray(sum(parts[1:], start=parts[0]) / np.float32(len(parts)))


def _factor(kind: Kind) -> tuple[int, int, int]:
    return (1, 2, 2) if kind == "tiltseries" else (2, 2, 2)


def _multiscale(spacing_angstrom: float, kind: Kind, version: Version) -> dict[str, Any]:
    datasets = []
    for level in range(_LEVELS):
        scale = [spacing_angstrom * step**level for step in _factor(kind)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if version == "0.5":  # a coarse voxel is amid those it stands for, or on the one that it was taken from
            shift = [0.0 if kind == "instances" else (width - spacing_angstrom) / 2 for width in scale]
            transformations.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    multiscale: dict[str, Any] = {"name": "/", "axes": axes, "datasets": datasets}
    return multiscale | {"version": version} if version == "0.4" else multiscale
