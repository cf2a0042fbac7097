"""OME-Zarr images like the portal's, written with zarr and numpy only, and the bytes that a reader must fetch."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import zarr
from numcodecs import Blosc

UNITS = {"space": "angstrom"}
LZ4 = Blosc("lz4", 5, Blosc.SHUFFLE)
#: Of the images that `write_portal_images` writes: four chunks at the finest level, since they are
#: 256 voxels wide.
SHAPE = (60, 300, 280)
CHUNKS_OF_A_PLANE = 4


def noise(shape, dtype="<f4", seed=0):
    """Values that don't compress well; integers if the dtype is an integer."""
    random, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    largest = 1 if dtype.kind == "b" else 100
    return random.integers(0, largest, shape, endpoint=True).astype(dtype)


def write_array(path, values, *, zarr_format=2, **options):
    """Write a zarr array with options of ``zarr.create_array``; returns its values."""
    array = zarr.create_array(
        str(path),
        shape=values.shape,
        dtype=values.dtype,
        zarr_format=zarr_format,
        overwrite=True,
        **options,
    )
    array[...] = values
    return values


def write_image(
    path,
    values,
    *,
    levels=3,
    axes="zyx",
    halved="zyx",
    scale=None,
    offset=None,
    units=UNITS,
    paths=None,
    zarr_format=2,
    about=None,
    attributes=None,
    **options,
):
    """Write an OME-Zarr image whose levels keep every second voxel of the previous one, rounded up.

    Parameters
    ----------
    halved
        The axes along which levels are halved.
    scale, offset
        Scale and translation of the finest level; by default 10 along spatial axes, and none.
    units
        Units by axis type.
    paths
        Paths of the levels; by default 0, 1, 2...
    about, attributes
        Further attributes of the multiscale, and of the group.
    options
        Options of ``zarr.create_array``; by default like the portal's, except that chunks don't exceed the image.

    Returns
    -------
    list of ndarray
        The levels.
    """
    if zarr_format == 2:
        options = {
            "compressors": LZ4,
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        } | options
    whole = tuple(
        min(256, size) if axis in "zyx" else 1
        for size, axis in zip(values.shape, axes, strict=True)
    )
    chunks = options.pop("chunks", None) or whole
    steps = [2 if axis in halved else 1 for axis in axes]
    scale = scale or [10.0 if axis in "zyx" else 1.0 for axis in axes]
    arrays, datasets = [], []
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for level, name in enumerate(paths or map(str, range(levels))):
        array = values[tuple(slice(None, None, step**level) for step in steps)]
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=chunks, **options)[
            ...
        ] = array
        widths = [size * step**level for size, step in zip(scale, steps, strict=True)]
        moves = [{"type": "translation", "translation": offset}] if offset else []
        datasets.append(
            {
                "path": name,
                "coordinateTransformations": [{"type": "scale", "scale": widths}, *moves],
            }
        )
        arrays.append(array)
    kinds = [{"t": "time", "c": "channel"}.get(axis, "space") for axis in axes]
    described = [
        {"name": axis, "type": kind} | ({"unit": units[kind]} if kind in units else {})
        for axis, kind in zip(axes, kinds, strict=True)
    ]
    multiscale = {"name": "image", "axes": described, "datasets": datasets} | (about or {})
    metadata = {"version": "0.4" if zarr_format == 2 else "0.5", "multiscales": [multiscale]} | (
        attributes or {}
    )
    group.attrs.update(metadata if zarr_format == 2 else {"ome": metadata})
    return arrays


def write_portal_images(folder: Path) -> None:
    """Write the tomogram ``image.zarr``, made of `noise`, and ``mask.zarr``, 1 where the noise exceeds 3."""
    chunks = (256, 256, 256)  # larger than the image, like the portal's
    write_image(folder / "image.zarr", noise(SHAPE), chunks=chunks)
    write_image(folder / "mask.zarr", (noise(SHAPE) > 3).astype("|i1"), chunks=chunks)


def frames_of(level: Path) -> list[bytes]:
    """The chunks of a level."""
    return [
        file.read_bytes()
        for file in sorted(level.rglob("*"))
        if file.name.isdigit() and file.is_file()
    ]


def block_bytes(frame: bytes, start: int, stop: int) -> int:
    """The bytes of a Blosc frame needed for a range of its decoded bytes: header, table and blocks.

    The format of c-blosc 1 is a header of 16 bytes, the start of each block, and the blocks in any
    order.
    """
    n_bytes, block_size, frame_bytes = struct.unpack_from("<3I", frame, 4)
    count = -(-n_bytes // block_size)
    starts = struct.unpack_from(f"<{count}I", frame, 16)
    ends = dict(zip(sorted(starts), [*sorted(starts)[1:], frame_bytes], strict=True))
    wanted = range(start // block_size, -(-stop // block_size))
    return 16 + 4 * count + sum(ends[starts[block]] - starts[block] for block in wanted)
